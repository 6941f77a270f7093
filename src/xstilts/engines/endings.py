"""How a pod of the Jobs engine ended, from its status alone, and why one that waits does not start.

The same order as a Job's podFailurePolicy: what the stage itself says with its exit code counts first, then what the
cluster did to the pod. Two ends are told better than that policy can: a kill for memory, which has the exit code of any
other kill, and a pod that a person deleted, which has no DisruptionTarget.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from xstilts.api import names
from xstilts.core.attempts import Cause, cause_of
from xstilts.core.errors import ExitCode
from xstilts.engines.pods import CONTAINER
from xstilts.engines.trainjobs import NODE

JOB_LABEL = "batch.kubernetes.io/job-name"
JOB_SET_LABEL = "jobset.sigs.k8s.io/jobset-name"
"""A TrainJob's JobSet has its name; its Jobs have others."""
_SIGNALS = 128
"""Exit codes above it are kills by a signal."""
_WORDS = re.compile(r"([A-Z]\w*): (.*)", re.DOTALL)
"""What a stage leaves for the kubelet, `reason: message` (`xstilts.stages.runner`). Else the pod has its last lines."""
_OUT_OF_MEMORY = "OOMKilled"
_LOST = "ContainerStatusUnknown"
"""The node went away, or the kubelet lost sight of the container."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PodEnding:
    """One attempt at a stage that is over."""

    pod: str
    uid: str
    workload: str
    """Name of the Job or TrainJob."""
    stage_key: str
    cause: Cause
    exit_code: int | None
    """None where the stage never ran, or nobody saw its end."""
    reason: str
    message: str
    """For failures the last lines that the stage printed; `outcome.json` in the store tells more."""
    started: int | None = None
    """Seconds since 1970."""
    finished: int | None = None
    """Seconds since 1970."""
    owner: str = ""
    """Uid of the Job whose pod it was; empty where nobody says."""

    @property
    def seconds(self) -> float:
        """How long the stage ran."""
        return (self.finished or 0) - (self.started or self.finished or 0)


def ending(pod: Mapping[str, Any]) -> PodEnding | None:
    """None for a pod that has not ended."""
    status, metadata = pod.get("status") or {}, pod["metadata"]
    if status.get("phase") not in {"Succeeded", "Failed"}:
        return None
    end = _terminated(status)
    cause, reason, message = _judged(pod, status, end)
    labels = metadata.get("labels") or {}
    return PodEnding(
        pod=metadata["name"],
        uid=metadata.get("uid", ""),
        workload=next((labels[label] for label in (JOB_SET_LABEL, JOB_LABEL) if label in labels), ""),
        stage_key=labels.get(names.STAGE_KEY, ""),
        cause=cause,
        exit_code=_exit_code(end),
        reason=reason,
        message=message,
        started=_epoch(end.get("startedAt")),
        finished=_epoch(end.get("finishedAt")),
        owner=_owner(metadata),
    )


def _epoch(time: str | None) -> int | None:
    return int(datetime.fromisoformat(time).timestamp()) if time else None


def _owner(metadata: Mapping[str, Any]) -> str:
    owners = (owner["uid"] for owner in metadata.get("ownerReferences") or () if owner.get("kind") == "Job")
    return next(owners, "")


def _judged(pod: Mapping[str, Any], status: Mapping[str, Any], end: Mapping[str, Any]) -> tuple[Cause, str, str]:
    """Cause, reason and message."""
    if status["phase"] == "Succeeded":
        return Cause.SUCCEEDED, "Succeeded", ""
    code, said = _exit_code(end), end.get("message", "").strip()
    words = _WORDS.fullmatch(said)
    own = Cause.RETRYABLE if code is None else cause_of(code)
    if code is not None and own not in {Cause.RETRYABLE, Cause.OUTAGE}:
        return (own, words[1], words[2]) if words else (own, _name(code), said)
    if outside := _from_outside(pod, status, end):
        return Cause.PREEMPTED, *outside
    if end.get("reason") == _OUT_OF_MEMORY:
        return Cause.HOPELESS, _OUT_OF_MEMORY, "the container used up its memory; raise spec.resources limits.memory"
    if words:
        return own, words[1], words[2]
    return own, status.get("reason") or _name(end["exitCode"]), said or status.get("message", "")


def _from_outside(pod: Mapping[str, Any], status: Mapping[str, Any], end: Mapping[str, Any]) -> tuple[str, str] | None:
    """Reason and message where the cluster or a person ended the pod."""
    conditions = status.get("conditions") or ()
    for condition in conditions:
        if condition["type"] == "DisruptionTarget" and condition["status"] == "True":
            return condition.get("reason") or "DisruptionTarget", condition.get("message", "")
    code = _exit_code(end)
    if code is None:  # the kubelet refused the pod, or the node is gone
        return status.get("reason") or end.get("reason") or "EndedFromOutside", status.get("message", "")
    if code > _SIGNALS and "deletionTimestamp" in pod["metadata"]:
        return "Deleted", "the pod was deleted, and did not end by itself in its time"
    return None


def _terminated(status: Mapping[str, Any]) -> Mapping[str, Any]:
    """How the stage's own container ended, whatever sidecars did."""
    for container in status.get("containerStatuses") or ():
        if container["name"] in {CONTAINER, NODE}:
            return (container.get("state") or {}).get("terminated") or {}
    return {}


def _exit_code(end: Mapping[str, Any]) -> int | None:
    return None if end.get("reason") == _LOST else end.get("exitCode")


def _name(code: int) -> str:
    """`OutOfMemory` for 5, `ExitCode137` for what is none of ours."""
    if code not in {int(known) for known in ExitCode}:
        return f"ExitCode{code}"
    return "".join(part.capitalize() for part in ExitCode(code).name.split("_"))


# ---- pods that do not start


@dataclass(frozen=True, slots=True)
class Obstacle:
    """What keeps a stage's pod from starting."""

    reason: str
    message: str
    since: int
    """When the pod was made, seconds since 1970."""
    owner: str = ""
    """Uid of the Job whose pod it is; empty where nobody says."""

    def __str__(self) -> str:
        return f"{self.reason}: {self.message}".rstrip(": ")


FAILED_CREATE = "FailedCreate"
"""The Job can't make a pod: a quota, a policy."""
NO_ROOM = frozenset({"Unschedulable", FAILED_CREATE})
"""Obstacles that go when other pods end."""


def obstacle(pod: Mapping[str, Any]) -> Obstacle | None:
    """Why a pod has not started, such as `ImagePullBackOff: …` or `Unschedulable: …`; None where nothing is amiss."""
    status = pod.get("status") or {}
    if status.get("phase") != "Pending":
        return None
    for container in [*(status.get("initContainerStatuses") or ()), *(status.get("containerStatuses") or ())]:
        waiting = (container.get("state") or {}).get("waiting") or {}
        if waiting.get("reason", "") not in {"", "ContainerCreating", "PodInitializing"}:
            return _obstacle(pod, waiting)
    for condition in status.get("conditions") or ():
        if condition["type"] == "PodScheduled" and condition["status"] == "False":
            return _obstacle(pod, condition)
    return None


def _obstacle(pod: Mapping[str, Any], told: Mapping[str, Any]) -> Obstacle:
    metadata = pod["metadata"]
    made = _epoch(metadata.get("creationTimestamp")) or 0
    return Obstacle(told.get("reason", ""), told.get("message", ""), made, _owner(metadata))
