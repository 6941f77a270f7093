"""What to do for a Study, and what to say about it: a pure function of what is seen and of the time.

Called for every change and every now and then without one. It looks at how things are, never at what happened, so a
missed event costs time and nothing else; when all it asks for is done, it asks for nothing.
"""

from collections.abc import Iterator, Mapping
from dataclasses import replace

from xstilts.api.access import EngineType
from xstilts.api.bounds import within_bounds
from xstilts.api.conditions import Condition, ConditionStatus, find_condition, set_condition
from xstilts.api.names import FINALIZER, Reason, StudyCondition
from xstilts.api.status import Counts, Omission, PlanStatus, StudyStatus
from xstilts.api.study import Study
from xstilts.api.trial import TrialStatus
from xstilts.cluster.errors import ClusterUnavailable
from xstilts.controller import stages
from xstilts.controller.actions import (
    WRITE_TRIAL,
    Accept,
    Action,
    AddFinalizer,
    Conclude,
    CreateTrial,
    Decision,
    DeleteStudy,
    DeleteTrial,
    Join,
    Leave,
    Preflight,
    Recall,
    RecordPlan,
    StopJob,
    action_name,
)
from xstilts.controller.clock import is_to_come, seconds_of, timestamp
from xstilts.controller.deletion import reconcile_deletion
from xstilts.controller.events import Event, news
from xstilts.controller.objects import exclusion
from xstilts.controller.progress import Halt, Progress, told_halt
from xstilts.controller.retries import is_asked, renewed, start_over
from xstilts.controller.stages import StageView
from xstilts.controller.views import Conclusion, Observed, Trouble, outages
from xstilts.engines.workloads import WorkloadState

PROBLEMS = (
    (StudyCondition.ACCEPTED, ConditionStatus.FALSE),
    (StudyCondition.STORAGE_READY, ConditionStatus.FALSE),
    (StudyCondition.TRACKING_READY, ConditionStatus.FALSE),
    (StudyCondition.PODS_BLOCKED, ConditionStatus.TRUE),
)
CONCLUSIONS = 5
"""How often the end of a Study that failed is tried: its report, and what its trials say."""
OUTAGES = {ClusterUnavailable.__name__}


def reconcile(observed: Observed, now: float) -> Decision:
    """The status that the Study and its Trials should have, and the actions that bring it on."""
    found = _Pass(observed, now)
    if observed.study.deleted_at is not None:
        return found.completed(reconcile_deletion(observed, now))
    return found.decide()


class _Pass:
    """One decision in the making."""

    def __init__(self, observed: Observed, now: float) -> None:
        self.observed = observed
        self.facts = observed.facts
        self.now = now
        self.status = observed.study.status.model_copy(update={"observed_generation": observed.study.generation})
        self.actions: list[Action] = []
        self.events: list[Event] = []
        self.wake: list[float] = []
        self.trouble: Trouble | None = None

    def decide(self) -> Decision:
        statuses: Mapping[str, TrialStatus] = {}
        if self._is_finished():
            self._expire()
        elif (study := self._supported()) and self._reachable() and self._planned(study):
            statuses = self._go_on(study)
        decided = Decision(self.status, statuses, tuple(self.actions), tuple(self.events))
        return self.completed(replace(decided, wake_at=min(self.wake, default=None)))

    def completed(self, decided: Decision) -> Decision:
        """With what is told of actions that fail, and without those that have to wait."""
        self.status, self.actions = decided.status, list(decided.actions)
        self.wake = [] if decided.wake_at is None else [decided.wake_at]
        self._tell_troubles()
        self.status = self.status.model_copy(update={"problem": self._problem()})
        told = news(self.observed.study.status.conditions, self.status.conditions, self.trouble)
        actions, events = tuple(self._possible()), (*told, *decided.events)
        return Decision(_bounded(self.status), decided.trials, actions, events, min(self.wake, default=None))

    def _possible(self) -> Iterator[Action]:
        """Without calls that are under way, or that have failed a moment ago."""
        for action in self.actions:
            name = action_name(action)
            if name in self.facts.under_way:
                continue
            if is_to_come(at := self.facts.not_before.get(name, 0), self.now):
                self.wake.append(at)
                continue
            yield action

    # ---- conditions

    def _say(self, kind: StudyCondition, value: ConditionStatus, reason: str, message: str = "") -> None:
        """May be said again in the same pass: the time is that of the change since the status was written."""
        old = find_condition(self.observed.study.status.conditions, kind)
        same = old is not None and old.status is value
        new = Condition(
            type=kind,
            status=value,
            observed_generation=self.observed.study.generation,
            last_transition_time=old.last_transition_time if old and same else timestamp(self.now),
            reason=reason,
            message=message[:2000],
        )
        self.status = self.status.model_copy(update={"conditions": set_condition(self.status.conditions, new)})

    def _unsettled(self, kind: StudyCondition, reason: str, message: str = "") -> None:
        self._say(kind, ConditionStatus.UNKNOWN, reason, message)

    def _is(self, kind: StudyCondition, value: ConditionStatus) -> bool:
        found = find_condition(self.status.conditions, kind)
        return found is not None and found.status is value

    # ---- the end

    def _is_finished(self) -> bool:
        """Ended, and not changed since in a way that gives it more to do."""
        study = self.observed.study.study
        if study is None or self.status.completion_time is None:
            return False
        old = find_condition(self.observed.study.status.conditions, StudyCondition.SUCCEEDED)
        if old is None or old.status is ConditionStatus.UNKNOWN or is_asked(self.observed.study):
            return False
        if old.observed_generation == self.observed.study.generation:
            return True
        unchanged = self.status.plan is not None and self.status.plan.spec_digest == self.observed.study.spec_digest
        return unchanged and old.status is ConditionStatus.TRUE

    def _expire(self) -> None:
        study = self.observed.study.study
        if self._conclusion():
            self._show_results()
        elif self.facts.outline and self.status.report_url is None:
            failed = {name: trial.message for name, trial in self.observed.trials.items() if trial.ended == "Failed"}
            self._try_to_conclude(failed)
        for condition in self.status.conditions:
            self._say(StudyCondition(condition.type), condition.status, condition.reason, condition.message)
            if condition.type == StudyCondition.SUCCEEDED:
                self._say(StudyCondition.PROGRESSING, ConditionStatus.FALSE, condition.reason)
        self._say(StudyCondition.PODS_BLOCKED, ConditionStatus.FALSE, Reason.NOT_BLOCKED)
        self._say_checks()
        ttl = study.spec.ttl_seconds_after_finished if study else None
        if ttl is not None and self.status.completion_time:
            at = seconds_of(self.status.completion_time) + ttl
            if at <= self.now:
                self.actions.append(DeleteStudy())
            else:
                self.wake.append(at)
        self._stop_jobs()

    def _try_to_conclude(self, failures: Mapping[str, str]) -> None:
        """A Study that failed has a report too, but does not wait for it."""
        conclude = Conclude(failures)
        if not self._is_given_up(action_name(conclude)):
            self.actions.append(conclude)

    def _is_given_up(self, name: str) -> bool:
        """Whether a Study that is stopped has waited for an action for long enough."""
        trouble, study = self.facts.troubles.get(name), self.observed.study.study
        if study and trouble and (trouble.about is not StudyCondition.PROGRESSING or trouble.reason in OUTAGES):
            return self.now - trouble.since >= study.spec.failure_policy.outage_seconds
        return self.facts.failures.get(name, 0) >= CONCLUSIONS

    def _can_be_told(self, trial: str) -> bool:
        return not any(self._is_given_up(name) for name in (f"CreateTrial {trial}", f"{WRITE_TRIAL}{trial}"))

    # ---- before anything runs

    def _supported(self) -> Study | None:
        study = self.observed.study.study
        if self.observed.is_excluded:
            self._refuse(Reason.NAMESPACE_EXCLUDED, exclusion(self.observed.study.namespace))
            self._stop_jobs()  # of a namespace that was excluded while they ran
            return None
        if study is None:
            self._refuse(Reason.INVALID, self.observed.study.error)
        elif study.spec.engine.type not in {None, EngineType.JOBS}:
            self._refuse(
                Reason.ENGINE_NOT_SUPPORTED,
                f"spec.engine.type: this operator runs stages as Jobs, not by {study.spec.engine.type}; write Jobs",
            )
            return None
        return study

    def _refuse(self, reason: str, message: str) -> None:
        self._say(StudyCondition.ACCEPTED, ConditionStatus.FALSE, reason, message)
        self._unsettled(StudyCondition.SUCCEEDED, reason, "not accepted")
        self._say(StudyCondition.PROGRESSING, ConditionStatus.FALSE, reason)

    def _reachable(self) -> bool:
        """Whether store and tracking server may be used; they are tried before acceptance, and when a call fails."""
        if FINALIZER not in self.observed.study.finalizers:
            self.actions.append(AddFinalizer())
        self._say_checks()
        if all(check and check.ready for _, check in self.facts.checks):
            return True
        accepted = self.status.plan is not None
        if accepted and all(self._is(kind, ConditionStatus.TRUE) for kind, _ in self.facts.checks):
            return True  # both were fine when it was accepted: what runs is not held up by trying again
        self.actions.append(Preflight())
        if accepted and self.facts.outline:
            return True  # what runs goes on, and is looked after as far as that can be done without them
        if not accepted:
            self._unsettled(StudyCondition.ACCEPTED, Reason.PENDING)
        self._unsettled(StudyCondition.SUCCEEDED, Reason.PENDING, self._broken())
        self._say(StudyCondition.PROGRESSING, ConditionStatus.FALSE, Reason.PENDING)
        return False

    def _broken(self) -> str:
        """Why nothing new starts: it would fail, or end without being published."""
        broken = (f"{kind} is false: {check.message}" for kind, check in self.facts.checks if check and not check.ready)
        return next(broken, "")

    def _say_checks(self) -> None:
        for kind, check in self.facts.checks:
            if check:
                value = ConditionStatus.TRUE if check.ready else ConditionStatus.FALSE
                self._say(kind, value, check.reason, check.message)
            elif not find_condition(self.status.conditions, kind):
                self._unsettled(kind, Reason.PENDING, "being tried")

    def _tell_troubles(self) -> None:
        """Actions that fail keep their condition from being true until they succeed, whatever a preflight says."""
        wanted = {action_name(action) for action in self.actions} | self.facts.under_way
        unwritten = {name for name in self.facts.troubles if name.startswith(WRITE_TRIAL)}
        self.wake += [at for name in unwritten if is_to_come(at := self.facts.not_before.get(name, 0), self.now)]
        told = sorted(
            ((name, trouble) for name, trouble in self.facts.troubles.items() if name in wanted | unwritten),
            key=lambda entry: (entry[1].since, entry[0]),
            reverse=True,
        )
        checked = {kind for kind, check in self.facts.checks if check and not check.ready}
        for _, trouble in told:  # the first is told last
            if trouble.about is StudyCondition.PROGRESSING:
                self.trouble = trouble
            elif trouble.about not in checked:
                self._say(trouble.about, ConditionStatus.FALSE, trouble.reason, trouble.message)
        if self.trouble:
            runs = self.status.completion_time is None and self.status.counts.running > 0
            running = ConditionStatus.TRUE if runs else ConditionStatus.FALSE
            self._say(StudyCondition.PROGRESSING, running, self.trouble.reason, self.trouble.message)
            if self.status.plan is None:
                self._unsettled(StudyCondition.ACCEPTED, self.trouble.reason, self.trouble.message)

    def _problem(self) -> str:
        if self.status.completion_time is not None:
            return ""
        for kind, value in PROBLEMS:
            found = find_condition(self.status.conditions, kind)
            if found and found.status is value:
                return found.reason
        return self.trouble.reason if self.trouble else ""

    def _planned(self, study: Study) -> bool:
        plan, outline = self.status.plan, self.facts.outline
        wanted = self.observed.study.spec_digest
        if outline is None or plan is None or plan.spec_digest != wanted:
            if self.facts.accepted_spec != wanted:
                self._ask_for_plan(plan, wanted)
                return False
            assert outline is not None
        if plan is None or plan.digest != outline.digest or plan.spec_digest != wanted:
            self.status = self.status.model_copy(
                update={
                    "plan": PlanStatus(
                        digest=outline.digest,
                        uri=outline.uri,
                        spec_digest=wanted,
                        trials=len(outline.trials),
                        stages=len(outline.stages),
                        reused=self.facts.reused,
                        to_run=len(outline.stages) - self.facts.reused,
                        not_applicable=outline.not_applicable,
                    ),
                    "omitted": (),
                    "start_time": self.status.start_time or timestamp(self.now),
                    "completion_time": None,
                }
            )
        if self.observed.study.recorded_plan != outline.digest:
            self.actions.append(RecordPlan(outline.digest))
        self._say(StudyCondition.ACCEPTED, ConditionStatus.TRUE, Reason.ACCEPTED)
        return True

    def _ask_for_plan(self, plan: PlanStatus | None, wanted: str) -> None:
        refusal = self.facts.refusal
        if refusal:
            self._refuse(refusal.reason, refusal.message)
        elif plan is None:
            self._unsettled(StudyCondition.ACCEPTED, Reason.PENDING, "being planned")
            self._unsettled(StudyCondition.SUCCEEDED, Reason.PENDING)
        self.actions.append(Recall() if plan and plan.spec_digest == wanted else Accept())

    # ---- while it runs

    def _go_on(self, study: Study) -> Mapping[str, TrialStatus]:
        if is_asked(self.observed.study) and (left := self._start_over()) is not None:
            return left
        views, needs = stages.look(self.observed, self.now)
        progress = Progress(self.observed, views, self.now, halt=self._halt(study), hold=self._broken())
        progress.run()
        if progress.halt is None and (late := self._late_halt(study, progress)):
            views, needs = stages.look(self.observed, self.now)
            progress = Progress(self.observed, views, self.now, halt=late)
            progress.run()
        self.actions += [need for need in needs if not (progress.halt and isinstance(need, Join))]
        self._make_trials()
        self.actions += progress.actions
        if progress.halt:
            self._stop_jobs()
        self._count(progress)
        self._tell_blocked(views)
        self._try_access()
        self._conclude(progress)
        self.wake += [view.until for view in views.values() if view.until is not None and view.until > self.now]
        self.wake += [claim.until for claim in self.facts.claims.values() if is_to_come(claim.until, self.now)]
        return progress.statuses

    def _start_over(self) -> Mapping[str, TrialStatus] | None:
        """What is left to do before failed trials start again; None when that is all done."""
        left = start_over(self.observed)
        self.status = self.status.model_copy(update={"completion_time": None})
        if left is None:
            asked = {"retried": self.observed.study.retry, "retry_time": timestamp(self.now), "report_url": None}
            self.status = self.status.model_copy(update=asked)
            self.events.append(Event(Reason.RETRYING, "failed trials start again"))
            return None
        self._unsettled(StudyCondition.SUCCEEDED, Reason.RETRYING)
        self._say(StudyCondition.PROGRESSING, ConditionStatus.TRUE, Reason.RETRYING)
        self.actions += left.actions
        if any(not is_to_come(self.facts.not_before.get(action_name(action), 0), self.now) for action in left.actions):
            self.wake.append(self.now)  # what is done to Jobs is no news to anybody; of Trials the watch tells
        return {name: renewed(status, self.now) for name, status in left.trials.items()}

    def _tell_blocked(self, views: Mapping[str, StageView]) -> None:
        blocked, told_at = stages.blocked(views, self.now)
        self.wake += told_at
        if not blocked:
            self._say(StudyCondition.PODS_BLOCKED, ConditionStatus.FALSE, Reason.NOT_BLOCKED)
            return
        address, first = min(blocked.items(), key=lambda entry: (entry[1].since, entry[0]))
        others = f", as {len(blocked) - 1} other stages" if len(blocked) > 1 else ""
        message = f"{address} has not started since {timestamp(first.since)}{others}: {first.message}"
        self._say(StudyCondition.PODS_BLOCKED, ConditionStatus.TRUE, first.reason, message)

    def _try_access(self) -> None:
        """Store and server are tried at once when a pod had no answer from them."""
        if outages(self.observed) - self.facts.outages_checked and Preflight() not in self.actions:
            self.actions.append(Preflight())

    def _halt(self, study: Study) -> Halt | None:
        """Reasons that need no look at the trials; first one that was told, while trials are still to say so."""
        if told := told_halt(self.observed.study):
            return told
        deadline = study.spec.failure_policy.active_deadline_seconds
        retried = seconds_of(self.status.retry_time) if self.status.retry_time else 0.0
        if deadline is not None and self.status.start_time:
            at = max(seconds_of(self.status.start_time), retried) + deadline
            if at <= self.now:
                return Halt(Reason.DEADLINE_EXCEEDED, f"failurePolicy.activeDeadlineSeconds is {deadline}", final=True)
            self.wake.append(at)
        if study.spec.suspend:
            return Halt(Reason.SUSPENDED, "spec.suspend is true", final=False)
        allowed = study.spec.failure_policy.outage_seconds
        for kind in (StudyCondition.STORAGE_READY, StudyCondition.TRACKING_READY):
            if away := self._away(kind):
                at = max(seconds_of(away.last_transition_time), retried) + allowed
                if at <= self.now:
                    message = f"{kind} is false since {away.last_transition_time}: {away.message}"[:1800]
                    message += f"; failurePolicy.outageSeconds is {allowed}"
                    return Halt(Reason.OUTAGE_SECONDS_EXCEEDED, message, final=True)
                self.wake.append(at)
        return None

    def _away(self, kind: StudyCondition) -> Condition | None:
        """The condition of store or server as it was told last, unless it is ready by now."""
        told = find_condition(self.observed.study.status.conditions, kind)
        if told is None or told.status is not ConditionStatus.FALSE:
            return None
        is_checked = all(check and check.ready for about, check in self.facts.checks if about is kind)
        is_troubled = any(trouble.about is kind for trouble in self.facts.troubles.values())
        return told if is_troubled or not is_checked else None

    def _late_halt(self, study: Study, progress: Progress) -> Halt | None:
        """Reasons that come from the trials."""
        allowed, failed = study.spec.failure_policy.max_failed_trials, progress.counts["failed"]
        if failed > allowed:
            first = next(iter(progress.failures.items()))
            message = f"{failed} trials failed; failurePolicy.maxFailedTrials is {allowed}; {first[0]}: {first[1]}"
            return Halt(Reason.TOO_MANY_FAILED_TRIALS, message[:2000], final=True)
        limit = study.spec.max_gpu_hours
        if limit is not None:
            if progress.gpu_seconds >= float(limit) * 3600:
                return Halt(Reason.GPU_HOURS_EXCEEDED, f"spec.maxGPUHours is {limit}", final=True)
            if progress.counts["running"]:
                self.wake.append(self.now + 60)
        return None

    def _make_trials(self) -> None:
        outline = self.facts.outline
        assert outline is not None
        names = {trial.name for trial in outline.trials}
        self.actions += [CreateTrial(trial) for trial in outline.trials if trial.name not in self.observed.trials]
        self.actions += [
            DeleteTrial(name, view.uid)
            for name, view in self.observed.trials.items()
            if name not in names and not view.ended
        ]

    def _stop_jobs(self) -> None:
        for job in self.observed.owned:
            if job.state in {WorkloadState.ACTIVE, WorkloadState.SUSPENDED}:
                if job.uid in self.observed.wanted_elsewhere:
                    self.actions.append(Leave(job.name, job.kind))
                else:
                    self.actions.append(StopJob(job.name, job.kind, job.uid))

    def _count(self, progress: Progress) -> None:
        outline, counts = self.facts.outline, progress.counts
        assert outline is not None
        self.status = self.status.model_copy(
            update={
                "counts": Counts(trials=len(outline.trials), **counts),
                "progress": f"{counts['succeeded'] + counts['failed']}/{len(outline.trials)}",
                "gpu_hours": f"{progress.gpu_seconds / 3600:.1f}" if progress.gpu_seconds else "0",
            }
        )

    def _conclude(self, progress: Progress) -> None:
        halt = progress.halt
        suspended = halt is not None and not halt.final
        self._say(
            StudyCondition.SUSPENDED,
            ConditionStatus.TRUE if suspended else ConditionStatus.FALSE,
            Reason.SUSPENDED if suspended else Reason.NOT_SUSPENDED,
        )
        if halt and halt.final and any(map(self._can_be_told, progress.statuses)):
            self._unsettled(StudyCondition.SUCCEEDED, halt.reason, halt.message)
            self._say(StudyCondition.PROGRESSING, ConditionStatus.TRUE, halt.reason)
            return  # first the trials say so: nobody writes their statuses once the Study has ended
        if halt and halt.final:
            self._end(ConditionStatus.FALSE, halt.reason, halt.message)
            self._show_results()
            if self._conclusion() is None:
                self._try_to_conclude(progress.failures)
            return
        if progress.counts["succeeded"] + progress.counts["failed"] == self.status.counts.trials:
            if self._conclusion() and not progress.statuses:
                failed = progress.counts["failed"]
                self._show_results()
                self._end(ConditionStatus.TRUE, Reason.SUCCEEDED, f"{failed} trials failed" if failed else "")
                return
            if not self._conclusion():
                self.actions.append(Conclude(dict(progress.failures)))
        running = ConditionStatus.FALSE if suspended else ConditionStatus.TRUE
        self._say(StudyCondition.PROGRESSING, running, Reason.SUSPENDED if suspended else Reason.RUNNING)
        self._unsettled(StudyCondition.SUCCEEDED, Reason.SUSPENDED if suspended else Reason.RUNNING)
        self.status = self.status.model_copy(update={"completion_time": None})

    def _end(self, value: ConditionStatus, reason: str, message: str) -> None:
        self._say(StudyCondition.SUCCEEDED, value, reason, message)
        self._say(StudyCondition.PROGRESSING, ConditionStatus.FALSE, reason)
        self.status = self.status.model_copy(update={"completion_time": timestamp(self.now)})
        self.events.append(Event(reason, message or "all trials ended", warning=value is ConditionStatus.FALSE))

    def _conclusion(self) -> Conclusion | None:
        return self.facts.conclusion_of(self.status.retried)

    def _show_results(self) -> None:
        if found := self._conclusion():
            self.status = self.status.model_copy(update=dict(found.shown))


def _bounded(status: StudyStatus) -> StudyStatus:
    """The status as the API server takes it, with the number of entries that each cut list has lost."""
    bounded, cut = within_bounds(status)
    if not cut:
        return status
    kept = [omission for omission in status.omitted if omission.field not in cut]
    omissions = (Omission(field=field, entries=entries) for field, entries in cut.items())
    return bounded.model_copy(update={"omitted": (*kept, *omissions)})
