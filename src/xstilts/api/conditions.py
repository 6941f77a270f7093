"""Conditions as in metav1: what Studies, Trials and StudySchedules tell about themselves."""

from collections.abc import Iterable
from enum import StrEnum

from pydantic import Field

from xstilts.api.base import Model


class ConditionStatus(StrEnum):
    """Unknown while it is not settled."""

    TRUE = "True"
    FALSE = "False"
    UNKNOWN = "Unknown"


class Condition(Model):
    """One aspect of a resource's state."""

    type: str = Field(pattern=r"^[A-Za-z]+$", max_length=63)
    """What it is about, such as `Succeeded`."""
    status: ConditionStatus
    """True, False, or Unknown while it is not settled."""
    observed_generation: int = Field(0, ge=0)
    """The metadata.generation that it is about."""
    last_transition_time: str = Field(json_schema_extra={"format": "date-time"})
    """When its status changed last."""
    reason: str = Field(pattern=r"^[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?$", max_length=256)
    """Why, in one word for programs."""
    message: str = Field("", max_length=2048)
    """Why, and what to do, for people."""


def set_condition(conditions: Iterable[Condition], new: Condition) -> tuple[Condition, ...]:
    """The conditions with one replaced or added; the time of transition moves only with the status."""
    kept, replaced = [], False
    for old in conditions:
        if old.type != new.type:
            kept.append(old)
            continue
        replaced = True
        same = old.status == new.status
        kept.append(new.model_copy(update={"last_transition_time": old.last_transition_time}) if same else new)
    return (*kept, *(() if replaced else (new,)))


def find_condition(conditions: Iterable[Condition], kind: str) -> Condition | None:
    return next((condition for condition in conditions if condition.type == kind), None)
