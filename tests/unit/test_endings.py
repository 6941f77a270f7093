"""Ends of pods, as kubelets and controllers write them: which budget each is charged to, and why."""

from typing import Any

import pytest

from xstilts.core.attempts import Cause, cause_of
from xstilts.core.errors import ExitCode
from xstilts.engines.endings import PodEnding, ending, obstacle
from xstilts.engines.pod_fields import Object

DISRUPTED = {"type": "DisruptionTarget", "status": "True", "reason": "PreemptionByScheduler", "message": "preempted"}


def pod(phase: str = "Failed", *, deleted: bool = False, container: str = "stage", **status: Any) -> Object:
    labels = {"batch.kubernetes.io/job-name": "xs-1", "xstilts.dev/stage-key": "k"}
    metadata: Object = {"name": "xs-1-abc", "uid": "u", "labels": labels}
    if deleted:
        metadata["deletionTimestamp"] = "2026-03-01T12:00:00Z"
    state = status.pop("state", None)
    containers = [{"name": "istio-proxy", "state": {"terminated": {"exitCode": 0}}}]
    if state:
        containers.append({"name": container, "state": state})
    return {"metadata": metadata, "status": {"phase": phase, "containerStatuses": containers, **status}}


def exited(code: int, reason: str = "Error", message: str = "") -> Object:
    finished = "2026-03-01T12:00:00Z"
    return {"terminated": {"exitCode": code, "reason": reason, "message": message, "finishedAt": finished}}


def end_of(found: Object) -> PodEnding:
    ended = ending(found)
    assert ended is not None
    return ended


@pytest.mark.parametrize("phase", ["Pending", "Running"])
def test_a_pod_that_is_there_has_not_ended(phase: str):
    assert ending(pod(phase, conditions=[DISRUPTED])) is None


def test_an_end_tells_which_attempt_at_what_it_was():
    ended = end_of(pod("Succeeded", state=exited(0, "Completed")))
    assert (ended.pod, ended.uid, ended.workload, ended.stage_key) == ("xs-1-abc", "u", "xs-1", "k")
    assert (ended.cause, ended.exit_code, ended.finished) == (Cause.SUCCEEDED, 0, 1772366400)


@pytest.mark.parametrize("code", list(ExitCode))
def test_what_a_stage_says_of_itself_counts(code: ExitCode):
    ended = end_of(pod(state=exited(code, message="the last line\n")))
    assert (ended.cause, ended.exit_code) == (cause_of(code), code)
    assert ended.message == "the last line"


HOPELESS = [ExitCode.INVALID_INPUT, ExitCode.PERMANENT, ExitCode.DIVERGED, ExitCode.OUT_OF_MEMORY]


@pytest.mark.parametrize("code", HOPELESS)
def test_a_stage_that_can_not_succeed_is_believed_also_in_an_eviction(code: ExitCode):
    assert end_of(pod(state=exited(code), conditions=[DISRUPTED])).cause is Cause.HOPELESS


CASES: dict[str, tuple[Object, Cause, str]] = {
    "out of memory of a device has a name": (pod(state=exited(5)), Cause.HOPELESS, "OutOfMemory"),
    "preempted, and its progress saved": (pod(state=exited(11), conditions=[DISRUPTED]), Cause.PREEMPTED, "Preempted"),
    "preempted, and killed after its time": (
        pod(state=exited(137), conditions=[DISRUPTED]),
        Cause.PREEMPTED,
        "PreemptionByScheduler",
    ),
    "the network went with the node": (
        pod(state=exited(12), conditions=[DISRUPTED | {"reason": "DeletionByTaintManager"}]),
        Cause.PREEMPTED,
        "DeletionByTaintManager",
    ),
    "evicted by a kubelet that is short of memory": (
        pod(
            state=exited(137, "OOMKilled"),
            reason="Evicted",
            conditions=[DISRUPTED | {"reason": "TerminationByKubelet"}],
        ),
        Cause.PREEMPTED,
        "TerminationByKubelet",
    ),
    "killed at its own memory limit": (pod(state=exited(137, "OOMKilled")), Cause.HOPELESS, "OOMKilled"),
    "one of its processes was killed at the memory limit": (
        pod(state=exited(1, "OOMKilled")),
        Cause.HOPELESS,
        "OOMKilled",
    ),
    "killed by nobody knows whom": (pod(state=exited(137)), Cause.RETRYABLE, "ExitCode137"),
    "crashed in native code": (pod(state=exited(139)), Cause.RETRYABLE, "ExitCode139"),
    "an error that nobody foresaw": (pod(state=exited(1)), Cause.RETRYABLE, "Failed"),
    "evicted for its own scratch space": (
        pod(state=exited(137), reason="Evicted", message='Usage of EmptyDir volume "cache" exceeds the limit "20Gi"'),
        Cause.RETRYABLE,
        "Evicted",
    ),
    "deleted by a person, and killed after its time": (
        pod(deleted=True, state=exited(137)),
        Cause.PREEMPTED,
        "Deleted",
    ),
    "deleted by a person, after an error of its own": (pod(deleted=True, state=exited(1)), Cause.RETRYABLE, "Failed"),
    "refused by the kubelet": (
        pod(reason="UnexpectedAdmissionError", message="Allocate failed"),
        Cause.PREEMPTED,
        "UnexpectedAdmissionError",
    ),
    "collected with a node that is gone": (
        pod(conditions=[DISRUPTED | {"reason": "DeletionByPodGC"}]),
        Cause.PREEMPTED,
        "DeletionByPodGC",
    ),
    "lost by a kubelet that came back": (
        pod(state=exited(137, "ContainerStatusUnknown")),
        Cause.PREEMPTED,
        "ContainerStatusUnknown",
    ),
    "gone without a word": (pod(), Cause.PREEMPTED, "EndedFromOutside"),
    "its disruption was called off": (
        pod(state=exited(1), conditions=[DISRUPTED | {"status": "False"}]),
        Cause.RETRYABLE,
        "Failed",
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_an_end_is_charged_to_what_ended_it(case: str):
    found, cause, reason = CASES[case]
    ended = end_of(found)
    assert (ended.cause, ended.reason) == (cause, reason)


def test_a_pod_of_a_train_job_belongs_to_the_train_job():
    found = pod(state=exited(4), container="node")
    found["metadata"]["labels"] |= {"jobset.sigs.k8s.io/jobset-name": "xs-2"}
    ended = end_of(found)
    assert (ended.workload, ended.cause) == ("xs-2", Cause.HOPELESS)


# ---- pods that do not start


def test_a_pod_that_starts_in_the_usual_way_meets_no_obstacle():
    assert obstacle(pod("Pending", state={"waiting": {"reason": "ContainerCreating"}})) is None
    assert obstacle(pod("Pending")) is None
    assert obstacle(pod("Running", state={"running": {}})) is None


def test_an_image_that_is_not_there_is_an_obstacle():
    waiting = {"waiting": {"reason": "ImagePullBackOff", "message": "Back-off pulling image"}}
    assert str(obstacle(pod("Pending", state=waiting))) == "ImagePullBackOff: Back-off pulling image"


def test_no_node_with_room_is_an_obstacle():
    unscheduled = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/1 nodes"}
    assert str(obstacle(pod("Pending", conditions=[unscheduled]))) == "Unschedulable: 0/1 nodes"


def test_a_stages_own_words_are_reason_and_message_and_other_lines_are_left_as_they_are():
    ended = end_of(pod(state=exited(12, message="StorageUnavailable: no answer\nfrom s3:9000")))
    assert (ended.cause, ended.reason, ended.message) == (Cause.OUTAGE, "StorageUnavailable", "no answer\nfrom s3:9000")
    ended = end_of(pod(state=exited(12, message="2026-03-01 ERROR x: StorageUnavailable: no answer")))
    assert (ended.reason, ended.message) == ("Unavailable", "2026-03-01 ERROR x: StorageUnavailable: no answer")
