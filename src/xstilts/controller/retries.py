"""Failed trials that start again, as `xstilts retry` asks by an annotation. Pure.

Honoured exactly once for each value: first the Jobs that failed are left, then the statuses of the trials that failed
are made new, and last the value is noted in the Study's status. Each step is seen from how things are, so it may be cut
off anywhere; nothing starts in between.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from xstilts.api.conditions import Condition, ConditionStatus, find_condition, set_condition
from xstilts.api.names import Reason, TrialCondition
from xstilts.api.trial import Attempts, StageState, StageStatus, TrialStatus
from xstilts.controller.actions import Action, Leave, StopJob
from xstilts.controller.clock import timestamp
from xstilts.controller.views import Observed, StudyView, TrialOutline
from xstilts.engines.workloads import Workload, WorkloadState

FRESH = {"reason": "", "message": "", "attempts": Attempts(), "job": "", "start_time": None, "completion_time": None}


@dataclass(frozen=True, slots=True)
class Left:
    """What is left to do."""

    actions: tuple[Action, ...] = ()
    trials: Mapping[str, TrialStatus] = field(default_factory=dict)
    """By name, with the status that they failed with."""


def is_asked(study: StudyView) -> bool:
    return bool(study.retry) and study.retry != study.status.retried


def start_over(observed: Observed) -> Left | None:
    """The next step; None where all is done."""
    failed = {trial.name: _failed_stages(observed, trial) for trial in _failed_trials(observed)}
    chosen = _chosen(failed, observed.study.retry.split()[1:], _begun(observed))
    addresses = {address for name in chosen for address in failed[name]}
    keys = {address.rsplit("/", 1)[-1] for address in addresses}
    if actions := tuple(_partings(observed, keys)):
        return Left(actions)
    if chosen:
        statuses = {name: observed.trials[name].status or TrialStatus() for name in sorted(chosen)}
        return Left(trials=statuses)
    return None


def renewed(failed: TrialStatus, now: float) -> TrialStatus:
    """The status of a trial that starts again: what it was charged for is kept."""
    condition = Condition(
        type=TrialCondition.SUCCEEDED,
        status=ConditionStatus.UNKNOWN,
        observed_generation=1,
        last_transition_time=timestamp(now),
        reason=Reason.RETRYING,
    )
    stages = tuple(_renewed_stage(stage) for stage in failed.stages)
    update = {"conditions": set_condition(failed.conditions, condition), "completion_time": None, "stages": stages}
    return failed.model_copy(update=update)


def _renewed_stage(stage: StageStatus) -> StageStatus:
    if stage.state is not StageState.FAILED:
        return stage
    return stage.model_copy(update={"state": StageState.WAITING, **FRESH})


def _begun(observed: Observed) -> set[str]:
    """Addresses of the stages of trials that were made new already, where a retry was cut off between two trials."""
    outline = observed.facts.outline
    return {
        address
        for trial in (outline.trials if outline else ())
        if (view := observed.trials.get(trial.name)) and view.status and _is_new(view.status)
        for _, address in trial.stages
    }


def _is_new(status: TrialStatus) -> bool:
    found = find_condition(status.conditions, TrialCondition.SUCCEEDED)
    return found is not None and found.reason == Reason.RETRYING


def _failed_trials(observed: Observed) -> Iterator[TrialOutline]:
    outline = observed.facts.outline
    for trial in outline.trials if outline else ():
        view = observed.trials.get(trial.name)
        if view and view.ended == "Failed":
            yield trial


def _failed_stages(observed: Observed, trial: TrialOutline) -> frozenset[str]:
    """Addresses."""
    status, addresses = observed.trials[trial.name].status, dict(trial.stages)
    stages = status.stages if status else ()
    return frozenset(
        addresses[stage.name] for stage in stages if stage.state is StageState.FAILED and stage.name in addresses
    )


def _chosen(failed: Mapping[str, frozenset[str]], names: list[str], begun: set[str]) -> set[str]:
    """All that failed, or those that are named and whatever failed by the same stages, which may be begun already."""
    if not names:
        return set(failed)
    chosen = {name for name, addresses in failed.items() if name in names or addresses & begun}
    while more := {name for name in failed.keys() - chosen if any(failed[name] & failed[other] for other in chosen)}:
        chosen |= more
    return chosen


def _partings(observed: Observed, keys: set[str]) -> Iterator[Action]:
    """A failed Job that is left counts no more: the next generation is made."""
    for job in observed.owned:
        if job.stage_key in keys:
            if job.state is WorkloadState.FAILED:
                yield Leave(job.name, job.kind)
            elif _works_for(observed, job):
                yield StopJob(job.name, job.kind, job.uid)


def _works_for(observed: Observed, job: Workload) -> bool:
    started_here = job.study == observed.study.name
    return started_here and job.state in {WorkloadState.ACTIVE, WorkloadState.SUSPENDED}
