"""The operator's loop over Studies: what changed is decided on, one Study at a time, and what was decided is done.

A Study is looked at under the State's lock, `reconcile` decides, the status is written, and the actions are carried
out. It is never worked on twice at the same time; whatever happens to it meanwhile puts it into the queue once more.
"""

import time
from collections.abc import Iterator
from dataclasses import dataclass, field

from xstilts.api.status import StudyStatus
from xstilts.cluster.errors import Conflict, NotFound
from xstilts.cluster.port import STUDIES, TRIALS, Object, Resource
from xstilts.controller import metrics
from xstilts.controller.actions import WRITE_TRIAL, Action, Decision, Recall, action_name, call_name
from xstilts.controller.calls import Calls, Line
from xstilts.controller.clock import is_to_come
from xstilts.controller.effects import Effects
from xstilts.controller.events import Event
from xstilts.controller.loop import CONFLICT_SECONDS, Loop, logged
from xstilts.controller.objects import Key
from xstilts.controller.pace import Pace
from xstilts.controller.reconcile import reconcile
from xstilts.controller.state import State
from xstilts.controller.views import Observed
from xstilts.core.errors import PermanentError, XstiltsError

WRITE_STUDY = "write status of Study"
DECIDE = "decide"


@dataclass(kw_only=True)
class Controller(Loop):
    """Studies with their Trials and Jobs."""

    kind: str = "Study"
    state: State
    effects: Effects
    calls: Calls
    """Runs what takes long."""
    pace: Pace = field(default_factory=lambda: Pace(0.0))
    """Of statuses that only tell how things go on; what has an end is told at once."""

    def see(self, resource: Resource, obj: Object, *, deleted: bool = False) -> None:
        """News of an object, from a watch or a listing."""
        for key in self.state.see(resource, obj, deleted=deleted):
            self.queue.add(key)

    def look_at_all(self) -> None:
        """Every Study, whether or not there is news of it; those that go on come first."""
        studies = list(self.state.studies.items())
        studies.sort(key=lambda entry: entry[1].status.completion_time is not None)
        for key, _ in studies:
            self.queue.add(key)

    def read_plans(self) -> None:
        """Begins to read the plans of Studies that go on, which is all that can be done before everything is known."""
        with self.state.lock:
            for key, study in self.state.studies.items():
                if study.status.completion_time or not (observed := self.state.observed(key)):
                    continue
                for action in reconcile(observed, self.clock()).actions:
                    if isinstance(action, Recall):
                        observed.facts.under_way |= _names([action])
                        self.calls.submit(_line(observed), self._make, key, observed, action)

    def decide(self, key: Key) -> str:
        with self.state.lock:
            observed = self.state.observed(key)
            if observed is None:
                return "gone"
            observed.facts.note_room(observed.owned, self.clock())
            decision = reconcile(observed, self.clock())
            calls = [action for action in decision.actions if call_name(action)]
            observed.facts.under_way |= _names(calls)
        return self._carry_out(key, observed, decision, calls)

    def _carry_out(self, key: Key, observed: Observed, decision: Decision, calls: list[Action]) -> str:
        """Writes the status first: a status that does not fit any more shows that the decision does not either."""
        try:
            self._write_study(key, observed, decision)
        except XstiltsError as error:
            with self.state.lock:
                observed.facts.under_way -= _names(calls)
            self._status_refused(key, observed, error)
            return self.later(key, error)
        self.effects.succeeded(observed.facts, WRITE_STUDY)
        self.effects.succeeded(observed.facts, DECIDE)
        for action in calls:
            self.calls.submit(_line(observed), self._call, key, observed, action)
        problems = [*self._requests(key, observed, decision), *self._write_trials(key, observed, decision)]
        for event in decision.events:
            self.effects.tell(self.kind, key, observed.study.uid, event)
        counts = decision.status.counts
        for other in self.state.demand(key, counts.running + counts.queued):
            self.queue.add(other)
        if decision.wake_at is not None:
            self.queue.add_after(key, max(decision.wake_at - self.clock(), CONFLICT_SECONDS if problems else 0.0))
        if problems:
            return self.later(key, problems[0])
        if decision.status.completion_time and not decision.actions:
            self.state.release(key, observed.facts)
        return "done"

    def _call(self, key: Key, observed: Observed, action: Action) -> None:
        if self.may_act():
            self._make(key, observed, action)
        else:
            with self.state.lock:
                observed.facts.under_way -= _names([action])
            self.queue.add(key)

    def _make(self, key: Key, observed: Observed, action: Action) -> None:
        started = time.monotonic()
        with logged(self.kind, key):
            self.effects.call(key, observed, action)
        metrics.called(type(action).__name__, time.monotonic() - started)
        self.queue.add(key)

    def _write_study(self, key: Key, observed: Observed, decision: Decision) -> None:
        study = observed.study
        if decision.status == study.status:
            return
        waits = self._has_to_wait(key)
        if not (waits and _only_counts(decision.status, study.status)):
            self.effects.write_status(STUDIES, study.namespace, study.name, study.resource_version, decision.status)

    def _has_to_wait(self, key: Key, trial: str = "") -> bool:
        """Whether its status was written a moment ago; then there is another pass when its turn has come."""
        seconds = self.pace.wait((key, trial))
        if seconds:
            self.queue.add_after(key, seconds)
        return seconds > 0

    def _requests(self, key: Key, observed: Observed, decision: Decision) -> Iterator[XstiltsError]:
        for action in decision.actions:
            if call_name(action) is None:
                try:
                    self.effects.request(key, observed, action)
                except Conflict as error:
                    yield error
                except Exception as error:
                    self._failed(key, observed, action_name(action), error)
                else:
                    self.effects.succeeded(observed.facts, action_name(action))

    def crashed(self, key: Key, error: Exception) -> None:
        with self.state.lock:
            observed = self.state.observed(key)
        if observed:
            self._tell_once(key, observed, DECIDE, error)

    def _tell_once(self, key: Key, observed: Observed, name: str, error: Exception) -> None:
        """By an Event: no condition can be written."""
        if name not in observed.facts.failures:
            event = Event(type(error).__name__, f"{name}: {error}", warning=True)
            self.effects.tell(self.kind, key, observed.study.uid, event)
        self.effects.failed(key, observed.facts, name, error)

    def _status_refused(self, key: Key, observed: Observed, error: XstiltsError) -> None:
        if isinstance(error, PermanentError) and not isinstance(error, NotFound):
            self._tell_once(key, observed, WRITE_STUDY, error)

    def _failed(self, key: Key, observed: Observed, name: str, error: Exception) -> None:
        """There is another pass at once: it says so, and knows when to try again."""
        self.effects.failed(key, observed.facts, name, error)
        self.queue.add(key)

    def _write_trials(self, key: Key, observed: Observed, decision: Decision) -> Iterator[XstiltsError]:
        self._forget_writes(key, observed, decision)
        for name, status in decision.trials.items():
            view = observed.trials.get(name) or self.state.trial(key, name)
            if view is None:
                continue  # it could not be made
            if self._has_to_wait(key, name) and not status.completion_time:
                continue
            action = f"{WRITE_TRIAL}{name}"
            if is_to_come(observed.facts.not_before.get(action, 0), self.clock()):
                continue
            try:
                self.effects.write_status(TRIALS, key.namespace, name, view.resource_version, status)
            except (Conflict, NotFound) as error:
                yield error
            except Exception as error:
                self._failed(key, observed, action, error)
            else:
                self.effects.succeeded(observed.facts, action)

    def _forget_writes(self, key: Key, observed: Observed, decision: Decision) -> None:
        """A write that failed was done after all, its answer lost, or is not wanted any more: it is told no longer."""
        with self.state.lock:
            failed = [name for name in observed.facts.failures if name.startswith(WRITE_TRIAL)]
        for name in failed:
            if name.removeprefix(WRITE_TRIAL) not in decision.trials:
                self.effects.succeeded(observed.facts, name)
                self.queue.add(key)


def _only_counts(new: StudyStatus, old: StudyStatus) -> bool:
    """Whether a status tells nothing new but how many trials stand where."""
    return new == old.model_copy(update={name: getattr(new, name) for name in ("counts", "progress", "gpu_hours")})


def _line(observed: Observed) -> Line:
    assert observed.study.study is not None
    return Line.of(observed.study.namespace, observed.study.study)


def _names(calls: list[Action]) -> set[str]:
    return {name for action in calls if (name := call_name(action))}
