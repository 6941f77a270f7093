"""A StudySchedule and its Studies in a small world of their own: what `reconcile_schedule` asks for is done in it."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from xstilts.api.schedule import StudyScheduleSpec, StudyScheduleStatus
from xstilts.controller.events import Event
from xstilts.controller.schedule_views import Comparison, ObservedSchedule, ScheduledStudy
from xstilts.controller.schedules import Compare, CreateStudy, DeleteStudy, ScheduleDecision, reconcile_schedule

TEMPLATE = {
    "metadata": {"labels": {"team": "transfer"}, "annotations": {"note": "nightly"}},
    "spec": {
        "model": {"name": "xlm-roberta-base"},
        "targets": [{"name": "xnli"}],
        "sizes": ["0"],
        "store": {"uri": "s3://bucket/prefix"},
        "tracking": {"uri": "http://mlflow:5000"},
    },
}


def at(text: str) -> datetime:
    """A time in UTC, such as `2026-03-02 10:00`."""
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def spec(schedule: str = "0 * * * *", **changes: Any) -> StudyScheduleSpec:
    return StudyScheduleSpec.model_validate({"schedule": schedule, "studyTemplate": TEMPLATE} | changes)


@dataclass
class ScheduleWorld:
    """A schedule `nightly`. Studies end, and go once they are deleted, when a test says so."""

    spec: StudyScheduleSpec
    created: datetime
    name: str = "nightly"
    generation: int = 1
    status: StudyScheduleStatus = field(default_factory=StudyScheduleStatus)
    studies: dict[str, ScheduledStudy] = field(default_factory=dict)
    comparison: Comparison | None = None
    changed: bool | None = None
    """The answer to a comparison, where it is answered at once."""
    made: Counter[datetime] = field(default_factory=Counter)
    """How many Studies were made for each slot, ever."""
    events: list[Event] = field(default_factory=list)

    def observed(self) -> ObservedSchedule:
        return ObservedSchedule(
            name=self.name,
            namespace="research",
            uid="s1",
            generation=self.generation,
            created=self.created,
            spec=self.spec,
            status=self.status,
            studies=tuple(self.studies.values()),
            comparison=self.comparison,
        )

    def edit(self, **changes: Any) -> None:
        self.spec = spec(**(self.spec.model_dump(by_alias=True, exclude_unset=True) | changes))
        self.generation += 1

    # ---- the operator

    def pass_at(self, now: datetime, *, actions: int | None = None, written: bool = True) -> ScheduleDecision:
        """Decide once and do it; a crash leaves only some actions done, and the status unwritten."""
        decision = reconcile_schedule(self.observed(), now)
        for action in decision.actions[:actions]:
            self._do(action)
        if written:
            self.status = decision.status
            self.events += decision.events
        return decision

    def settle(self, now: datetime) -> list[Any]:
        """Decide until nothing is asked for, and what was asked for in all; a wake-up in the future is not awaited."""
        asked: list[Any] = []
        for _ in range(20):
            decision = self.pass_at(now)
            asked += decision.actions
            if not decision.actions and (decision.wake_at is None or decision.wake_at > now):
                return asked
            if any(isinstance(action, Compare) for action in decision.actions) and self.changed is None:
                return asked
            if self.draining():
                return asked
        raise AssertionError(f"it never settles: {asked[-3:]}")

    def _do(self, action: Any) -> None:
        match action:
            case CreateStudy(manifest):
                self._create(manifest)
            case DeleteStudy(name, uid):
                study = self.studies.get(name)
                assert study is not None
                assert study.uid == uid
                if study.ended:
                    del self.studies[name]
                else:
                    self.studies[name] = replace(study, deleting=True)
            case Compare(slot):
                self.comparison = None if self.changed is None else Comparison(slot, self.changed)

    def _create(self, manifest: dict[str, Any]) -> None:
        name = manifest["metadata"]["name"]
        if name not in self.studies:
            uid = f"u{sum(self.made.values())}"
            study = ScheduledStudy.read(manifest | {"metadata": manifest["metadata"] | {"uid": uid}})
            assert study.slot is not None
            self.studies[name] = study
            self.made[study.slot] += 1

    # ---- what others do

    def end(self, name: str, ended: Any, when: datetime) -> None:
        self.studies[name] = replace(self.studies[name], ended=ended, completed=when)

    def drain(self) -> None:
        """Studies that were deleted while they ran are gone."""
        self.studies = {name: study for name, study in self.studies.items() if not study.deleting}

    def draining(self) -> bool:
        return any(study.deleting for study in self.studies.values())

    # ---- to look at

    def running(self) -> list[datetime | None]:
        return [study.slot for study in self.studies.values() if not study.ended]

    def ready(self) -> tuple[str, str]:
        (condition,) = self.status.conditions
        return condition.status, condition.reason


def slots_of(actions: Iterable[Any]) -> list[datetime]:
    """Of the Studies that were asked for."""
    found = [
        ScheduledStudy.read(_with_uid(action.manifest)).slot for action in actions if isinstance(action, CreateStudy)
    ]
    return [slot for slot in found if slot]


def _with_uid(manifest: dict[str, Any]) -> dict[str, Any]:
    return manifest | {"metadata": manifest["metadata"] | {"uid": "u"}}


HOUR = timedelta(hours=1)
