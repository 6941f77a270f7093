"""Where each stage of a Study stands, from its Job and from what the store has. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass

from xstilts.api.names import Reason, StudyCondition
from xstilts.api.study import FailurePolicy
from xstilts.api.trial import StageState
from xstilts.cluster.port import JOBS
from xstilts.controller.actions import Action, Diagnose, Inspect, Join, PublishStage, StopJob, action_name, stage_action
from xstilts.controller.clock import is_to_come, timestamp
from xstilts.controller.views import Endings, Known, Observed, Trouble
from xstilts.engines.endings import FAILED_CREATE, NO_ROOM, Obstacle
from xstilts.engines.workloads import Workload, WorkloadState

NOTHING = Endings()
ROOM_SECONDS = 60.0
"""Time for which a pod may wait for room, as in any cluster that is well used, before that is told as a problem."""
INSPECT_SECONDS = 30.0
"""Time that a Job may be without a pod before anybody asks why."""
WORKING = {WorkloadState.ACTIVE, WorkloadState.SUSPENDED}
SUCCEEDING = "CompletionsReached"
"""Reason of a Job that ends because its pod has succeeded, which is told a moment later: no news by itself."""


@dataclass(frozen=True, slots=True)
class StageView:
    """One stage of the plan, for all trials that need it."""

    state: StageState
    job: Workload | None = None
    trial: str = ""
    """Of this Study, that it was started for; empty where nobody or another Study did."""
    reason: str = ""
    message: str = ""
    generation: int = 1
    """Of the Job that would be made next."""
    blocked: Obstacle | None = None
    """What keeps its pod from starting."""
    until: float | None = None
    """When to look again though nothing happens."""


def look(observed: Observed, now: float) -> tuple[dict[str, StageView], list[Action]]:
    """Stages by address, and what has to be done about them before any new one starts."""
    failed = _failed_before(observed)
    limits = _Limits.of(observed, now)
    views: dict[str, StageView] = {}
    actions: list[Action] = []
    outline = observed.facts.outline
    for address in outline.stages if outline else ():
        views[address], needs = _look(observed, address, failed, limits)
        actions += needs
    return views, actions


def blocked(views: Mapping[str, StageView], now: float) -> tuple[dict[str, Obstacle], list[float]]:
    """What keeps pods from starting, by address of the stage, and when there is more of that."""
    found: dict[str, Obstacle] = {}
    later: list[float] = []
    for address, view in views.items():
        if obstacle := view.blocked:
            at = obstacle.since + (ROOM_SECONDS if obstacle.reason in NO_ROOM else 0)
            if at > now:
                later.append(at)
            else:
                found[address] = obstacle
    return found, later


@dataclass(frozen=True, slots=True)
class _Limits:
    """Until when waiting is no failure."""

    now: float
    pending: int
    outage: int
    room: float
    """When other stages of the Study last took up room."""

    @classmethod
    def of(cls, observed: Observed, now: float) -> "_Limits":
        study = observed.study.study
        policy = study.spec.failure_policy if study else FailurePolicy()
        if any(job.ready and not job.is_finished for job in observed.owned):
            room = now
        else:  # a Job may have stopped working without having completed
            room = max((observed.facts.room_taken, *(job.completed or 0 for job in observed.owned)))
        return cls(now, policy.pending_seconds, policy.outage_seconds, room)

    def of_pending(self, waiting: Obstacle | Trouble) -> float:
        """When a stage has waited for too long."""
        is_for_room = waiting.reason in NO_ROOM or waiting.reason == Reason.JOB_REFUSED  # as by a quota
        return self.pending + (max(waiting.since, self.room) if is_for_room else waiting.since)

    def end(self, blocked: Obstacle | None, endings: Endings) -> float | None:
        """When a Job has waited for too long, if it waits."""
        if blocked:
            return self.of_pending(blocked)
        return None if endings.outage_since is None else self.outage + endings.outage_since


def _failed_before(observed: Observed) -> Mapping[str, StageView]:
    """Stages that a status says have failed: a Job that is gone since does not change that."""
    found: dict[str, StageView] = {}
    outline = observed.facts.outline
    for trial in outline.trials if outline else ():
        view = observed.trials.get(trial.name)
        if view and view.status:
            addresses = dict(trial.stages)
            for stage in view.status.stages:
                if stage.state is StageState.FAILED and stage.name in addresses:
                    found[addresses[stage.name]] = StageView(
                        StageState.FAILED, reason=stage.reason, message=stage.message
                    )
    return found


def _look(
    observed: Observed, address: str, failed: Mapping[str, StageView], limits: _Limits
) -> tuple[StageView, list[Action]]:
    facts = observed.facts
    known = facts.known.get(address, Known.ABSENT)
    jobs = [job for job in observed.workloads.get(address, ()) if job.uid not in facts.lost]
    job = jobs[-1] if jobs else None
    if known is Known.DONE:
        return StageView(StageState.SUCCEEDED, job, _trial(observed, job)), []
    if address in failed:
        return failed[address], [_stop(job)] if job and job.state in WORKING and _trial(observed, job) else []
    trouble = facts.troubles.get(stage_action(address))
    if address in facts.starting and trouble is None:
        return StageView(StageState.RUNNING, trial=facts.starting[address]), []
    if job is not None and (found := _of_job(observed, address, job, limits)):
        return found
    if trouble and trouble.about is StudyCondition.PROGRESSING and limits.of_pending(trouble) <= limits.now:
        message = f"{trouble.message}; failurePolicy.pendingSeconds is {limits.pending}"
        return StageView(StageState.FAILED, reason=trouble.reason, message=message), []
    if known is Known.UNPUBLISHED:
        message = trouble.message if trouble else "already computed; publishing to this study's MLflow"
        reason = trouble.reason if trouble else ""
        return StageView(StageState.ELSEWHERE, reason=reason, message=message), [PublishStage(address)]
    claim = facts.claims.get(address)
    if claim and is_to_come(claim.until, limits.now):
        return StageView(StageState.ELSEWHERE, message=f"lease held by {claim.holder}"), []
    older = observed.workloads.get(address, ())
    generation = older[-1].generation + 1 if older else 1
    if trouble:
        until = limits.of_pending(trouble)
        return StageView(StageState.WAITING, None, "", trouble.reason, trouble.message, generation, until=until), []
    return StageView(StageState.WAITING, generation=generation), []


def _of_job(observed: Observed, address: str, job: Workload, limits: _Limits) -> tuple[StageView, list[Action]] | None:
    """What the newest Job means; None where a new one is to be made."""
    ours = observed.study.uid in job.owners
    by = _trial(observed, job)
    match job.state:
        case WorkloadState.TERMINATING:
            state = StageState.RUNNING if by else StageState.ELSEWHERE
            message = "" if job.reason == SUCCEEDING else f"Job {job.name} is ending"
            return StageView(state, job, by, message=message), []
        case WorkloadState.SUCCEEDED if by:
            return StageView(StageState.SUCCEEDED, job, by), []
        case WorkloadState.SUCCEEDED:
            trouble = observed.facts.troubles.get(stage_action(address))
            message = trouble.message if trouble else "computed by another study; publishing for this one"
            return StageView(StageState.ELSEWHERE, job, message=message), [PublishStage(address)]
        case WorkloadState.FAILED if ours:
            diagnosis = observed.facts.diagnoses.get(job.uid)
            if diagnosis is None:
                diagnose = Diagnose(address, job.name, job.uid, job.message)
                trouble = observed.facts.troubles.get(action_name(diagnose))
                message = trouble.message if trouble else "Job ended; reading its outcome"
                return StageView(StageState.RUNNING, job, by, message=message), [diagnose]
            return StageView(StageState.FAILED, job, by, diagnosis.reason, diagnosis.message), []
        case WorkloadState.FAILED:
            return None
        case _:
            return _running(observed, job, by, limits, ours=ours)


def _running(
    observed: Observed, job: Workload, by: str, limits: _Limits, *, ours: bool
) -> tuple[StageView, list[Action]]:
    endings = observed.endings.get(job.name, NOTHING)
    looked, uncreated = observed.facts.uncreated.get(job.uid, (0.0, None))
    blocked, until = endings.blocked or uncreated, None
    if job.active and blocked and blocked.reason == FAILED_CREATE:
        blocked = None
    needs: list[Action] = [] if ours else [Join(job.name, job.kind)]
    if by:  # whoever started a Job watches its budgets
        study = observed.study.study
        budget = study.spec.failure_policy.preemption_retries if study else 0
        stop = [_stop(job)]
        if endings.hopeless:
            reason, message = endings.hopeless.reason, endings.hopeless.message
            return StageView(StageState.FAILED, job, by, reason, message), [*needs, *stop]
        if endings.preemptions > budget:
            message = f"ended from outside {endings.preemptions} times; failurePolicy.preemptionRetries is {budget}"
            return StageView(StageState.FAILED, job, by, Reason.PREEMPTION_RETRIES_EXCEEDED, message), [*needs, *stop]
        if ended := _waited_in_vain(job, endings, blocked, limits):
            return StageView(StageState.FAILED, job, by, *ended), [*needs, *stop]
        if blocked is None and _has_no_pod(job):
            looked = max(float(job.started or 0), float(endings.last.finished or 0) if endings.last else 0.0, looked)
            until = looked + INSPECT_SECONDS
            if until <= limits.now:
                needs.append(Inspect(job.name, job.uid))
    if blocked:
        reason, message = blocked.reason, blocked.message
    elif endings.outage_since is not None and endings.last and not job.ready:
        reason, message = endings.last.reason, endings.last.message
    else:
        reason, message = "", ""
    suspended = "waits for admission" if job.state is WorkloadState.SUSPENDED else ""
    started = by or not job.study or job.study == observed.study.name
    message = message or suspended or ("" if started else f"started by study {job.study}")
    state = StageState.RUNNING if by else StageState.ELSEWHERE
    return StageView(
        state, job, by, reason, message, blocked=blocked, until=until or limits.end(blocked, endings)
    ), needs


def _stop(job: Workload) -> Action:
    return StopJob(job.name, job.kind, job.uid)


def _waited_in_vain(
    job: Workload, endings: Endings, blocked: Obstacle | None, limits: _Limits
) -> tuple[str, str] | None:
    """Reason and message, where a Job has waited for longer than the Study allows."""
    if blocked and limits.of_pending(blocked) <= limits.now:
        return blocked.reason, f"{blocked.message}; failurePolicy.pendingSeconds is {limits.pending}"
    since, last = endings.outage_since, endings.last
    if since is not None and last and not job.ready and limits.now - since >= limits.outage:
        told = f"{last.reason}: {last.message}"[-1000:]
        message = f"{told}; since {timestamp(since)}; failurePolicy.outageSeconds is {limits.outage}"
        return Reason.OUTAGE_SECONDS_EXCEEDED, message
    return None


def _has_no_pod(job: Workload) -> bool:
    """As far as its status says: none runs or waits, though it was started."""
    return job.kind == JOBS.kind and job.state is WorkloadState.ACTIVE and bool(job.started) and job.active == 0


def _trial(observed: Observed, job: Workload | None) -> str:
    """The trial of this Study that a Job was started for."""
    return job.trial if job and job.study == observed.study.name and observed.study.uid in job.owners else ""
