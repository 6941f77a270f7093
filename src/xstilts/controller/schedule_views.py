"""What `schedules` reads: a StudySchedule with its Studies, as values made from objects of the cluster."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal, Self

from pydantic import ValidationError

from xstilts.api import load, names
from xstilts.api.schedule import StudyScheduleSpec, StudyScheduleStatus
from xstilts.controller.events import Event


@dataclass(frozen=True, slots=True)
class Comparison:
    """Whether a Study made for a slot would run anything; also True where that cannot be found out.

    Then the Study says what is wrong, and takes over everything that is there.
    """

    slot: datetime
    changed: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class ScheduledStudy:
    """A Study that a schedule made."""

    name: str
    uid: str
    slot: datetime | None
    ended: Literal["Succeeded", "Failed"] | None = None
    completed: datetime | None = None
    deleting: bool = False

    @classmethod
    def read(cls, study: Mapping[str, Any]) -> Self:
        metadata, status = study["metadata"], study.get("status") or {}
        summary = next((c["status"] for c in status.get("conditions") or () if c["type"] == "Succeeded"), "Unknown")
        return cls(
            name=metadata["name"],
            uid=metadata["uid"],
            slot=_time((metadata.get("annotations") or {}).get(names.SLOT)),
            ended="Succeeded" if summary == "True" else "Failed" if summary == "False" else None,
            completed=_time(status.get("completionTime")),
            deleting="deletionTimestamp" in metadata,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ObservedSchedule:
    """A StudySchedule, and what there is of its Studies."""

    name: str
    namespace: str
    uid: str
    generation: int
    created: datetime
    spec: StudyScheduleSpec | None
    """None where it cannot be understood."""
    problem: str = ""
    """Why not."""
    deleting: bool = False
    is_excluded: bool = False
    """The operator runs nothing in its namespace."""
    status: StudyScheduleStatus = field(default_factory=StudyScheduleStatus)
    studies: tuple[ScheduledStudy, ...] = ()
    comparison: Comparison | None = None
    """The last answer to `Compare`."""
    refusal: Event | None = None
    """Why the last attempt to make or delete a Study failed."""

    @classmethod
    def read(
        cls,
        schedule: Mapping[str, Any],
        *,
        studies: Iterable[Mapping[str, Any]],
        comparison: Comparison | None = None,
        refusal: Event | None = None,
        is_excluded: bool = False,
    ) -> Self:
        """Of the Studies, those count that the schedule controls."""
        metadata = schedule["metadata"]
        spec, problem = _spec(schedule.get("spec") or {})
        return cls(
            name=metadata["name"],
            namespace=metadata["namespace"],
            uid=metadata["uid"],
            generation=metadata["generation"],
            created=datetime.fromisoformat(metadata["creationTimestamp"]),
            spec=spec,
            problem=problem,
            deleting="deletionTimestamp" in metadata,
            is_excluded=is_excluded,
            status=_status(schedule.get("status") or {}),
            studies=tuple(ScheduledStudy.read(s) for s in studies if controlled_by(s, metadata["uid"])),
            comparison=comparison,
            refusal=refusal,
        )


def controlled_by(manifest: Mapping[str, Any], uid: str) -> bool:
    owners = manifest["metadata"].get("ownerReferences") or ()
    return any(owner["uid"] == uid and owner.get("controller") for owner in owners)


def _spec(document: Mapping[str, Any]) -> tuple[StudyScheduleSpec | None, str]:
    try:
        return StudyScheduleSpec.model_validate(document), ""
    except ValidationError as error:
        return None, load.explain(error, under="spec")


def _status(document: Mapping[str, Any]) -> StudyScheduleStatus:
    """What an operator of another version wrote is no reason to stop: it is worked out again."""
    try:
        return StudyScheduleStatus.model_validate(document)
    except ValidationError:
        known = {"lastScheduleTime", "schedule"} & document.keys()
        return StudyScheduleStatus.model_validate({key: document[key] for key in known})


def _time(text: object) -> datetime | None:
    """None also for what somebody wrote there who knows no better."""
    try:
        found = datetime.fromisoformat(str(text)) if text else None
    except ValueError:
        return None
    return found.astimezone(UTC) if found else None
