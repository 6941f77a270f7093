"""Data, encoders and reports between this machine and a store that only options of a command say how to reach."""

from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

import cluster_studies as given
from cluster import s3
from cluster.kubernetes import ControlPlane
from studies import study_document
from xstilts import acceptance
from xstilts.api.study import Study
from xstilts.cli import app
from xstilts.cluster.api import connect
from xstilts.cluster.port import STUDIES
from xstilts.core.errors import UserError
from xstilts.store import ObjectStore


def xstilts(*arguments: object) -> str:
    """What the command prints; raises what it raises."""
    done = CliRunner().invoke(app, [str(argument) for argument in arguments], catch_exceptions=False)
    return str(done.output)


@pytest.fixture
def access(s3_store: ObjectStore, s3_server: s3.S3Server, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The store with everything but credentials as options."""
    for name in ("AWS_REGION", "AWS_DEFAULT_REGION", "AWS_ENDPOINT_URL_S3"):
        monkeypatch.delenv(name, raising=False)
    return ["--store", s3_store.uri, "--endpoint", s3_server.endpoint, "--region", "us-east-1", "--path-style"]


def test_data_and_an_encoder_are_brought_into_a_store_and_a_study_is_planned_with_them(
    s3_store: ObjectStore, s3_server: s3.S3Server, access: list[str], tiny_inputs: Path
) -> None:
    names = ["mnli", "hellaswag", "xsid", "tatoeba"]
    assert "train.en 120" in xstilts("data", "import", *names, "--from", tiny_inputs / "data", *access)
    assert "tatoeba" in xstilts("data", "list", *access)
    pushed = xstilts("model", "push", tiny_inputs / "model", *access)
    assert xstilts("model", "push", tiny_inputs / "model", *access) == pushed
    model = yaml.safe_load(pushed.splitlines()[-1])["model"]
    assert model["uri"].startswith(f"{s3_store.uri}/models/")
    store = {"uri": s3_store.uri, "endpoint": s3_server.endpoint, "region": "us-east-1", "pathStyle": True}
    study = Study.model_validate(study_document(model=model, store=store))
    planned = acceptance.accept(study, acceptance.store_of(study.spec.store))
    assert len(planned.trials) == 3
    assert [info.key for info in s3_store.list("models/")] == [
        f"{model['uri'].removeprefix(s3_store.uri)[1:]}/manifest.json"
    ]
    assert xstilts("gc", *access).strip() == "nothing"


def test_a_model_that_was_never_pushed_is_refused_with_the_command(s3_store: ObjectStore) -> None:
    study = Study.model_validate(study_document(model={"uri": f"{s3_store.uri}/models/0123"}))
    with pytest.raises(UserError, match=r"0123 is not in the store; .* xstilts model push FOLDER"):
        acceptance.accept(study, s3_store)


def test_options_of_s3_are_refused_beside_a_directory(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="--endpoint goes with a store at s3://bucket/prefix, not with"):
        xstilts("data", "list", "--store", tmp_path, "--endpoint", "http://127.0.0.1:9000")


def test_a_study_on_this_machine_needs_no_push(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"names the folder: model: \{uri: encoder\}"):
        xstilts("model", "push", "encoder", "--store", tmp_path)


def test_options_of_the_cluster_are_refused_beside_a_file(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="go with --from-cluster"):
        xstilts("report", tmp_path / "study.yaml", "--namespace", "research")


def test_the_report_of_a_study_in_the_cluster_is_fetched_from_its_store(
    crds: ControlPlane,
    namespace: str,
    s3_store: ObjectStore,
    access: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("KUBECONFIG", str(crds.kubeconfig()))
    store = {"uri": s3_store.uri, "endpoint": "http://minio.minio:9000", "pathStyle": True, "region": "us-east-1"}
    metadata = {"name": "demo", "namespace": namespace}
    connect().create(STUDIES, {"metadata": metadata, "spec": given.SPEC | {"store": store}})
    fetch = ("report", "demo", "--from-cluster", "--namespace", namespace, "--out", tmp_path, *access[2:4])
    with pytest.raises(UserError, match=r"no report in s3://.*/studies/demo/report/ yet"):
        xstilts(*fetch)
    for name in ("report.html", "tables/scores.csv", "curves.csv"):
        s3_store.put(f"studies/demo/report/{name}", name.encode())
    s3_store.put("studies/demo-2/report/report.html", b"of another study")
    assert xstilts(*fetch) == f"Report: {tmp_path}/report.html (3 files)\n"
    found = {str(path.relative_to(tmp_path)): path.read_text() for path in tmp_path.rglob("*") if path.is_file()}
    assert found == {name: name for name in ("report.html", "tables/scores.csv", "curves.csv")}
