"""`xstilts apply | status | logs | cancel` against a real API server, with the kubeconfig that kubectl would use."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

import cluster_studies as given
from cluster.kubernetes import ControlPlane
from resources import SAMPLES
from xstilts.cli import app
from xstilts.cluster import Object
from xstilts.cluster.api import ApiCluster, connect
from xstilts.cluster.errors import Invalid
from xstilts.cluster.port import SCHEDULES, STUDIES
from xstilts.core.errors import UserError


@pytest.fixture
def cluster(crds: ControlPlane, monkeypatch: pytest.MonkeyPatch) -> ApiCluster:
    monkeypatch.setenv("KUBECONFIG", str(crds.kubeconfig()))
    return connect()


def xstilts(*arguments: object) -> str:
    """What the command prints; raises what it raises."""
    done = CliRunner().invoke(app, [str(argument) for argument in arguments], catch_exceptions=False)
    return str(done.output)


def sample(name: str) -> dict[str, Any]:
    return dict(yaml.safe_load(next(file for file in SAMPLES if file.stem == name).read_text(encoding="utf-8")))


def written(folder: Path, *documents: object) -> Path:
    file = folder / "documents.yaml"
    file.write_text(yaml.safe_dump_all(documents), encoding="utf-8")
    return file


def test_what_is_applied_is_shown_and_cancelled(cluster: ApiCluster, namespace: str, tmp_path: Path) -> None:
    study, schedule = sample("study"), sample("studyschedule")
    names = [document["metadata"]["name"] for document in (study, schedule)]
    file = written(tmp_path, study, schedule)
    for change in ("created", "unchanged"):
        assert xstilts("apply", file, "--namespace", namespace).splitlines() == [
            f"study/{names[0]} {change} in namespace {namespace}",
            f"studyschedule/{names[1]} {change} in namespace {namespace}",
        ]
    assert cluster.get(SCHEDULES, namespace, names[1]) is not None
    assert "no operator has looked at it yet" in xstilts("status", names[0], "-n", namespace)
    with pytest.raises(UserError, match="has no trials yet"):
        xstilts("logs", names[0], "-n", namespace)
    assert "has gone" in xstilts("cancel", names[0], "-n", namespace)
    assert cluster.get(STUDIES, namespace, names[0]) is None


def test_a_setting_that_is_left_out_is_the_default_again(cluster: ApiCluster, namespace: str, tmp_path: Path) -> None:
    study = sample("minimal-study")
    xstilts("apply", written(tmp_path, study | {"spec": study["spec"] | {"parallelism": 2}}), "-n", namespace)
    assert "configured" in xstilts("apply", written(tmp_path, study), "-n", namespace)
    found = cluster.get(STUDIES, namespace, "minimal")
    assert found is not None
    assert found["spec"]["parallelism"] == 8


def test_what_only_the_api_server_knows_is_told_in_its_words_and_nothing_is_written(
    cluster: ApiCluster, namespace: str, tmp_path: Path
) -> None:
    study = sample("minimal-study")
    xstilts("apply", written(tmp_path, study), "-n", namespace)
    changed = study | {"spec": study["spec"] | {"store": {"uri": "s3://other/studies"}}}
    new = study | {"metadata": {"name": "new"}}
    with pytest.raises(Invalid, match="store"):
        xstilts("apply", written(tmp_path, new, changed), "-n", namespace)
    assert cluster.get(STUDIES, namespace, "new") is None


def test_watching_ends_with_the_study_and_its_exit_code_tells_how(
    cluster: ApiCluster, namespace: str, tmp_path: Path
) -> None:
    xstilts("apply", written(tmp_path, sample("minimal-study")), "-n", namespace)
    for status, code in (("True", 0), ("False", 1)):
        summary = given.condition("Succeeded", status, "Ended", "as the test says")
        tell(cluster, namespace, [summary])
        done = CliRunner().invoke(app, ["status", "minimal", "-n", namespace, "--watch"])
        assert done.exit_code == code
        assert "as the test says" in done.output


def tell(cluster: ApiCluster, namespace: str, conditions: list[Object]) -> None:
    patch = {"status": {"observedGeneration": 1, "conditions": conditions}}
    cluster.patch(STUDIES, namespace, "minimal", patch, subresource="status")


def test_a_context_that_the_kubeconfig_does_not_have_is_refused(cluster: ApiCluster) -> None:
    with pytest.raises(UserError, match="it has no context 'elsewhere', but"):
        xstilts("status", "minimal", "--context", "elsewhere")


def test_options_of_the_cluster_do_not_go_with_a_file(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="go with the name of a Study"):
        xstilts("status", written(tmp_path, sample("minimal-study")), "--watch")
