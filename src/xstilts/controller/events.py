"""What the operator tells people beside the status."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from xstilts.api.conditions import Condition, ConditionStatus, find_condition
from xstilts.api.names import StudyCondition
from xstilts.controller.views import Trouble


@dataclass(frozen=True, slots=True)
class Event:
    """Shown by `kubectl describe`; made once for each change of a status."""

    reason: str
    message: str
    warning: bool = False


def news(old: Iterable[Condition], new: Iterable[Condition], trouble: Trouble | None) -> Iterator[Event]:
    """What is wrong, by the conditions of a Study, and was not before. `trouble` is what Progressing tells of."""
    old, new = tuple(old), tuple(new)
    for kind in (StudyCondition.ACCEPTED, StudyCondition.STORAGE_READY, StudyCondition.TRACKING_READY):
        now, before = find_condition(new, kind), find_condition(old, kind)
        if now and now.status is ConditionStatus.FALSE and (not before or before.reason != now.reason):
            yield Event(now.reason, f"{kind} is false: {now.message}", warning=True)
    now, before = (find_condition(each, StudyCondition.PODS_BLOCKED) for each in (new, old))
    if now and now.status is ConditionStatus.TRUE and not (before and before.status is ConditionStatus.TRUE):
        yield Event(now.reason, now.message, warning=True)
    before = find_condition(old, StudyCondition.PROGRESSING)
    if trouble and (not before or before.reason != trouble.reason):
        yield Event(trouble.reason, trouble.message, warning=True)
