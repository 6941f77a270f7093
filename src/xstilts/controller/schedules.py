"""When a StudySchedule makes a Study, and which of its Studies go: CronJob's rules as one pure function.

Called after each change of a StudySchedule or of a Study that it controls, and at `wake_at`. Whoever carries the
actions out may do it in any order, once or several times, or not at all; the next pass asks again:

- A Study's name is made from its slot, so a second one for a slot is refused by the API server.
- `lastScheduleTime` moves with what is observed: Studies that are there, and slots that were passed over. No slot up to
  it is looked at again, also when the clock goes back.
- A Study is only deleted when its slot is recorded in `lastScheduleTime`: without either it would be made again.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from xstilts.api import names
from xstilts.api.bounds import within_bounds
from xstilts.api.conditions import Condition, ConditionStatus, find_condition, set_condition
from xstilts.api.names import Reason, ScheduleCondition
from xstilts.api.schedule import ConcurrencyPolicy, StudyScheduleSpec, StudyScheduleStatus
from xstilts.api.study import API_VERSION
from xstilts.controller import slots
from xstilts.controller.events import Event
from xstilts.controller.objects import exclusion
from xstilts.controller.schedule_views import ObservedSchedule, ScheduledStudy
from xstilts.core.errors import UserError
from xstilts.core.keys import digest

NAME_LENGTH = 52
LABEL_LENGTH = 63
ACTIVE_SHOWN = 64
_REFUSED = {Reason.INVALID_SCHEDULE, Reason.NAMESPACE_EXCLUDED}
_SECOND = timedelta(seconds=1)
_BEFORE_ALL = datetime.min.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class CreateStudy:
    """One of the same name that the schedule controls counts as made."""

    manifest: dict[str, Any]


@dataclass(frozen=True, slots=True)
class DeleteStudy:
    name: str
    uid: str
    """Nothing is deleted where the name means another one by now."""


@dataclass(frozen=True, slots=True)
class Compare:
    """Find out whether a Study made now would run anything; the answer is a `Comparison` for the slot."""

    slot: datetime


ScheduleAction = CreateStudy | DeleteStudy | Compare


@dataclass(frozen=True, slots=True)
class ScheduleDecision:
    """What to do, and the status to write; empty where all is as it should be."""

    status: StudyScheduleStatus
    actions: tuple[ScheduleAction, ...] = ()
    events: tuple[Event, ...] = ()
    """To be sent when the status is written."""
    wake_at: datetime | None = None
    """When to decide again though nothing happens."""


@dataclass(frozen=True, slots=True)
class _Stand:
    """Where a schedule stands: what its condition says, and what follows."""

    reason: str = Reason.SCHEDULED
    message: str = ""
    ready: bool = True
    actions: tuple[ScheduleAction, ...] = ()
    passed_over: str = ""
    """Why the slot is not run at all."""
    until: datetime | None = None
    """When a slot that waits is given up."""


def reconcile_schedule(observed: ObservedSchedule, now: datetime) -> ScheduleDecision:
    if observed.deleting:
        return ScheduleDecision(observed.status)  # its Studies go with it, or stay if it was deleted as an orphan
    status = _seen(observed)
    if observed.is_excluded:
        stand = _Stand(Reason.NAMESPACE_EXCLUDED, exclusion(observed.namespace), ready=False)
        return _decision(observed, status, stand, now)
    if observed.spec is None:
        return _decision(observed, status, _Stand(Reason.INVALID_SCHEDULE, observed.problem, ready=False), now)
    try:
        times = slots.parse(observed.spec.schedule, zone=observed.spec.time_zone)
        following = _following(times, status, now)
    except UserError as error:
        return _decision(observed, status, _Stand(Reason.INVALID_SCHEDULE, str(error), ready=False), now)
    status = _under_this_schedule(observed.spec, status, times, now)
    if observed.spec.suspend:
        message = "spec.suspend is true: no Study is made until it is false"
        return _decision(observed, status, _Stand(Reason.SUSPENDED, message, ready=False), now)
    stand, status = _at_its_time(observed, status, times, now)
    return _decision(observed, status, stand, now, following)


# ---- what is observed


def _seen(observed: ObservedSchedule) -> StudyScheduleStatus:
    """The status as far as the Studies tell it."""
    studies = observed.studies
    made = [study.slot for study in studies if study.slot]
    succeeded = [study.completed for study in studies if study.ended == "Succeeded" and study.completed]
    status = observed.status
    return status.model_copy(
        update={
            "observed_generation": observed.generation,
            "active": tuple(study.name for study in _running(studies)[-ACTIVE_SHOWN:]),
            "last_schedule_time": _latest(status.last_schedule_time, made),
            "last_successful_time": _latest(status.last_successful_time, succeeded),
            "next_schedule_time": None,
        }
    )


def _running(studies: tuple[ScheduledStudy, ...]) -> list[ScheduledStudy]:
    return sorted((study for study in studies if not study.ended), key=_age)


def _age(study: ScheduledStudy) -> tuple[datetime, str]:
    return study.slot or _BEFORE_ALL, study.name


def _under_this_schedule(
    spec: StudyScheduleSpec, status: StudyScheduleStatus, times: slots.Slots, now: datetime
) -> StudyScheduleStatus:
    """After an edit, slots of the new expression that have passed are not taken for missed ones."""
    named = f"{spec.schedule} {spec.time_zone}"
    before = [times.latest(now)] if status.schedule not in {"", named} else []
    last = _latest(status.last_schedule_time, [slot for slot in before if slot])
    return status.model_copy(update={"schedule": named, "last_schedule_time": last})


def _following(times: slots.Slots, status: StudyScheduleStatus, now: datetime) -> datetime:
    last = _moment(status.last_schedule_time)
    following = times.after(max(now, last or now))
    if following is None:
        raise UserError(f"spec.schedule: {times.expression!r} is a time that never comes; write one that does")
    return following


# ---- what is due


def _at_its_time(
    observed: ObservedSchedule, status: StudyScheduleStatus, times: slots.Slots, now: datetime
) -> tuple[_Stand, StudyScheduleStatus]:
    last = _moment(status.last_schedule_time)
    since = max(observed.created, last or observed.created)
    slot = times.latest(now)
    if slot is None or slot <= since:
        return _Stand(message=_ahead(last) if last and last > now else ""), status
    earlier = times.latest(slot - _SECOND)
    if earlier and earlier > since:
        status = _passed_over(status, earlier, f"{Reason.MISSED}: of several missed times only the latest runs")
    stand = _judge(observed, slot, now)
    return stand, _passed_over(status, slot, stand.passed_over) if stand.passed_over else status


def _ahead(last: datetime) -> str:
    return f"lastScheduleTime, {_text(last)}, is yet to come by the operator's clock; no Study is made before"


def _judge(observed: ObservedSchedule, slot: datetime, now: datetime) -> _Stand:
    spec = _spec(observed)
    policy = spec.concurrency_policy
    running = _running(observed.studies)
    # a slot for which others were deleted already is not given up when that takes long
    replacing = _was_replacing(observed.status)
    until = _deadline(spec, slot)
    if until and now > until and not replacing:
        return _Stand(passed_over=f"{Reason.MISSED}: startingDeadlineSeconds ({spec.starting_deadline_seconds}) passed")
    if running and policy is ConcurrencyPolicy.FORBID:
        message = f"the Study for {_text(slot)} waits for {_listed(running)}"
        return _Stand(Reason.WAITING_FOR_STUDY, message, until=until)
    if spec.only_if_changed and not replacing:
        answer = observed.comparison
        if answer is None or answer.slot != slot:
            return _Stand(Reason.COMPARING, f"is there anything to run for {_text(slot)}?", actions=(Compare(slot),))
        if not answer.changed:
            return _Stand(passed_over=f"{Reason.UNCHANGED}: everything that a Study would run is there already")
    if running and policy is ConcurrencyPolicy.REPLACE:
        message = f"the Study for {_text(slot)} is made when {_listed(running)} is gone"
        return _Stand(Reason.REPLACING, message, actions=tuple(_deletions(observed, running)))
    return _Stand(actions=(CreateStudy(study_manifest(observed, slot)),))


def _spec(observed: ObservedSchedule) -> StudyScheduleSpec:
    assert observed.spec is not None
    return observed.spec


def _was_replacing(status: StudyScheduleStatus) -> bool:
    ready = find_condition(status.conditions, ScheduleCondition.READY)
    return ready is not None and ready.reason == Reason.REPLACING


def _deadline(spec: StudyScheduleSpec, slot: datetime) -> datetime | None:
    seconds = spec.starting_deadline_seconds
    return None if seconds is None else slot + timedelta(seconds=seconds)


def _passed_over(status: StudyScheduleStatus, slot: datetime, reason: str) -> StudyScheduleStatus:
    text = _text(slot)
    return status.model_copy(
        update={"last_schedule_time": text, "last_skipped_time": text, "last_skipped_reason": reason}
    )


# ---- what goes


def _history(observed: ObservedSchedule) -> list[DeleteStudy]:
    """Studies that ended, beyond the limits, the oldest first."""
    if observed.spec is None:
        return []
    surplus: list[ScheduledStudy] = []
    for ended, limit in (
        ("Succeeded", observed.spec.successful_studies_history_limit),
        ("Failed", observed.spec.failed_studies_history_limit),
    ):
        kept = sorted((s for s in observed.studies if s.ended == ended and not s.deleting), key=_end)
        surplus += kept[: max(0, len(kept) - limit)]
    return list(_deletions(observed, sorted(surplus, key=_end)))


def _end(study: ScheduledStudy) -> tuple[datetime, datetime, str]:
    return study.completed or study.slot or _BEFORE_ALL, *_age(study)


def _deletions(observed: ObservedSchedule, studies: list[ScheduledStudy]) -> Iterator[DeleteStudy]:
    recorded = _moment(observed.status.last_schedule_time) or _BEFORE_ALL
    for study in studies:
        if not study.deleting and (study.slot is None or study.slot <= recorded):
            yield DeleteStudy(study.name, study.uid)


# ---- the decision


def _decision(
    observed: ObservedSchedule,
    status: StudyScheduleStatus,
    stand: _Stand,
    now: datetime,
    following: datetime | None = None,
) -> ScheduleDecision:
    actions = (*stand.actions, *_history(observed))
    if observed.refusal and actions:
        stand = replace(stand, reason=observed.refusal.reason, message=observed.refusal.message, ready=False)
    ready = Condition(
        type=ScheduleCondition.READY,
        status=ConditionStatus.TRUE if stand.ready else ConditionStatus.FALSE,
        observed_generation=observed.generation,
        last_transition_time=_text(now),
        reason=stand.reason,
        message=stand.message[:2000],
    )
    updates = {
        "conditions": set_condition(status.conditions, ready),
        "next_schedule_time": _text(following) if following else None,
    }
    status, _ = within_bounds(status.model_copy(update=updates))
    return ScheduleDecision(
        status, actions, tuple(_events(observed, status)), _wake_at(observed, status, stand, now, following)
    )


def _events(observed: ObservedSchedule, status: StudyScheduleStatus) -> Iterator[Event]:
    """What the new status says and the old one did not."""
    old = observed.status
    recorded = _moment(old.last_schedule_time) or _BEFORE_ALL
    for study in sorted(observed.studies, key=_age):
        if study.slot and study.slot > recorded:
            yield Event(Reason.STUDY_CREATED, f"Study {study.name} for {_text(study.slot)}")
    if status.last_skipped_time and status.last_skipped_time != old.last_skipped_time:
        reason, _, message = status.last_skipped_reason.partition(": ")
        yield Event(reason, f"no Study for {status.last_skipped_time}: {message}", warning=reason == Reason.MISSED)
    ready, before = (find_condition(each.conditions, ScheduleCondition.READY) for each in (status, old))
    told = before and (before.reason, before.message)
    if ready and ready.reason != Reason.SCHEDULED and (ready.reason, ready.message) != told:
        failed = observed.refusal is not None and ready.reason == observed.refusal.reason
        yield Event(ready.reason, ready.message, warning=failed or ready.reason in _REFUSED)


def _wake_at(
    observed: ObservedSchedule, status: StudyScheduleStatus, stand: _Stand, now: datetime, following: datetime | None
) -> datetime | None:
    if status.last_schedule_time != observed.status.last_schedule_time:
        return now  # once it is recorded, more may be deleted
    given_up = stand.until + _SECOND if stand.until else None
    return min((moment for moment in (following, given_up) if moment), default=None)


# ---- the Study


def study_manifest(observed: ObservedSchedule, slot: datetime) -> dict[str, Any]:
    """The Study for a slot."""
    spec = _spec(observed)
    template = spec.study_template
    local = slot.astimezone(ZoneInfo(spec.time_zone))
    return {
        "apiVersion": API_VERSION,
        "kind": "Study",
        "metadata": {
            "name": study_name(observed.name, slot),
            "namespace": observed.namespace,
            "labels": {
                **template.metadata.labels,
                names.MANAGED_BY: names.MANAGER,
                names.SCHEDULE: _shortened(observed.name, LABEL_LENGTH),
            },
            "annotations": {**template.metadata.annotations, names.SLOT: local.isoformat()},
            "ownerReferences": [_owner(observed)],
        },
        # what the template leaves out is left to the defaults
        "spec": template.spec.model_dump(mode="json", exclude_unset=True),
    }


def _owner(observed: ObservedSchedule) -> dict[str, Any]:
    return {
        "apiVersion": API_VERSION,
        "kind": "StudySchedule",
        "name": observed.name,
        "uid": observed.uid,
        "controller": True,
        "blockOwnerDeletion": True,
    }


def study_name(schedule: str, slot: datetime) -> str:
    """As a CronJob names its Jobs: minutes since 1970, so that a slot has one name whatever the zone."""
    minutes = f"-{int(slot.timestamp()) // 60}"
    return _shortened(schedule, NAME_LENGTH - len(minutes)) + minutes


def _shortened(name: str, length: int) -> str:
    """A long name keeps its beginning, and stays apart from others by a hash."""
    return name if len(name) <= length else f"{name[: length - 9].rstrip('-.')}-{digest(name)[:8]}"


# ---- times and words


def _text(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _moment(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None


def _latest(text: str | None, moments: list[datetime]) -> str | None:
    known = [moment for moment in (_moment(text), *moments) if moment]
    return _text(max(known)) if known else None


def _listed(studies: list[ScheduledStudy]) -> str:
    shown = ", ".join(study.name for study in studies[:3])
    return shown if len(studies) <= 3 else f"{shown} and {len(studies) - 3} more"
