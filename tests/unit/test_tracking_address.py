"""Addresses of tracking servers, and what importing the port costs."""

import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xstilts.core.errors import UserError
from xstilts.tracking import open_tracker
from xstilts.tracking.connection import identity_of, redacted

names = st.text("abcdefghijklmnopqrstuvwxyz0123456789", min_size=1, max_size=12)


@pytest.mark.parametrize(
    ("uri", "identity"),
    [
        pytest.param("http://mlflow:5000", "http://mlflow:5000", id="a plain address stays as it is"),
        pytest.param("HTTP://MLflow:5000/", "http://mlflow:5000", id="case and a last slash do not matter"),
        pytest.param("http://mlflow:80", "http://mlflow", id="the scheme's own port goes without saying"),
        pytest.param("https://mlflow/team/", "https://mlflow/team", id="a path belongs to it"),
        pytest.param("http://[::1]:5000", "http://[::1]:5000", id="an IPv6 address keeps its brackets"),
        pytest.param("sqlite:////data/runs/../mlflow.db", "sqlite:////data/mlflow.db", id="paths are normalised"),
    ],
)
def test_a_server_has_one_identity(uri: str, identity: str) -> None:
    assert open_tracker(uri, experiment="study", store="s3://b").identity == identity


def test_a_relative_database_is_identified_by_its_absolute_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)

    assert identity_of("sqlite:///runs/mlflow.db") == f"sqlite:///{tmp_path.resolve()}/runs/mlflow.db"


@given(st.sampled_from(["http", "https"]), names, st.integers(1, 65535))
def test_an_identity_is_stable(scheme: str, host: str, port: int) -> None:
    identity = identity_of(f"{scheme}://{host}:{port}/")

    assert identity_of(identity) == identity


@pytest.mark.parametrize(
    "uri",
    [
        *("", "mlruns", "file:///mlruns", "sqlite://", "databricks", "http://:80"),
        *("postgresql://me:secret@db/mlflow", "https://me:secret@mlflow", "http:me:secret@mlflow"),
    ],
)
def test_other_addresses_are_refused_with_those_that_are_taken(uri: str) -> None:
    with pytest.raises(UserError, match=r"sqlite:///path.*https://host:port") as caught:
        open_tracker(uri, experiment="study", store="s3://b")

    assert "secret" not in str(caught.value)


def test_messages_lose_credentials_and_excess_length() -> None:
    message = redacted("GET http://me:secret@mlflow/api failed " + "x" * 1000)

    assert message.startswith("GET http://mlflow/api failed")
    assert len(message) <= 300


def test_the_port_is_imported_without_mlflow() -> None:
    program = "import sys, xstilts.tracking; sys.exit('mlflow' in sys.modules)"

    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
