"""The processes that ask stores and servers for the operator: nothing of a Secret runs in them, and none waits for ever."""

import base64
import os
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from cluster import s3
from cluster.certificates import self_signed
from simulation import study_document
from xstilts.api.study import Study
from xstilts.cluster.memory import MemoryCluster
from xstilts.cluster.port import SECRETS
from xstilts.controller.calls import CallQueue, Line
from xstilts.controller.credentials import Secrets
from xstilts.controller.desk import LIMITS, ChildDesk
from xstilts.controller.lending import Lending
from xstilts.core.errors import StorageUnavailable

LONG = 120.0


@pytest.fixture
def cluster() -> MemoryCluster:
    return MemoryCluster()


def secret(cluster: MemoryCluster, name: str, **values: str) -> None:
    data = {key: base64.b64encode(value.encode()).decode() for key, value in values.items()}
    cluster.create(SECRETS, {"metadata": {"name": name, "namespace": "team"}, "data": data})


def study(store: dict[str, Any], name: str = "s", tracking: str = "http://127.0.0.1:1") -> Study:
    store = {"uri": "s3://bucket/prefix", "region": "us-east-1", "pathStyle": True} | store
    return Study.model_validate(study_document(name, store=store, tracking={"uri": tracking}))


@contextmanager
def desk(cluster: MemoryCluster, *lent: str, **limits: float) -> Iterator[ChildDesk]:
    made = ChildDesk(Secrets(cluster, Lending.parse(lent)), limits={**LIMITS, **limits})
    try:
        yield made
    finally:
        made.close()


@pytest.fixture
def silent() -> Iterator[str]:
    """A server that takes connections and never says anything."""
    with socket.create_server(("127.0.0.1", 0), backlog=64) as listener:
        kept: list[socket.socket] = []

        def take() -> None:
            while True:
                try:
                    kept.append(listener.accept()[0])
                except OSError:
                    return

        thread = threading.Thread(target=take, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        listener.shutdown(socket.SHUT_RDWR)
        for connection in kept:
            connection.close()


@pytest.mark.parametrize(
    ("keys", "lent"),
    [
        pytest.param(
            {}, ("s3://bucket?endpoint=http://127.0.0.1:1",), id="a Secret without keys, and an identity lent"
        ),
        pytest.param({"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b"}, (), id="keys, and nothing lent"),
    ],
)
def test_a_secret_and_a_bundle_of_certificates_run_nothing(
    cluster: MemoryCluster,
    tmp_path: Path,
    keys: dict[str, str],
    lent: tuple[str, ...],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    ran = tmp_path / "ran"
    config = f"[default]\ncredential_process = touch {ran}\n[profile evil]\ncredential_process = touch {ran}\n"
    certificate = self_signed(tmp_path, "ca").file.read_text()
    secret(cluster, "s3", AWS_CONFIG_FILE="$AWS_CA_BUNDLE", AWS_PROFILE="evil", LD_PRELOAD=str(ran), **keys)
    secret(cluster, "plain", **{"ca.crt": config})
    secret(cluster, "mixed", **{"ca.crt": config + certificate + config})
    with desk(cluster, *lent) as asked:
        for ca in ("plain", "mixed"):
            for ref in ({"secretRef": {"name": "s3"}}, {}):
                store = {"endpoint": "http://127.0.0.1:1", "caSecretRef": {"name": ca}, **ref}
                storage, _ = asked.preflight("team", study(store))
                assert not storage.ready
                assert not ran.exists()


def test_a_store_that_is_silent_is_told_by_its_condition_and_its_process_is_ended(
    cluster: MemoryCluster, silent: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    secret(cluster, "s3", AWS_ACCESS_KEY_ID="a", AWS_SECRET_ACCESS_KEY="b")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    hangs = study({"endpoint": silent, "secretRef": {"name": "s3"}}, tracking=silent)
    with desk(cluster, check_store=3.0, check_tracking=3.0) as asked:
        storage, tracking = asked.preflight("team", hangs)
        assert (storage.ready, storage.reason) == (False, "StorageUnavailable")
        assert (tracking.ready, tracking.reason) == (False, "TrackingUnavailable")
        assert "no answer within 3 s" in storage.message
        assert "no answer within 3 s" in tracking.message
        asked.limits = {"": 1.0}
        with pytest.raises(StorageUnavailable, match="publish_trial was ended"):
            asked.publish_trial("team", hangs, "digest", "trial")
        assert not asked._busy
        assert not asked._idle


def test_requests_to_a_silent_server_end_before_the_call_is_ended(
    cluster: MemoryCluster, silent: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {
        "AWS_MAX_ATTEMPTS": "1",
        "XSTILTS_READ_SECONDS": "0.5",
        "MLFLOW_HTTP_REQUEST_TIMEOUT": "1",
        "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",
    }.items():
        monkeypatch.setenv(name, value)
    secret(cluster, "s3", AWS_ACCESS_KEY_ID="a", AWS_SECRET_ACCESS_KEY="b")
    with desk(cluster) as asked:
        storage, tracking = asked.preflight(
            "team", study({"endpoint": silent, "secretRef": {"name": "s3"}}, tracking=silent)
        )
    assert (storage.reason, tracking.reason) == ("StorageUnavailable", "TrackingUnavailable")
    assert "check the network and the store's endpoint" in storage.message
    assert f"MLflow at {silent}: GET /version failed" in tracking.message


def test_a_study_goes_on_beside_others_whose_store_is_silent(
    cluster: MemoryCluster, silent: str, s3_server: s3.S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XSTILTS_READ_SECONDS", "3600")
    secret(cluster, "hangs", AWS_ACCESS_KEY_ID="a", AWS_SECRET_ACCESS_KEY="b")
    keys = {name: value for name, value in s3_server.environment.items() if "KEY" in name}
    secret(cluster, "fine", **keys)
    fine = study(
        {"uri": f"s3://{s3_server.bucket}/{time.time_ns()}", "endpoint": s3_server.endpoint}
        | {"secretRef": {"name": "fine"}}
    )
    queue = CallQueue(4, of_a_namespace=4)
    answers: dict[str, Future[Any]] = {}

    def ask(asked: ChildDesk, found: Study, answer: Future[Any]) -> None:
        try:
            answer.set_result(asked._ask("team", found, "check_store"))
        except StorageUnavailable as error:
            answer.set_exception(error)

    with desk(cluster, check_store=3600.0) as asked:
        for number in range(12):
            hangs = study({"endpoint": silent, "secretRef": {"name": "hangs"}}, f"hangs-{number}")
            answers[hangs.metadata.name] = Future()
            queue.submit(Line.of("team", hangs), ask, asked, hangs, answers[hangs.metadata.name])
        answers["fine"] = Future()
        queue.submit(Line.of("team", fine), ask, asked, fine, answers["fine"])
        found = answers["fine"].result(LONG)
        assert (found.ready, found.message) == (True, "")
        assert not any(answer.done() for name, answer in answers.items() if name != "fine")
        queue.close(0)
        asked.close()  # ends the calls that hang
        queue.join()
    ended = [answer for answer in answers.values() if answer.done() and answer.exception()]
    assert len(ended) == 2
