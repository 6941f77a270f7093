"""`xstilts apply` and `xstilts cancel` on a cluster in memory."""

from pathlib import Path

import pytest
import yaml

import cluster_studies as given
from xstilts.api.load import InvalidDocument, load_documents
from xstilts.api.names import FINALIZER
from xstilts.cli.cluster import StillThere, applied, cancelled, retried
from xstilts.cli.cluster_views import find_study
from xstilts.cluster.answers import Request
from xstilts.cluster.errors import Invalid
from xstilts.cluster.memory import MemoryCluster
from xstilts.cluster.port import SCHEDULES, STUDIES, Object
from xstilts.core.errors import UserError


def study(name: str = "demo", **metadata: str) -> Object:
    return {
        "apiVersion": "xstilts.dev/v1alpha1",
        "kind": "Study",
        "metadata": {"name": name, **metadata},
        "spec": given.SPEC,
    }


def schedule(name: str = "nightly") -> Object:
    spec = {"schedule": "0 3 * * *", "studyTemplate": {"spec": given.SPEC}}
    return {"apiVersion": "xstilts.dev/v1alpha1", "kind": "StudySchedule", "metadata": {"name": name}, "spec": spec}


@pytest.fixture
def cluster() -> MemoryCluster:
    return MemoryCluster()


class Files:
    """Writes documents to a file, and reads them as apply does."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "documents.yaml"

    def __call__(self, *documents: object) -> Path:
        self.path.write_text(yaml.safe_dump_all(documents), encoding="utf-8")
        return self.path


@pytest.fixture
def file(tmp_path: Path) -> Files:
    return Files(tmp_path)


# ---- documents


def test_a_file_may_hold_several_kinds_and_empty_documents(file: Files) -> None:
    documents = load_documents(file(study(), None, schedule()))
    assert [(each.resource.kind, each.resource.metadata.name) for each in documents] == [
        ("Study", "demo"),
        ("StudySchedule", "nightly"),
    ]


def test_what_is_sent_is_spelt_as_in_the_file(file: Files) -> None:
    text = study()
    text["spec"] = text["spec"] | {"training": {"target": {"learningRate": "1e-5"}}}
    (document,) = load_documents(file(text))
    assert document.content == text


def test_every_mistake_of_every_document_is_told(file: Files) -> None:
    wrong_study, wrong_schedule = study(), schedule()
    wrong_study["spec"] = wrong_study["spec"] | {"paralelism": 1}
    wrong_schedule["spec"] = wrong_schedule["spec"] | {"timezone": "Etc/UTC"}
    with pytest.raises(InvalidDocument) as caught:
        load_documents(file(wrong_study, study(), wrong_schedule, {"kind": "Trial"}))
    lines = str(caught.value).splitlines()
    assert lines[0].endswith("documents.yaml, document 1, is not valid:")
    assert "did you mean 'parallelism'?" in lines[1]
    assert lines[2].endswith("document 3, is not valid:")
    assert "did you mean 'timeZone'?" in lines[3]
    assert lines[5] == "  kind: 'Trial' is not allowed; write Study or StudySchedule"


@pytest.mark.parametrize("text", ["", "---\n---\n", "a: [", "- 1", "kind: [a]"])
def test_a_file_that_holds_nothing_to_apply_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "file.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(InvalidDocument, match=r"file\.yaml"):
        load_documents(path)


# ---- apply


def test_objects_are_created_then_unchanged_then_configured(cluster: MemoryCluster, file: Files) -> None:
    documents = load_documents(file(study(), schedule()))
    assert list(applied(cluster, documents)) == [
        "study/demo created in namespace default",
        "studyschedule/nightly created in namespace default",
    ]
    assert cluster.get(SCHEDULES, "default", "nightly") is not None
    assert [line.split()[1] for line in applied(cluster, documents)] == ["unchanged", "unchanged"]
    text = study()
    text["spec"] = text["spec"] | {"suspend": True}
    assert list(applied(cluster, load_documents(file(text)))) == ["study/demo configured in namespace default"]
    assert list(applied(cluster, load_documents(file(study())))) == ["study/demo configured in namespace default"]
    found = cluster.get(STUDIES, "default", "demo")
    assert found is not None
    assert "suspend" not in found["spec"]


def test_the_namespace_is_of_the_option_else_the_document_else_the_context(cluster: MemoryCluster, file: Files) -> None:
    assert "namespace here" in next(applied(cluster, load_documents(file(study())), "here"))
    assert "namespace there" in next(applied(cluster, load_documents(file(study(namespace="there")))))
    with pytest.raises(UserError, match=r"its metadata.namespace is 'there', but --namespace says 'here'"):
        list(applied(cluster, load_documents(file(study(namespace="there"))), "here"))


def test_a_dry_run_writes_nothing(cluster: MemoryCluster, file: Files) -> None:
    lines = list(applied(cluster, load_documents(file(study())), dry_run=True))
    assert lines == ["study/demo created (dry run) in namespace default"]
    assert cluster.get(STUDIES, "default", "demo") is None


class RefusesOne:
    """An API server that does not like one of the names."""

    def before(self, request: Request) -> None:
        if request.name == "bad" and request.verb == "patch":
            raise Invalid("spec.sizes: not these")

    def after(self, request: Request) -> None:
        pass


def test_none_is_written_where_the_api_server_refuses_one(cluster: MemoryCluster, file: Files) -> None:
    cluster.faults = RefusesOne()
    with pytest.raises(Invalid, match="not these"):
        list(applied(cluster, load_documents(file(study("good"), study("bad")))))
    assert list(cluster.list(STUDIES, None)) == []


def test_a_field_that_another_program_has_set_is_taken_by_force_alone(cluster: MemoryCluster, file: Files) -> None:
    list(applied(cluster, load_documents(file(study()))))
    cluster.patch(STUDIES, "default", "demo", {"spec": {"sizes": ["0", "500"]}})
    with pytest.raises(UserError, match=r"--force-conflicts takes them over .*\.spec\.sizes"):
        list(applied(cluster, load_documents(file(study()))))
    assert list(applied(cluster, load_documents(file(study())), force=True)) == [
        "study/demo configured in namespace default"
    ]


# ---- cancel


def cancel(cluster: MemoryCluster, *, timeout: float | None = 60, rounds: int = 0) -> list[str]:
    """Cancels the Study of the tests; the operator lets go of it after some rounds of waiting."""
    waited = 0

    def pause(seconds: float) -> None:
        nonlocal waited
        assert seconds > 0
        waited += 1
        if waited == rounds:
            cluster.patch(STUDIES, given.PLACE, "demo", {"metadata": {"finalizers": None}})

    found = find_study(cluster, given.PLACE, "demo")
    return list(cancelled(cluster, found, timeout=timeout, pause=pause, clock=lambda: float(10 * waited)))


def test_a_cancelled_study_is_gone_and_its_results_are_not(cluster: MemoryCluster) -> None:
    given.study(cluster)
    lines = cancel(cluster)
    assert lines[:2] == ["study/demo in namespace team is being deleted", "study/demo in namespace team has gone"]
    assert "stays in s3://bucket/prefix and in MLflow: applying it again goes on from there" in lines[2]
    assert cluster.get(STUDIES, given.PLACE, "demo") is None


def test_cancelling_waits_for_the_operator(cluster: MemoryCluster) -> None:
    given.study(cluster, finalizers=(FINALIZER,))
    assert cancel(cluster, rounds=3)[1].endswith("has gone")


def test_cancelling_ends_in_time_and_says_what_it_waits_for(cluster: MemoryCluster) -> None:
    given.study(cluster, finalizers=(FINALIZER,))
    with pytest.raises(StillThere, match=r"still there after 60 s, held by finalizers xstilts.dev/cleanup"):
        cancel(cluster)


def test_cancelling_need_not_wait(cluster: MemoryCluster) -> None:
    given.study(cluster, finalizers=(FINALIZER,), deletionPolicy="Orphan")
    lines = cancel(cluster, timeout=None)
    assert lines[0].endswith("its Trials and Jobs stay and run to their end (deletionPolicy: Orphan)")
    assert len(lines) == 2


def test_a_study_that_is_not_there_is_answered_with_those_that_are(cluster: MemoryCluster) -> None:
    given.study(cluster, "demo-a")
    given.study(cluster, "demo-b")
    with pytest.raises(UserError, match="no Study 'demo' in namespace team; there is demo-a, demo-b"):
        cancel(cluster)


# ---- retry


def failed_study(cluster: MemoryCluster) -> Object:
    owner = given.study(cluster)
    for seed, ended in ((1, "False"), (2, "True"), (3, "False")):
        reason = "StageFailed" if ended == "False" else "Succeeded"
        given.trial(
            cluster, owner, {"seed": seed}, {"evaluation/xnli": {}}, given.condition("Succeeded", ended, reason)
        )
    given.tell(cluster, owner, given.condition("Succeeded", "False", "TooManyFailedTrials"))
    return owner


def asked_again(cluster: MemoryCluster) -> list[str]:
    found = cluster.get(STUDIES, given.PLACE, "demo")
    assert found is not None
    return str(found["metadata"].get("annotations", {}).get("xstilts.dev/retry", "")).split()


def test_retry_asks_with_a_token_that_was_never_there_before(cluster: MemoryCluster) -> None:
    failed_study(cluster)
    (line,) = retried(cluster, find_study(cluster, given.PLACE, "demo"))
    assert "2 failed trials start again" in line
    first = asked_again(cluster)
    list(retried(cluster, find_study(cluster, given.PLACE, "demo")))
    assert len(first) == 1
    assert asked_again(cluster) != first


def test_retry_of_one_trial_names_it_and_others_are_refused_with_those_that_failed(cluster: MemoryCluster) -> None:
    failed_study(cluster)
    demo = find_study(cluster, given.PLACE, "demo")
    list(retried(cluster, demo, ["demo-mnli-100-d1-s3"]))
    assert asked_again(cluster)[1:] == ["demo-mnli-100-d1-s3"]
    with pytest.raises(UserError, match=r"demo-mnli-100-d1-s2 .*has not failed; failed are: demo-mnli-100-d1-s1, "):
        list(retried(cluster, demo, ["demo-mnli-100-d1-s2"]))


def test_retry_of_a_study_without_failures_is_refused(cluster: MemoryCluster) -> None:
    given.tell(cluster, given.study(cluster), given.condition("Succeeded", "Unknown", "Running"))
    with pytest.raises(UserError, match="nothing to start again"):
        list(retried(cluster, find_study(cluster, given.PLACE, "demo")))
