"""Where each trial stands, which stages start now, and what the trials' statuses say. Pure.

Trials are taken in the plan's order, so that a study shows scores early. A trial counts against the limits while a Job
that was started for it is there; one that waits for a stage of somebody else holds nothing.
"""

from collections import Counter
from dataclasses import dataclass, field
from typing import Literal

from xstilts.api.bounds import within_bounds
from xstilts.api.conditions import Condition, ConditionStatus, find_condition, set_condition
from xstilts.api.names import Reason, StudyCondition, TrialCondition
from xstilts.api.status import LABELLED
from xstilts.api.study import StageKind, Study
from xstilts.api.trial import Attempts, StageState, StageStatus, TrialStatus
from xstilts.controller.actions import Action, PublishTrial, StartStage, action_name
from xstilts.controller.clock import seconds_of, timestamp
from xstilts.controller.stages import NOTHING, StageView
from xstilts.controller.views import Observed, StudyView, TrialOutline
from xstilts.engines.workloads import ACCELERATORS

Ended = Literal["Succeeded", "Failed"]


@dataclass(frozen=True, slots=True)
class Halt:
    """Why nothing of a Study goes on: for now (suspended), or for good."""

    reason: str
    message: str
    final: bool


FINAL_HALTS = {
    Reason.TOO_MANY_FAILED_TRIALS,
    Reason.DEADLINE_EXCEEDED,
    Reason.GPU_HOURS_EXCEEDED,
    Reason.OUTAGE_SECONDS_EXCEEDED,
}


def told_halt(study: StudyView) -> Halt | None:
    """One for good that the status tells of already, though not all trials do: what it stopped does not start again,
    unless the spec was changed since."""
    told = find_condition(study.status.conditions, StudyCondition.SUCCEEDED)
    if told is None or told.status is not ConditionStatus.UNKNOWN or told.observed_generation != study.generation:
        return None
    return Halt(told.reason, told.message, final=True) if told.reason in FINAL_HALTS else None


@dataclass
class Progress:
    """One pass over the trials of a Study."""

    observed: Observed
    stages: dict[str, StageView]
    now: float
    halt: Halt | None = None
    hold: str = ""
    """Why no stage starts though there is room; empty where nothing is in the way."""
    counts: Counter[str] = field(default_factory=Counter)
    """Trials by `queued`, `waiting`, `running`, `succeeded`, `failed`, `reused`."""
    statuses: dict[str, TrialStatus] = field(default_factory=dict)
    """New statuses of trials that have not ended before."""
    actions: list[Action] = field(default_factory=list)
    failures: dict[str, str] = field(default_factory=dict)
    """Trial to reason."""
    gpu_seconds: float = 0

    def run(self) -> None:
        outline = self.observed.facts.outline
        trials = outline.trials if outline else ()
        self._slots = self._free_slots(trials)
        for trial in trials:
            self._trial(trial)

    # ---- limits

    def _study(self) -> Study:
        assert self.observed.study.study is not None
        return self.observed.study.study

    def _free_slots(self, trials: tuple[TrialOutline, ...]) -> int:
        running = {view.trial for view in self.stages.values() if view.state is StageState.RUNNING and view.trial}
        limit = min(self._study().spec.parallelism, self.observed.allowance)
        return limit - len(running & {trial.name for trial in trials})

    # ---- one trial

    def _trial(self, trial: TrialOutline) -> None:
        view = self.observed.trials.get(trial.name)
        if view and view.ended:
            self.counts[view.ended.lower()] += 1
            self.counts["reused"] += view.reused
            self.gpu_seconds += view.gpu_seconds
            if view.ended == "Failed":
                self.failures[trial.name] = view.message
            return
        old = view.status if view and view.status else TrialStatus()
        reason, message, ended = self._stand(trial)
        status = self._status(trial, old, reason, message, ended)
        self.gpu_seconds += sum(stage.gpu_seconds for stage in status.stages) + self._running_gpu_seconds(trial)
        if ended:
            self.counts[ended.lower()] += 1
            self.counts["reused"] += ended == "Succeeded" and all(stage.reused for stage in status.stages)
        if ended == "Failed":
            self.failures[trial.name] = message
        if view is None or status != old:
            bounded, _ = within_bounds(status)
            if view is None or bounded != old:
                self.statuses[trial.name] = bounded

    def _stand(self, trial: TrialOutline) -> tuple[str, str, Ended | None]:
        """Reason and message of the trial's condition, and whether that is its end."""
        views = [self.stages[address] for _, address in trial.stages]
        for (name, _), view in zip(trial.stages, views, strict=True):
            if view.state is StageState.FAILED:
                return Reason.STAGE_FAILED, f"{name}: {view.reason}: {view.message}"[:2000], "Failed"
        if all(view.state is StageState.SUCCEEDED for view in views):
            return self._published(trial)
        if self.halt:
            ended: Ended | None = "Failed" if self.halt.final else None
            return (Reason.STOPPED if self.halt.final else Reason.SUSPENDED), self.halt.message, ended
        return self._start(trial, views)

    def _published(self, trial: TrialOutline) -> tuple[str, str, Ended | None]:
        if trial.name in self.observed.facts.scores:
            return Reason.SUCCEEDED, "", "Succeeded"
        publish = PublishTrial(trial.name)
        self.actions.append(publish)
        self.counts["running"] += 1
        if trouble := self.observed.facts.troubles.get(action_name(publish)):
            return trouble.reason, f"its scores could not be published: {trouble.message}"[:2000], None
        return Reason.RUNNING, "its scores are being published", None

    def _start(self, trial: TrialOutline, views: list[StageView]) -> tuple[str, str, Ended | None]:
        mine = [name for (name, _), view in zip(trial.stages, views, strict=True) if self._runs_for(view, trial)]
        ready = [(name, address) for name, address in trial.stages if self._is_ready(address)]
        failing = [name for name, address in ready if self.stages[address].reason]
        room = mine or self._slots > 0
        if ready and room and not self.hold:
            self._slots -= not mine
            for name, address in ready:
                view = self.stages[address]
                self.actions.append(StartStage(address, trial.name, view.generation))
                if name not in failing:
                    self.stages[address] = StageView(StageState.RUNNING, trial=trial.name)
                    mine.append(name)
        if mine:
            self.counts["running"] += 1
            return Reason.RUNNING, ", ".join(mine), None
        if ready:
            self.counts["queued"] += 1
            if failing and not self.hold:
                view = self.stages[dict(ready)[failing[0]]]
                return view.reason, view.message[:2000], None
            return Reason.QUEUED, self.hold[:2000] or "parallelism limit reached", None
        self.counts["waiting"] += 1
        waits = (
            f"{name}: {view.message or f'started for trial {view.trial}'}"
            for (name, _), view in zip(trial.stages, views, strict=True)
            if view.state in {StageState.RUNNING, StageState.ELSEWHERE}
        )
        return Reason.WAITING_FOR_STAGE, "; ".join(waits)[:2000], None

    @staticmethod
    def _runs_for(view: StageView, trial: TrialOutline) -> bool:
        return view.state is StageState.RUNNING and view.trial == trial.name

    def _is_ready(self, address: str) -> bool:
        view = self.stages[address]
        outline = self.observed.facts.outline
        assert outline is not None
        return view.state is StageState.WAITING and all(
            self.stages[below].state is StageState.SUCCEEDED for below in outline.stages[address].dependencies
        )

    # ---- what its status says

    def _status(
        self, trial: TrialOutline, old: TrialStatus, reason: str, message: str, ended: Ended | None
    ) -> TrialStatus:
        before = {stage.name: stage for stage in old.stages}
        stages = tuple(self._stage_status(trial, name, address, before.get(name)) for name, address in trial.stages)
        value = ConditionStatus.UNKNOWN
        if ended:
            value = ConditionStatus.TRUE if ended == "Succeeded" else ConditionStatus.FALSE
        condition = Condition(
            type=TrialCondition.SUCCEEDED,
            status=value,
            observed_generation=1,
            last_transition_time=timestamp(self.now),
            reason=reason,
            message=message,
        )
        started = any(stage.state is not StageState.WAITING for stage in stages)
        done = sum(stage.state is StageState.SUCCEEDED for stage in stages)
        return TrialStatus(
            observed_generation=1,
            conditions=set_condition(old.conditions, condition),
            start_time=old.start_time or (timestamp(self.now) if started else None),
            completion_time=(old.completion_time or timestamp(self.now)) if ended else None,
            stages=stages,
            progress=f"{done}/{len(stages)}",
            scores=dict(self.observed.facts.scores.get(trial.name, {})),
            labelled_languages=trial.labelled_languages[:LABELLED],
            engine="Jobs",
        )

    def _stage_status(self, trial: TrialOutline, name: str, address: str, old: StageStatus | None) -> StageStatus:
        view = self.stages[address]
        old = old or StageStatus(name=name, state=StageState.WAITING)
        job = view.job if view.job and view.trial == trial.name else None
        state = view.state
        if state is StageState.RUNNING and view.trial != trial.name:
            state = StageState.ELSEWHERE
        if state is old.state and job is None:
            return old.model_copy(update={"reason": view.reason, "message": view.message[:2000]})
        endings = self.observed.endings.get(job.name, NOTHING) if job else NOTHING
        same = job is None or job.name == old.job
        return StageStatus(
            name=name,
            state=state,
            reused=state is StageState.SUCCEEDED and not (job or old.job),
            job=job.name if job else old.job,
            attempts=Attempts(
                failures=max(endings.failures, old.attempts.failures if same else 0),
                preemptions=max(endings.preemptions, old.attempts.preemptions if same else 0),
            ),
            reason=view.reason,
            message=view.message[:2000],
            start_time=timestamp(job.started) if job and job.started else old.start_time,
            completion_time=timestamp(job.completed) if job and job.completed else old.completion_time,
            gpu_seconds=old.gpu_seconds + self._charge(address, old, state, view),
        )

    def _charge(self, address: str, old: StageStatus, state: StageState, view: StageView) -> int:
        """Accelerator seconds of a Job that has just ended for this trial, or was stopped."""
        if old.state is not StageState.RUNNING or state is StageState.RUNNING or old.start_time is None:
            return 0
        end = view.job.completed if view.job and view.job.completed else self.now
        return round(self._gpus(address) * max(0.0, end - seconds_of(old.start_time)))

    def _running_gpu_seconds(self, trial: TrialOutline) -> float:
        return sum(
            self._gpus(address) * max(0.0, self.now - view.job.started)
            for _, address in trial.stages
            if (view := self.stages[address]).job and view.job.started and self._runs_for(view, trial)
        )

    def _gpus(self, address: str) -> int:
        outline = self.observed.facts.outline
        assert outline is not None
        return accelerators(self._study(), outline.stages[address].kind)


def accelerators(study: Study, kind: StageKind) -> int:
    """Accelerators that a stage of a Study holds."""
    asked = study.spec.resources.get(kind)
    if asked is None:
        return 0
    return asked.nodes * sum(_count(name, value) for name, value in asked.limits.items())


def _count(name: str, value: str) -> int:
    return int(value) if ACCELERATORS.search(name) and value.isdecimal() else 0
