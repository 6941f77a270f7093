"""Which log `xstilts logs` shows, and from where."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import cluster_studies as given
from xstilts.cli import pod_logs
from xstilts.cli.cluster_views import find_study
from xstilts.cluster import Object
from xstilts.cluster.memory import MemoryCluster
from xstilts.cluster.port import PODS
from xstilts.core.errors import UserError
from xstilts.core.keys import stage_address
from xstilts.core.results import Outcome
from xstilts.store import ObjectStore, open_store

TRAIN, EVALUATE = "intermediate-training", "evaluation/xnli"
SUMMARY = given.condition("Succeeded", "Unknown", "Running")
EARLY, LATE = "2026-01-01T00:00:00Z", "2026-01-01T00:09:00Z"


def running(job: str = "", start: str = EARLY) -> dict[str, Any]:
    return {"state": "Running", "job": job, "startTime": start}


@pytest.fixture
def cluster() -> MemoryCluster:
    return MemoryCluster()


@pytest.fixture
def store(tmp_path: Path) -> ObjectStore:
    return open_store(f"file:{tmp_path}/store")


@pytest.fixture
def study(cluster: MemoryCluster, tmp_path: Path) -> Object:
    return given.study(cluster, store={"uri": f"file:{tmp_path}/store"})


Logs = Callable[..., tuple[str, str]]


@pytest.fixture
def logs(cluster: MemoryCluster, study: Object, store: ObjectStore, capsys: pytest.CaptureFixture[str]) -> Logs:
    """Runs the command; its output and what it notes beside."""

    def run(*steps: Callable[[], Any], trial: str = "", stage: str = "", follow: bool = False) -> tuple[str, str]:
        left = list(steps)

        def pause(seconds: float) -> None:
            assert seconds > 0
            left.pop(0)()

        found = find_study(cluster, given.PLACE, study["metadata"]["name"])
        pod_logs.show(cluster, found, trial=trial, stage=stage, follow=follow, pause=pause, open_store=lambda: store)
        assert not left
        printed = capsys.readouterr()
        return printed.out, printed.err

    return run


# ---- which stage


def test_the_stage_at_work_that_started_last_is_shown_with_a_hint_at_others(
    cluster: MemoryCluster, study: Object, logs: Logs
) -> None:
    given.trial(cluster, study, {"seed": 1}, {TRAIN: running("xs-a", EARLY)}, SUMMARY)
    given.trial(cluster, study, {"seed": 2}, {EVALUATE: running("xs-b", LATE)}, SUMMARY)
    given.pod(cluster, "a", TRAIN, job="xs-a")
    given.pod(cluster, "b", EVALUATE, job="xs-b")
    cluster.write_log(given.PLACE, "b", b"evaluating\n")
    out, err = logs()
    assert out == "evaluating\n"
    assert err.splitlines() == [
        "1 other stages are at work; choose by --trial and --stage",
        "evaluation/xnli of trial demo-mnli-100-d1-s2: pod b",
    ]


@pytest.mark.parametrize(
    "asked",
    [
        {"trial": "demo-mnli-100-d1-s1"},
        {"trial": "mnli-100-d1-s1"},
        {"stage": "intermediate-training"},
        {"trial": "mnli-100-d1-s1", "stage": "intermediate-training"},
    ],
    ids=["by the Trial", "by the point", "by the stage", "by both"],
)
def test_another_stage_may_be_asked_for(
    cluster: MemoryCluster, study: Object, logs: Logs, asked: dict[str, str]
) -> None:
    given.trial(cluster, study, {"seed": 1}, {TRAIN: running("xs-a", EARLY)}, SUMMARY)
    given.trial(cluster, study, {"seed": 2}, {EVALUATE: running("xs-b", LATE)}, SUMMARY)
    given.pod(cluster, "a", TRAIN, job="xs-a")
    cluster.write_log(given.PLACE, "a", b"training\n")
    assert logs(**asked)[0] == "training\n"


def test_where_nothing_is_at_work_the_stage_that_failed_last_is_shown(
    cluster: MemoryCluster, study: Object, store: ObjectStore, logs: Logs
) -> None:
    failed = {"state": "Failed", "completionTime": EARLY}
    done = {"state": "Succeeded", "completionTime": LATE}
    given.trial(cluster, study, {"seed": 1}, {TRAIN: failed}, SUMMARY)
    given.trial(cluster, study, {"seed": 2}, {EVALUATE: done}, SUMMARY)
    store.put(f"{stage_address(TRAIN, given.stage_key(TRAIN))}/log.txt", b"the end\n")
    assert logs()[0] == "the end\n"


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"trial": "mnli-100-d1-s3"}, "--trial mnli-100-d1-s3: study/demo in namespace team has demo-mnli-100-d1-s1"),
        ({"stage": "evaluation/xnly"}, "--stage evaluation/xnly: there is evaluation/xnli"),
        ({"stage": EVALUATE}, "no stage that is asked for has started yet: parallelism is used up"),
    ],
    ids=["an unknown trial", "an unknown stage", "a stage that waits"],
)
def test_what_cannot_be_shown_is_said(
    cluster: MemoryCluster, study: Object, logs: Logs, asked: dict[str, str], message: str
) -> None:
    waits = {"state": "Waiting", "message": "parallelism is used up"}
    given.trial(cluster, study, {}, {TRAIN: running(), EVALUATE: waits}, SUMMARY)
    with pytest.raises(UserError, match=message):
        logs(**asked)


# ---- from where


def test_of_several_attempts_and_nodes_the_first_node_of_the_latest_is_shown(
    cluster: MemoryCluster, study: Object, logs: Logs
) -> None:
    given.trial(cluster, study, {}, {TRAIN: running("xs-b")}, SUMMARY)
    rank = "batch.kubernetes.io/job-completion-index"
    jobset = {"jobset.sigs.k8s.io/jobset-name": "xs-b"}
    given.pod(cluster, "of-another-store", TRAIN, job="xs-a")
    given.pod(cluster, "second-node", TRAIN, job="xs-b-node", **jobset, **{rank: "1"})
    given.pod(cluster, "first-node", TRAIN, job="xs-b-node", **jobset, **{rank: "0"})
    cluster.write_log(given.PLACE, "first-node", b"rank 0\n")
    assert logs() == ("rank 0\n", f"{TRAIN} of trial demo-mnli-100-d1-s1: pod first-node\n")


def test_where_the_pod_has_gone_the_store_has_the_last_lines_and_the_end(
    cluster: MemoryCluster, study: Object, store: ObjectStore, logs: Logs
) -> None:
    given.trial(cluster, study, {}, {TRAIN: {"state": "Failed", "job": "xs-a"}}, SUMMARY)
    address = stage_address(TRAIN, given.stage_key(TRAIN))
    outcome = Outcome(exit_code=4, reason="DivergenceError", message="loss is nan", holder="h", started=0, finished=1)
    store.put(f"{address}/log.txt", "step 7: ∞\n".encode())
    store.put(f"{address}/outcome.json", outcome.model_dump_json().encode())
    out, err = logs()
    assert out == "step 7: ∞\n"
    assert f"no pod is left; the last lines, from {store.uri}/{address}/log.txt" in err
    assert err.endswith("DivergenceError (exit code 4): loss is nan\n")


def test_a_stage_that_has_left_nothing_says_where_it_was_looked_for(
    cluster: MemoryCluster, study: Object, store: ObjectStore, logs: Logs
) -> None:
    given.trial(cluster, study, {}, {TRAIN: {"state": "Failed", "job": "xs-a"}}, SUMMARY)
    with pytest.raises(UserError, match=r"no pod is left, and .*/stages/intermediate-training/.* holds no log"):
        logs()


# ---- as it is written


def test_following_goes_on_from_attempt_to_attempt_until_the_stage_ends(
    cluster: MemoryCluster, study: Object, logs: Logs
) -> None:
    trial = given.trial(cluster, study, {}, {TRAIN: running("xs-a")}, SUMMARY)
    first: list[Object] = []

    def start() -> None:
        first.append(given.pod(cluster, "a", TRAIN, job="xs-a"))
        cluster.write_log(given.PLACE, "a", b"one\n")

    def go_on() -> None:
        cluster.write_log(given.PLACE, "a", b"two\n")
        given.update(cluster, first[0], phase="Failed")

    def retry() -> None:
        cluster.delete(PODS, given.PLACE, "a")
        given.pod(cluster, "b", TRAIN, job="xs-a", phase="Succeeded")
        cluster.write_log(given.PLACE, "b", b"three\n")
        given.update(cluster, trial, stages=[{"name": TRAIN, "state": "Succeeded", "job": "xs-a"}])

    out, err = logs(start, go_on, retry, follow=True)
    assert out == "one\ntwo\nthree\n"
    assert err.splitlines() == [
        f"{TRAIN} of trial demo-mnli-100-d1-s1: waits for a pod",
        f"{TRAIN} of trial demo-mnli-100-d1-s1: pod a",
        f"{TRAIN} of trial demo-mnli-100-d1-s1: pod b",
    ]


def test_following_a_pod_that_cannot_start_says_why_once(cluster: MemoryCluster, study: Object, logs: Logs) -> None:
    given.trial(cluster, study, {}, {TRAIN: running("xs-a")}, SUMMARY)
    pod = given.pod(cluster, "a", TRAIN, job="xs-a", phase="Pending")
    waiting = {"state": {"waiting": {"reason": "ImagePullBackOff", "message": "no such image"}}}
    given.update(cluster, pod, containerStatuses=[waiting])

    def start() -> None:
        given.update(cluster, pod, phase="Succeeded")
        cluster.write_log(given.PLACE, "a", b"one\n")
        given.update(cluster, trial_of(cluster), stages=[{"name": TRAIN, "state": "Succeeded", "job": "xs-a"}])

    out, err = logs(lambda: None, start, follow=True)
    assert out == "one\n"
    assert err.count("waits for a pod (ImagePullBackOff: no such image)") == 1


def test_following_a_stage_that_has_ended_shows_what_is_left(
    cluster: MemoryCluster, study: Object, store: ObjectStore, logs: Logs
) -> None:
    given.trial(cluster, study, {}, {TRAIN: {"state": "Succeeded", "job": "xs-a"}}, SUMMARY)
    store.put(f"{stage_address(TRAIN, given.stage_key(TRAIN))}/log.txt", b"kept\n")
    assert logs(follow=True)[0] == "kept\n"


def trial_of(cluster: MemoryCluster) -> Object:
    from xstilts.cluster.port import TRIALS

    (trial,) = cluster.list(TRIALS, given.PLACE)
    return trial
