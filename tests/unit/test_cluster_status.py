"""What `xstilts status` says of a Study in the cluster, once and until it ends."""

import io
from collections.abc import Callable
from typing import Any

import pytest
from rich.console import Console

import cluster_studies as given
from xstilts.cli import cluster_status
from xstilts.cluster import Object
from xstilts.cluster.answers import Request
from xstilts.cluster.errors import ClusterUnavailable
from xstilts.cluster.memory import MemoryCluster
from xstilts.cluster.port import STUDIES
from xstilts.core.errors import UserError

RUNNING = given.condition("Succeeded", "Unknown", "Running")
WORK = {"state": "Running", "startTime": given.TIME, "job": "xs-1", "attempts": {"failures": 1, "preemptions": 3}}


@pytest.fixture
def cluster() -> MemoryCluster:
    return MemoryCluster()


def shown(cluster: MemoryCluster, name: str = "demo") -> str:
    console = Console(file=io.StringIO(), width=200, highlight=False)
    cluster_status.show(cluster, given.PLACE, name, console)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def watched(cluster: MemoryCluster, *steps: Callable[[], Any], terminal: bool = False) -> tuple[bool, str]:
    """Watches the Study while the steps happen, one at each pause."""
    left = list(steps)

    def pause(seconds: float) -> None:
        assert seconds >= 1
        left.pop(0)()

    file = io.StringIO()
    console = Console(file=file, width=200, height=30, highlight=False, force_terminal=terminal)
    succeeded = cluster_status.watch(cluster, given.PLACE, "demo", console, pause=pause)
    assert not left
    return succeeded, file.getvalue()


def test_everything_that_a_person_asks_for_is_there(cluster: MemoryCluster) -> None:
    study = given.study(cluster)
    given.tell(
        cluster,
        study,
        given.condition("Accepted", "True", "Accepted"),
        given.condition("StorageReady", "False", "StorageError", "PutObject [403] of bucket"),
        RUNNING,
        progress="1/3",
        counts={"trials": 3, "running": 1, "succeeded": 1, "failed": 1, "reused": 1},
        plan={
            "digest": "d",
            "uri": "s3://b/plan.json",
            "specDigest": "0",
            "trials": 3,
            "stages": 9,
            "reused": 2,
            "toRun": 7,
        },
        gpuHours="12.5",
        best=[
            {
                "target": "xnli",
                "metric": "accuracy",
                "recipe": "mnli",
                "size": "100",
                "score": "71.2",
                "interval": "0.4",
            }
        ],
        reportURL="s3://bucket/prefix/report.html",
        newField="of a newer operator",
    )
    given.trial(cluster, study, {"seed": 1}, {"evaluation/xnli": WORK}, RUNNING)
    ended = given.condition("Succeeded", "False", "StageFailed", "evaluation/xnli: OutOfMemoryError: [too] large")
    given.trial(cluster, study, {"seed": 2}, {"evaluation/xnli": {"state": "Failed"}}, ended)
    text = shown(cluster)
    for expected in (
        "study/demo in namespace team: Running, 1/3 trials ended",
        "PutObject [403] of bucket",
        "3 trials: 1 running, 1 succeeded (1 with nothing to run), 1 failed; 9 stages, 2 were there; 12.5 GPU hours",
        "StageFailed: evaluation/xnli: OutOfMemoryError: [too] large",
        "71.2 ± 0.4",
        "report: s3://bucket/prefix/report.html",
    ):
        assert expected in text
    at_work = next(line for line in text.splitlines() if "xs-1" in line)
    assert [cell.strip() for cell in at_work.strip("│").split("│")][-4:-1] == ["1", "3", "xs-1"]


def test_a_study_that_no_operator_has_seen_says_so(cluster: MemoryCluster) -> None:
    given.study(cluster)
    assert "no operator has looked at it yet" in shown(cluster)


def test_a_status_of_an_older_spec_says_so(cluster: MemoryCluster) -> None:
    given.tell(cluster, given.study(cluster), given.condition("Succeeded", "True", "Succeeded"))
    cluster.patch(STUDIES, given.PLACE, "demo", {"spec": {"sizes": ["0", "100", "200"]}})
    assert "its latest change has not been seen by the operator yet" in shown(cluster)


def test_trials_of_an_earlier_study_of_the_name_are_not_its_own(cluster: MemoryCluster) -> None:
    earlier = given.study(cluster)
    given.trial(cluster, earlier, {}, {"evaluation/xnli": WORK}, RUNNING)
    cluster.delete(STUDIES, given.PLACE, "demo")
    given.study(cluster)
    assert "demo-mnli" not in shown(cluster)


def test_an_unknown_name_is_answered_with_those_that_are_there(cluster: MemoryCluster) -> None:
    given.study(cluster)
    with pytest.raises(UserError, match="no Study 'dmo' in namespace team; there is demo"):
        shown(cluster, "dmo")


# ---- watch


@pytest.fixture
def study(cluster: MemoryCluster) -> Object:
    return given.study(cluster)


def end(cluster: MemoryCluster, study: Object, status: str) -> Callable[[], None]:
    reason = "Succeeded" if status == "True" else "TooManyFailedTrials"
    return lambda: given.tell(cluster, study, given.condition("Succeeded", status, reason), progress="3/3")


@pytest.mark.parametrize("terminal", [False, True], ids=["to a file", "to a terminal"])
@pytest.mark.parametrize("status", ["True", "False"])
def test_watching_ends_with_the_study_and_tells_how(
    cluster: MemoryCluster, study: Object, status: str, terminal: bool
) -> None:
    running = lambda: given.tell(cluster, study, RUNNING, progress="1/3")  # noqa: E731
    succeeded, text = watched(cluster, running, lambda: None, end(cluster, study, status), terminal=terminal)
    assert succeeded is (status == "True")
    assert ("Succeeded, 3/3" if succeeded else "failed (TooManyFailedTrials), 3/3") in text


def test_to_a_file_each_change_is_a_line_once(cluster: MemoryCluster, study: Object) -> None:
    def start() -> None:
        given.tell(cluster, study, RUNNING, progress="0/1")
        given.trial(cluster, study, {}, {"evaluation/xnli": WORK}, RUNNING)

    _, text = watched(cluster, start, lambda: None, end(cluster, study, "True"))
    lines = text.splitlines()
    assert lines[0] == "study/demo in namespace team: no operator has looked at it yet"
    assert lines.count("demo-mnli-100-d1-s1: Running 0/1") == 1
    assert lines[-1].startswith("0 trials")


def test_a_summary_of_an_older_spec_ends_nothing(cluster: MemoryCluster, study: Object) -> None:
    end(cluster, study, "True")()
    changed = cluster.patch(STUDIES, given.PLACE, "demo", {"spec": {"sizes": ["0", "200"]}})
    succeeded, _ = watched(cluster, end(cluster, changed, "False"))
    assert not succeeded


def test_a_study_that_is_not_accepted_ends_the_watch(cluster: MemoryCluster, study: Object) -> None:
    refused = given.condition("Accepted", "False", "InvalidStudy", "sizes: 5000 is above the data's 300 rows")
    succeeded, text = watched(cluster, lambda: given.tell(cluster, study, refused))
    assert not succeeded
    assert "5000 is above" in text
    assert "correct it, and apply it again" in text


def test_a_study_that_is_deleted_ends_the_watch(cluster: MemoryCluster, study: Object) -> None:
    succeeded, text = watched(cluster, lambda: cluster.delete(STUDIES, given.PLACE, "demo"))
    assert not succeeded
    assert text.splitlines()[-1] == "study/demo in namespace team was deleted"


class Outage:
    """Answers nothing for some requests, after those that go well."""

    def __init__(self, well: int, ill: int) -> None:
        self.left = [False] * well + [True] * ill

    def before(self, request: Request) -> None:
        if self.left and self.left.pop(0):
            raise ClusterUnavailable("no answer")

    def after(self, request: Request) -> None:
        pass


def test_a_cluster_that_does_not_answer_is_asked_again(cluster: MemoryCluster, study: Object) -> None:
    cluster.faults = Outage(1, 2)
    succeeded, text = watched(cluster, lambda: None, lambda: None, end(cluster, study, "True"))
    assert succeeded
    assert text.count("no answer; trying again") == 2
