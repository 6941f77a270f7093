"""The operator's loop over StudySchedules: makes Studies at their times, by what `schedules` decides."""

import logging
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime

from pydantic import ValidationError

from xstilts.api import names
from xstilts.api.study import Study
from xstilts.cluster.errors import AlreadyExists, Conflict, ForeignObject
from xstilts.cluster.port import SCHEDULES, STUDIES, Object, Resource
from xstilts.controller.calls import Calls, Line
from xstilts.controller.desk import Desk
from xstilts.controller.effects import Effects
from xstilts.controller.events import Event
from xstilts.controller.loop import Loop
from xstilts.controller.objects import Key, key_of
from xstilts.controller.schedule_views import Comparison, ObservedSchedule, controlled_by
from xstilts.controller.schedules import (
    Compare,
    CreateStudy,
    DeleteStudy,
    ScheduleAction,
    ScheduleDecision,
    reconcile_schedule,
    study_manifest,
)
from xstilts.core.errors import XstiltsError

log = logging.getLogger(__name__)


@dataclass(kw_only=True)
class ScheduleLoop(Loop):
    """StudySchedules with their Studies. There are few, so they are kept as they are."""

    kind: str = "StudySchedule"
    effects: Effects
    desk: Desk
    calls: Calls
    excluded_namespaces: frozenset[str] = frozenset()
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _schedules: dict[Key, Object] = field(default_factory=dict)
    _studies: dict[Key, Object] = field(default_factory=dict)
    """Those that some schedule controls."""
    _comparisons: dict[Key, Comparison] = field(default_factory=dict)
    _refusals: dict[Key, Event] = field(default_factory=dict)
    """What failed in the last pass over a schedule."""
    _comparing: set[Key] = field(default_factory=set)

    def see(self, resource: Resource, obj: Object, *, deleted: bool = False) -> None:
        """News of a StudySchedule, or of a Study."""
        key = key_of(obj)
        with self._lock:
            if resource == SCHEDULES:
                _keep(self._schedules, key, obj, deleted)
                concerned = {key}
            elif names.SCHEDULE in obj["metadata"].get("labels", {}):
                _keep(self._studies, key, obj, deleted)
                concerned = {other for other, found in self._schedules.items() if controlled_by(obj, _uid(found))}
            else:
                return
        for each in concerned:
            self.queue.add(each)

    def look_at_all(self) -> None:
        for key in list(self._schedules):
            self.queue.add(key)

    def decide(self, key: Key) -> str:
        with self._lock:
            found = self._schedules.get(key)
            if found is None:
                return "gone"
            studies = [study for other, study in self._studies.items() if other.namespace == key.namespace]
            observed = ObservedSchedule.read(
                found,
                studies=studies,
                comparison=self._comparisons.get(key),
                refusal=self._refusals.get(key),
                is_excluded=key.namespace in self.excluded_namespaces,
            )
        decision = reconcile_schedule(observed, datetime.fromtimestamp(self.clock(), UTC))
        try:
            self._write_status(key, found, observed, decision)
        except XstiltsError as error:
            return self.later(key, error)
        problems = list(self._act(key, observed, decision.actions))
        for event in decision.events:
            self.effects.tell("StudySchedule", key, observed.uid, event)
        if decision.wake_at is not None:
            self.queue.add_after(key, decision.wake_at.timestamp() - self.clock())
        self._note(key, problems)
        return self.later(key, problems[0]) if problems else "done"

    def _note(self, key: Key, problems: list[XstiltsError]) -> None:
        """What failed is told by the condition, in another pass."""
        told = self._refusals.pop(key, None)
        refusals = [error for error in problems if not isinstance(error, Conflict)]
        if refusals:
            self._refusals[key] = Event(type(refusals[0]).__name__, str(refusals[0]), warning=True)
        if self._refusals.get(key) != told:
            self.queue.add(key)

    def crashed(self, key: Key, error: Exception) -> None:
        told, found = Event(type(error).__name__, str(error), warning=True), self._schedules.get(key)
        if found and self._refusals.get(key) != told:
            self._refusals[key] = told
            self.effects.tell(self.kind, key, _uid(found), told)

    def _write_status(self, key: Key, found: Object, observed: ObservedSchedule, decision: ScheduleDecision) -> None:
        if decision.status != observed.status:
            version = found["metadata"]["resourceVersion"]
            written = self.effects.write_status(SCHEDULES, key.namespace, key.name, version, decision.status)
            self.see(SCHEDULES, written)

    def _act(self, key: Key, observed: ObservedSchedule, actions: tuple[ScheduleAction, ...]) -> Iterator[XstiltsError]:
        for action in actions:
            try:
                self._do(key, observed, action)
            except XstiltsError as error:
                yield error

    def _do(self, key: Key, observed: ObservedSchedule, action: ScheduleAction) -> None:
        cluster = self.effects.cluster
        match action:
            case CreateStudy(manifest):
                try:
                    self.see(STUDIES, cluster.create(STUDIES, manifest))
                except AlreadyExists:
                    there = cluster.get(STUDIES, key.namespace, manifest["metadata"]["name"])
                    if (
                        there
                        and not controlled_by(there, observed.uid)
                        and "deletionTimestamp" not in there["metadata"]
                    ):
                        raise ForeignObject(
                            f"Study {manifest['metadata']['name']!r} exists and was not made by this schedule; "
                            "delete it, or rename the schedule"
                        ) from None
                    if there:
                        self.see(STUDIES, there)
            case DeleteStudy(name, uid):
                cluster.delete(STUDIES, key.namespace, name, uid=uid)
            case Compare(slot):
                with self._lock:
                    if key in self._comparing:
                        return
                    self._comparing.add(key)
                try:
                    study = Study.model_validate(_readable(study_manifest(observed, slot)))
                except ValidationError:
                    self._compared(key, slot, changed=True)
                else:
                    self.calls.submit(Line.of(key.namespace, study), self._compare, key, study, slot)

    def _compare(self, key: Key, study: Study, slot: datetime) -> None:
        changed = True
        try:
            changed = self.desk.changed(key.namespace, study)
        except Exception:
            log.warning("schedule %s/%s: whether anything changed can't be told", *key, exc_info=True)
        self._compared(key, slot, changed=changed)

    def _compared(self, key: Key, slot: datetime, *, changed: bool) -> None:
        """Where nobody can tell, the Study is made: it says itself what is wrong."""
        with self._lock:
            self._comparing.discard(key)
            self._comparisons[key] = Comparison(slot, changed)
        self.queue.add(key)


def _readable(manifest: Object) -> Object:
    metadata = manifest["metadata"]
    return manifest | {"metadata": {"name": metadata["name"], "namespace": metadata["namespace"]}}


def _uid(obj: Object) -> str:
    return str(obj["metadata"]["uid"])


def _keep(objects: dict[Key, Object], key: Key, obj: Object, deleted: bool) -> None:
    old = objects.get(key)
    if deleted:
        if old and _uid(old) == _uid(obj):
            del objects[key]
    elif (
        old is None
        or _uid(old) != _uid(obj)
        or int(obj["metadata"]["resourceVersion"]) > int(old["metadata"]["resourceVersion"])
    ):
        objects[key] = obj
