"""The StudySchedule: makes a Study at each of its times, as a CronJob makes Jobs. Scheduled retraining."""

from enum import StrEnum
from functools import cache
from typing import Annotated, Literal
from zoneinfo import available_timezones

from pydantic import Field, StringConstraints, field_validator

from xstilts.api.base import Model
from xstilts.api.conditions import Condition
from xstilts.api.pods import Annotations, Labels
from xstilts.api.study import API_VERSION, Metadata, StudySpec

CRON = r"^\S+( +\S+){4}$"


@cache
def _time_zones() -> frozenset[str]:
    """Read from the disk once."""
    return frozenset(available_timezones())


class ConcurrencyPolicy(StrEnum):
    """What happens at a time when a Study of the schedule still runs."""

    FORBID = "Forbid"  # the next waits until it has ended, or until `startingDeadlineSeconds` are over
    ALLOW = "Allow"
    REPLACE = "Replace"  # the running one is deleted, and gone before the next is made


class TemplateMetadata(Model):
    """What the Studies of a schedule carry."""

    labels: Labels = Field(default_factory=dict)
    """Labels of each Study, beside the operator's own."""
    annotations: Annotations = Field(default_factory=dict)
    """Annotations of each Study."""


class StudyTemplate(Model):
    """The Studies that a schedule makes."""

    metadata: TemplateMetadata = TemplateMetadata()
    spec: StudySpec


class StudyScheduleSpec(Model):
    """When Studies are made, and which."""

    schedule: str = Field(pattern=CRON, max_length=128)
    """Cron, five fields: minute, hour, day of month, month, day of week."""
    time_zone: str = Field("Etc/UTC", min_length=1, max_length=64)
    """IANA name, such as `Europe/Berlin`."""
    concurrency_policy: ConcurrencyPolicy = ConcurrencyPolicy.FORBID
    """While a Study of the schedule still runs, a time waits for its end (Forbid; until the next time, or
    `startingDeadlineSeconds`), is used all the same (Allow), or the running one makes room (Replace)."""
    starting_deadline_seconds: int | None = Field(None, ge=1)
    """A time that was missed by more than this is skipped; of several missed times only the latest runs."""
    suspend: bool = False
    """No Study is made while it is true; those that run go on."""
    successful_studies_history_limit: int = Field(3, ge=0, le=1000)
    """Succeeded Studies that are kept in the cluster; what they made stays in the store and in MLflow."""
    failed_studies_history_limit: int = Field(1, ge=0, le=1000)
    """Failed Studies that are kept in the cluster."""
    only_if_changed: bool = False
    """Skip a time at which everything that a Study would run is there already: same data, model, settings and code."""
    study_template: StudyTemplate
    """What each Study is made from."""

    @field_validator("time_zone")
    @classmethod
    def _known_zone(cls, value: str) -> str:
        if value not in _time_zones():
            raise ValueError(f"{value!r} is no time zone of the IANA data base; write a name such as Europe/Berlin")
        return value


class StudyScheduleStatus(Model):
    """Where a schedule stands."""

    observed_generation: int = Field(0, ge=0)
    """The metadata.generation that all of this is about."""
    conditions: tuple[Condition, ...] = Field((), max_length=8)
    """`Ready`: whether the schedule is understood and goes on."""
    active: tuple[Annotated[str, StringConstraints(max_length=253)], ...] = Field((), max_length=64)
    """Studies that have not ended."""
    schedule: str = Field("", max_length=256)
    """Expression and time zone that the times here belong to. After a change only times count that come after the
    operator saw it."""
    last_schedule_time: str | None = Field(None, json_schema_extra={"format": "date-time"})
    """The latest time that was dealt with: a Study was made, or it was skipped."""
    last_successful_time: str | None = Field(None, json_schema_extra={"format": "date-time"})
    """When a Study of the schedule last succeeded."""
    last_skipped_time: str | None = Field(None, json_schema_extra={"format": "date-time"})
    """The latest time at which no Study was made."""
    last_skipped_reason: str = Field("", max_length=256)
    """Why, in one word."""
    next_schedule_time: str | None = Field(None, json_schema_extra={"format": "date-time"})
    """The next time; none while suspended."""


class StudySchedule(Model):
    """Makes a Study from a template at each time of a schedule."""

    api_version: Literal["xstilts.dev/v1alpha1"] = API_VERSION
    kind: Literal["StudySchedule"] = "StudySchedule"
    metadata: Metadata
    spec: StudyScheduleSpec
