"""Where each stage of a Study stands, from its Job and from what the store has. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass

from xstilts.api.names import Reason
from xstilts.api.trial import StageState
from xstilts.controller.actions import Action, Diagnose, Join, PublishStage, StopJob, action_name, stage_action
from xstilts.controller.clock import is_to_come
from xstilts.controller.views import Endings, Known, Observed
from xstilts.engines.workloads import Workload, WorkloadState

NOTHING = Endings()
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


def look(observed: Observed, now: float) -> tuple[dict[str, StageView], list[Action]]:
    """Stages by address, and what has to be done about them before any new one starts."""
    failed = _failed_before(observed)
    views: dict[str, StageView] = {}
    actions: list[Action] = []
    outline = observed.facts.outline
    for address in outline.stages if outline else ():
        views[address], needs = _look(observed, address, failed, now)
        actions += needs
    return views, actions


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
    observed: Observed, address: str, failed: Mapping[str, StageView], now: float
) -> tuple[StageView, list[Action]]:
    facts = observed.facts
    known = facts.known.get(address, Known.ABSENT)
    jobs = [job for job in observed.workloads.get(address, ()) if job.uid not in facts.lost]
    job = jobs[-1] if jobs else None
    if known is Known.DONE:
        return StageView(StageState.SUCCEEDED, job, _trial(observed, job)), []
    if address in failed:
        return failed[address], []
    trouble = facts.troubles.get(stage_action(address))
    if address in facts.starting and trouble is None:
        return StageView(StageState.RUNNING, trial=facts.starting[address]), []
    if job is not None and (found := _of_job(observed, address, job)):
        return found
    if known is Known.UNPUBLISHED:
        message = trouble.message if trouble else "already computed; publishing to this study's MLflow"
        reason = trouble.reason if trouble else ""
        return StageView(StageState.ELSEWHERE, reason=reason, message=message), [PublishStage(address)]
    claim = facts.claims.get(address)
    if claim and is_to_come(claim.until, now):
        return StageView(StageState.ELSEWHERE, message=f"{claim.holder} is at work on it"), []
    older = observed.workloads.get(address, ())
    generation = older[-1].generation + 1 if older else 1
    if trouble:
        return StageView(StageState.WAITING, reason=trouble.reason, message=trouble.message, generation=generation), []
    return StageView(StageState.WAITING, generation=generation), []


def _of_job(observed: Observed, address: str, job: Workload) -> tuple[StageView, list[Action]] | None:
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
            return _running(observed, job, by, ours=ours)


def _running(observed: Observed, job: Workload, by: str, *, ours: bool) -> tuple[StageView, list[Action]]:
    endings = observed.endings.get(job.name, NOTHING)
    needs: list[Action] = [] if ours else [Join(job.name, job.kind)]
    if by:  # whoever started a Job watches its budgets
        study = observed.study.study
        budget = study.spec.failure_policy.preemption_retries if study else 0
        stop = [StopJob(job.name, job.kind, job.uid)]
        if endings.hopeless:
            reason, message = endings.hopeless.reason, endings.hopeless.message
            return StageView(StageState.FAILED, job, by, reason, message), [*needs, *stop]
        if endings.preemptions > budget:
            message = f"ended from outside {endings.preemptions} times; failurePolicy.preemptionRetries is {budget}"
            return StageView(StageState.FAILED, job, by, Reason.PREEMPTION_RETRIES_EXCEEDED, message), [*needs, *stop]
    suspended = "waits for admission" if job.state is WorkloadState.SUSPENDED else ""
    started = by or not job.study or job.study == observed.study.name
    message = endings.trouble or suspended or ("" if started else f"started by study {job.study}")
    return StageView(StageState.RUNNING if by else StageState.ELSEWHERE, job, by, message=message), needs


def _trial(observed: Observed, job: Workload | None) -> str:
    """The trial of this Study that a Job was started for."""
    return job.trial if job and job.study == observed.study.name and observed.study.uid in job.owners else ""
