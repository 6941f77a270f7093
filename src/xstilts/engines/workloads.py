"""A Job or TrainJob of the Jobs engine read back from the cluster: where it stands, who owns it, what it uses."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, NamedTuple

from xstilts.api import names
from xstilts.api.study import StageResources
from xstilts.engines.pod_fields import Object
from xstilts.engines.quantities import quantity

ACCELERATORS = re.compile(r"/(gpu|mig-|tpu|i915|xe|gaudi|neuron)")
"""In names of resources: `nvidia.com/gpu`, `google.com/tpu`; not network cards and the like."""


class WorkloadState(StrEnum):
    ACTIVE = "Active"  # its pods run, or wait for a node
    SUSPENDED = "Suspended"  # by Kueue or the operator: it has no pods
    TERMINATING = "Terminating"  # it will end, or is being deleted: pods may still save their progress
    SUCCEEDED = "Succeeded"
    FAILED = "Failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Workload:
    """What the operator needs to know of one object."""

    kind: str
    """`Job` or `TrainJob`."""
    name: str
    namespace: str
    uid: str
    resource_version: str
    stage_key: str
    stage_kind: str
    generation: int
    study: str
    """Name of the Study that started it, and below of the Trial."""
    trial: str
    owners: tuple[str, ...]
    """Uids of the Studies that want it."""
    state: WorkloadState
    reason: str
    message: str
    started: int | None
    """Seconds since 1970, when its pods were first asked for since it was last suspended; None before."""
    completed: int | None
    """When it succeeded or failed."""
    active: int
    """Pods (of a TrainJob: jobs) that run, or wait to."""
    ready: int
    """Pods (of a TrainJob: 1 when all pods) that run."""
    failed: int
    """Pods (of a TrainJob: jobs) that were charged to a budget of failures."""
    gpus: int
    """Accelerators of all its nodes together."""

    @property
    def is_finished(self) -> bool:
        return self.state in {WorkloadState.SUCCEEDED, WorkloadState.FAILED}


def workload(found: Mapping[str, Any]) -> Workload:
    """Reads an object that `xstilts.engines.jobs.manifest` made."""
    metadata, status = found["metadata"], found.get("status") or {}
    labels = metadata.get("labels") or {}
    state, condition = _state(found)
    finished = state in {WorkloadState.SUCCEEDED, WorkloadState.FAILED}
    jobs = status.get("jobsStatus") or [status]  # a TrainJob counts by job
    generation = labels.get(names.GENERATION, "")
    return Workload(
        kind=found["kind"],
        name=metadata["name"],
        namespace=metadata.get("namespace", ""),
        uid=metadata.get("uid", ""),
        resource_version=metadata.get("resourceVersion", ""),
        stage_key=labels.get(names.STAGE_KEY, ""),
        stage_kind=labels.get(names.STAGE, ""),
        generation=int(generation) if generation.isdecimal() else 0,
        study=labels.get(names.STUDY, ""),
        trial=labels.get(names.TRIAL, ""),
        owners=tuple(owner["uid"] for owner in metadata.get("ownerReferences") or ()),
        state=state,
        reason=condition.get("reason", ""),
        message=condition.get("message", ""),
        started=_started(found, state),
        completed=_epoch(status.get("completionTime") or condition.get("lastTransitionTime")) if finished else None,
        active=sum(job.get("active") or 0 for job in jobs),
        ready=sum(job.get("ready") or 0 for job in jobs),
        failed=sum(job.get("failed") or 0 for job in jobs),
        gpus=_gpus(_shape(found)),
    )


def _state(found: Mapping[str, Any]) -> tuple[WorkloadState, Mapping[str, Any]]:
    """With the condition that tells why. FailureTarget and SuccessCriteriaMet come while pods still end."""
    true = {condition["type"]: condition for condition in _conditions(found) if condition["status"] == "True"}
    for kind, state in (("Complete", WorkloadState.SUCCEEDED), ("Failed", WorkloadState.FAILED)):
        if kind in true:
            return state, true[kind]
    ending = true.get("FailureTarget") or true.get("SuccessCriteriaMet")
    if ending or "deletionTimestamp" in found["metadata"]:
        return WorkloadState.TERMINATING, ending or {}
    if found["spec"].get("suspend"):
        return WorkloadState.SUSPENDED, true.get("Suspended", {})
    return WorkloadState.ACTIVE, {}


def _conditions(found: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return (found.get("status") or {}).get("conditions") or []


def _started(found: Mapping[str, Any], state: WorkloadState) -> int | None:
    """A TrainJob tells when it was resumed, and is at work from its creation where it never was suspended."""
    if state is WorkloadState.SUSPENDED:
        return None
    if found["kind"] == "Job":
        return _epoch((found.get("status") or {}).get("startTime"))
    suspended = next((each for each in _conditions(found) if each["type"] == "Suspended"), None)
    return _epoch((suspended or {}).get("lastTransitionTime") or found["metadata"].get("creationTimestamp"))


def _epoch(time: str | None) -> int | None:
    return int(datetime.fromisoformat(time).timestamp()) if time else None


# ---- resources


class _Shape(NamedTuple):
    nodes: int
    processes: int
    requests: Mapping[str, str]
    limits: Mapping[str, str]


def differs(job: Mapping[str, Any], wanted: Mapping[str, Any]) -> list[str]:
    """Resources in which an object differs from the one that another Study would have made; empty if in none.

    `limits.memory is 8Gi, not 16Gi`: first what is there, then what was wanted.
    """
    return _lines(_shape(job), _shape(wanted))


def _lines(there: _Shape, asked: _Shape) -> list[str]:
    lines = [f"nodes is {there.nodes}, not {asked.nodes}"] if there.nodes != asked.nodes else []
    if there.processes != asked.processes:
        lines.append(f"processesPerNode is {there.processes}, not {asked.processes}")
    lines += _differences("requests", there.requests, asked.requests)
    lines += _differences("limits", there.limits, asked.limits)
    return lines


def differs_from_asked(job: Mapping[str, Any], asked: StageResources) -> list[str]:
    """The same for what a Study asks for, whatever is added by default."""
    there = _shape(job)
    requests = {name: amount for name, amount in there.requests.items() if name in asked.requests}
    shape = _Shape(there.nodes, there.processes, requests, there.limits)
    return _lines(shape, _Shape(asked.nodes, asked.processes_per_node, asked.requests, asked.limits))


def _differences(field: str, there: Mapping[str, str], asked: Mapping[str, str]) -> Iterator[str]:
    for name in sorted({*there, *asked}):
        has, wants = there.get(name), asked.get(name)
        if has is None or wants is None or quantity(has) != quantity(wants):
            yield f"{field}.{name} is {has or 'unset'}, not {wants or 'unset'}"


def _shape(found: Mapping[str, Any]) -> _Shape:
    if found["kind"] == "TrainJob":
        trainer = found["spec"].get("trainer") or {}
        amounts = trainer.get("resourcesPerNode") or {}
        nodes, processes = trainer.get("numNodes") or 1, trainer.get("numProcPerNode") or 1
    else:
        container: Object = found["spec"]["template"]["spec"]["containers"][0]
        command = container.get("command") or []
        amounts, nodes = container.get("resources") or {}, 1
        option = "--nproc-per-node"
        processes = int(command[command.index(option) + 1]) if option in command else 1
    return _Shape(nodes, processes, amounts.get("requests") or {}, amounts.get("limits") or {})


def _gpus(shape: _Shape) -> int:
    each = sum(int(quantity(amount)) for name, amount in shape.limits.items() if ACCELERATORS.search(name))
    return each * shape.nodes
