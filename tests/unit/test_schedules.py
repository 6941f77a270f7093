"""When a StudySchedule makes a Study and which of its Studies go: CronJob's rules, one sentence each."""

from datetime import timedelta

import pytest

from schedules import HOUR, ScheduleWorld, at, slots_of, spec
from xstilts.api import names
from xstilts.api.schedule import StudySchedule, StudyScheduleStatus
from xstilts.api.study import Study
from xstilts.controller.schedule_views import Comparison, ObservedSchedule
from xstilts.controller.schedules import Compare, CreateStudy, DeleteStudy, reconcile_schedule, study_name

CREATED = at("2026-03-02 09:30")
TEN = at("2026-03-02 10:00")
NAME = "nightly-29540760"
"""Of the Study for TEN."""


def world(schedule: str = "0 * * * *", **changes) -> ScheduleWorld:
    return ScheduleWorld(spec(schedule, **changes), created=CREATED)


def with_one_running(**changes) -> ScheduleWorld:
    """At ten, its first Study was made."""
    hourly = world(**changes)
    hourly.changed = True
    hourly.settle(TEN)
    assert hourly.running() == [TEN]
    return hourly


def names_deleted(actions) -> list[str]:
    return [action.name for action in actions if isinstance(action, DeleteStudy)]


# ---- the plain case


def test_nothing_is_made_before_the_first_time_and_status_says_when_that_is():
    hourly = world()
    assert hourly.settle(at("2026-03-02 09:59")) == []
    assert hourly.status.next_schedule_time == "2026-03-02T10:00:00Z"
    assert hourly.status.last_schedule_time is None
    assert hourly.ready() == ("True", "Scheduled")
    assert hourly.pass_at(at("2026-03-02 09:59")).wake_at == TEN


def test_a_time_before_the_schedule_was_made_does_not_count():
    assert world().settle(at("2026-03-02 09:30")) == []


def test_at_its_time_a_study_is_made_once():
    hourly = world()
    assert slots_of(hourly.settle(TEN)) == [TEN]
    assert hourly.settle(TEN) == hourly.settle(TEN + 0.9 * HOUR) == []
    assert hourly.made == {TEN: 1}


def test_the_study_is_recorded_as_soon_as_it_is_seen_and_told_once():
    hourly = with_one_running()
    assert hourly.status.last_schedule_time == "2026-03-02T10:00:00Z"
    assert hourly.status.next_schedule_time == "2026-03-02T11:00:00Z"
    assert hourly.status.active == (NAME,)
    assert [(e.reason, e.message) for e in hourly.events] == [
        ("StudyCreated", f"Study {NAME} for 2026-03-02T10:00:00Z")
    ]


def test_the_study_is_a_valid_one_that_the_schedule_controls_and_says_its_slot_in_the_schedules_zone():
    observed = world(timeZone="Europe/Berlin").observed()
    (create,) = reconcile_schedule(observed, TEN).actions
    assert isinstance(create, CreateStudy)
    metadata = create.manifest["metadata"]
    assert metadata.pop("ownerReferences") == [
        {
            "apiVersion": "xstilts.dev/v1alpha1",
            "kind": "StudySchedule",
            "name": "nightly",
            "uid": "s1",
            "controller": True,
            "blockOwnerDeletion": True,
        }
    ]
    assert metadata == {
        "name": NAME,
        "namespace": "research",
        "labels": {"team": "transfer", names.MANAGED_BY: names.MANAGER, names.SCHEDULE: "nightly"},
        "annotations": {"note": "nightly", names.SLOT: "2026-03-02T11:00:00+01:00"},
    }
    study = Study.model_validate(create.manifest)
    assert study.spec == observed.spec.study_template.spec
    assert "parallelism" not in create.manifest["spec"], "what the template leaves out is left to the defaults"


def test_a_long_name_is_shortened_to_one_that_is_still_its_own():
    names_of = [study_name("a" * 51 + end, TEN) for end in ("x", "y", "-")]
    assert len(set(names_of)) == 3
    assert all(len(name) <= 52 and name.endswith("-29540760") for name in names_of)
    assert study_name("b" * 43, TEN) == "b" * 43 + "-29540760"


# ---- missed times


def test_of_several_missed_times_only_the_latest_runs():
    hourly = world()
    assert slots_of(hourly.settle(at("2026-03-02 14:20"))) == [at("2026-03-02 14:00")]
    assert hourly.status.last_skipped_time == "2026-03-02T13:00:00Z"
    assert "only the latest" in hourly.status.last_skipped_reason
    assert {e.reason for e in hourly.events if e.warning} == {"MissedSchedule"}


def test_after_ten_years_of_a_minutely_schedule_one_study_is_made_at_once():
    minutely = world("* * * * *")
    assert slots_of(minutely.settle(at("2036-03-02 10:00"))) == [at("2036-03-02 10:00")]


def test_a_time_missed_by_more_than_the_starting_deadline_is_passed_over_and_said_so():
    hourly = world(startingDeadlineSeconds=60)
    assert hourly.settle(TEN + timedelta(seconds=61)) == []
    assert hourly.status.last_skipped_time == hourly.status.last_schedule_time == "2026-03-02T10:00:00Z"
    assert hourly.status.last_skipped_reason == "MissedSchedule: startingDeadlineSeconds (60) passed"
    assert [e.message for e in hourly.events] == ["no Study for 2026-03-02T10:00:00Z: startingDeadlineSeconds (60) passed"]  # fmt: skip


def test_a_time_missed_by_no_more_than_the_starting_deadline_runs():
    assert slots_of(world(startingDeadlineSeconds=60).settle(TEN + timedelta(seconds=60))) == [TEN]


# ---- one still runs


def test_forbid_lets_the_next_wait_until_the_running_one_ends():
    hourly = with_one_running()
    assert hourly.settle(TEN + HOUR) == []
    assert hourly.ready() == ("True", "WaitingForStudy")
    assert NAME in hourly.status.conditions[0].message
    hourly.end(NAME, "Succeeded", TEN + 1.5 * HOUR)
    assert slots_of(hourly.settle(TEN + 1.5 * HOUR)) == [TEN + HOUR]


def test_forbid_waits_no_longer_than_the_starting_deadline():
    hourly = with_one_running(startingDeadlineSeconds=600)
    assert hourly.pass_at(TEN + HOUR).wake_at == TEN + HOUR + timedelta(seconds=601)
    assert hourly.settle(TEN + HOUR + timedelta(seconds=601)) == []
    hourly.end(NAME, "Succeeded", TEN + 1.5 * HOUR)
    assert hourly.settle(TEN + 1.5 * HOUR) == []
    assert hourly.status.last_skipped_time == "2026-03-02T11:00:00Z"


def test_a_time_that_waited_is_passed_over_when_the_next_one_comes():
    hourly = with_one_running()
    for hours in (1, 2, 3):
        assert hourly.settle(TEN + hours * HOUR) == []
    assert hourly.status.last_skipped_time == "2026-03-02T12:00:00Z"
    hourly.end(NAME, "Failed", TEN + 3.1 * HOUR)
    assert slots_of(hourly.settle(TEN + 3.1 * HOUR)) == [TEN + 3 * HOUR]


def test_waiting_is_told_once():
    hourly = with_one_running()
    for minutes in range(5):
        hourly.pass_at(TEN + HOUR + timedelta(minutes=minutes))
    assert [e.reason for e in hourly.events] == ["StudyCreated", "WaitingForStudy"]


def test_a_study_that_is_being_deleted_still_runs():
    hourly = with_one_running()
    hourly.pass_at(TEN)
    hourly._do(DeleteStudy(NAME, "u0"))
    assert hourly.settle(TEN + HOUR) == []
    hourly.drain()
    assert slots_of(hourly.settle(TEN + HOUR)) == [TEN + HOUR]


def test_allow_makes_the_next_beside_it():
    hourly = with_one_running(concurrencyPolicy="Allow")
    assert slots_of(hourly.settle(TEN + HOUR)) == [TEN + HOUR]
    assert hourly.running() == [TEN, TEN + HOUR]


def test_replace_deletes_the_running_one_and_makes_the_next_when_it_is_gone():
    hourly = with_one_running(concurrencyPolicy="Replace")
    assert hourly.settle(TEN + HOUR) == [DeleteStudy(NAME, "u0")]
    assert hourly.ready() == ("True", "Replacing")
    assert hourly.settle(TEN + HOUR) == [], "it is being deleted already"
    hourly.drain()
    assert slots_of(hourly.settle(TEN + 1.01 * HOUR)) == [TEN + HOUR]
    assert hourly.ready() == ("True", "Scheduled")


def test_replace_makes_the_study_although_draining_took_longer_than_the_starting_deadline():
    hourly = with_one_running(concurrencyPolicy="Replace", startingDeadlineSeconds=30)
    hourly.settle(TEN + HOUR)
    assert hourly.settle(TEN + 1.5 * HOUR) == []
    hourly.drain()
    assert slots_of(hourly.settle(TEN + 1.5 * HOUR)) == [TEN + HOUR]


def test_replace_makes_the_latest_when_another_time_came_while_draining():
    hourly = with_one_running(concurrencyPolicy="Replace")
    hourly.settle(TEN + HOUR)
    hourly.settle(TEN + 2 * HOUR)
    hourly.drain()
    assert slots_of(hourly.settle(TEN + 2 * HOUR)) == [TEN + 2 * HOUR]
    assert hourly.made == {TEN: 1, TEN + 2 * HOUR: 1}


# ---- only if something changed


def test_whether_anything_changed_is_asked_for_once_the_time_has_come():
    hourly = world(onlyIfChanged=True)
    assert hourly.settle(TEN) == [Compare(TEN)]
    assert hourly.ready() == ("True", "Comparing")


def test_a_time_at_which_nothing_changed_is_passed_over_and_said_so():
    hourly = world(onlyIfChanged=True)
    hourly.changed = False
    assert hourly.settle(TEN) == [Compare(TEN)]
    assert hourly.status.last_skipped_time == hourly.status.last_schedule_time == "2026-03-02T10:00:00Z"
    assert hourly.status.last_skipped_reason.startswith("Unchanged: ")
    assert [(e.reason, e.warning) for e in hourly.events][-1] == ("Unchanged", False)
    assert hourly.ready() == ("True", "Scheduled")


def test_a_time_at_which_something_changed_runs():
    hourly = world(onlyIfChanged=True)
    hourly.changed = True
    assert slots_of(hourly.settle(TEN)) == [TEN]


def test_an_answer_for_an_earlier_time_is_none():
    hourly = world(onlyIfChanged=True)
    hourly.comparison = Comparison(TEN - HOUR, changed=True)
    assert hourly.settle(TEN) == [Compare(TEN)]


def test_nothing_is_replaced_by_a_study_that_would_run_nothing():
    hourly = with_one_running(onlyIfChanged=True, concurrencyPolicy="Replace")
    hourly.changed = False
    assert hourly.settle(TEN + HOUR) == [Compare(TEN + HOUR)]
    assert hourly.running() == [TEN]


# ---- what is kept


def test_beyond_the_limits_the_oldest_that_ended_go_and_those_that_run_never():
    hourly = world(concurrencyPolicy="Allow", successfulStudiesHistoryLimit=2, failedStudiesHistoryLimit=1)
    for hours in range(8):
        hourly.settle(TEN + hours * HOUR)
    ended = list(hourly.studies)[1:]
    for name, how in zip(ended, ["Succeeded", "Failed"] * 3 + ["Succeeded"], strict=True):
        hourly.end(name, how, TEN + 8 * HOUR)
    deleted = names_deleted(hourly.settle(TEN + 7.5 * HOUR))
    # of the four that succeeded two stay, of the three that failed one
    assert deleted == [ended[i] for i in (0, 1, 2, 3)]
    assert hourly.running() == [TEN]
    assert hourly.status.last_successful_time == "2026-03-02T18:00:00Z"


def test_with_a_limit_of_nothing_a_study_goes_as_soon_as_it_ends_and_its_time_does_not_come_again():
    hourly = with_one_running(successfulStudiesHistoryLimit=0)
    hourly.end(NAME, "Succeeded", TEN + 0.1 * HOUR)
    assert names_deleted(hourly.settle(TEN + 0.1 * HOUR)) == [NAME]
    assert hourly.settle(TEN + 0.2 * HOUR) == []
    assert hourly.made == {TEN: 1}


def test_a_study_stays_until_its_slot_is_recorded():
    hourly = world(successfulStudiesHistoryLimit=0)
    hourly.pass_at(TEN, written=False)
    hourly.end(NAME, "Succeeded", TEN)
    first = hourly.pass_at(TEN)
    assert first.actions == ()
    assert first.wake_at == TEN
    assert names_deleted(hourly.pass_at(TEN).actions) == [NAME]


def test_a_study_that_somebody_deleted_is_not_made_again():
    hourly = with_one_running()
    hourly.studies.clear()
    assert hourly.settle(TEN + 0.5 * HOUR) == []


# ---- suspended, edited, deleted, wrong


def test_nothing_is_made_while_suspended_and_the_latest_missed_time_runs_afterwards():
    hourly = world(suspend=True)
    assert hourly.settle(TEN + 2.5 * HOUR) == []
    assert hourly.ready() == ("False", "Suspended")
    assert hourly.status.next_schedule_time is None
    hourly.edit(suspend=False)
    assert slots_of(hourly.settle(TEN + 2.6 * HOUR)) == [TEN + 2 * HOUR]
    assert hourly.ready() == ("True", "Scheduled")


def test_after_an_edit_times_of_the_new_schedule_that_have_passed_do_not_count():
    daily = world("0 20 * * *")
    daily.settle(at("2026-03-03 12:00"))
    daily.edit(schedule="0 11 * * *")
    assert daily.settle(at("2026-03-03 12:01")) == []
    assert daily.status.next_schedule_time == "2026-03-04T11:00:00Z"
    assert slots_of(daily.settle(at("2026-03-04 11:00"))) == []
    daily.end("nightly-29541360", "Succeeded", at("2026-03-04 11:00"))
    assert slots_of(daily.settle(at("2026-03-04 11:00"))) == [at("2026-03-04 11:00")]


def test_after_an_edit_of_anything_else_missed_times_still_count():
    daily = world("0 20 * * *")
    daily.settle(at("2026-03-02 19:00"))
    daily.edit(successfulStudiesHistoryLimit=5)
    assert slots_of(daily.settle(at("2026-03-02 20:01"))) == [at("2026-03-02 20:00")]


def test_an_edit_of_the_zone_alone_is_an_edit_too():
    daily = world("0 20 * * *")
    daily.settle(at("2026-03-02 19:30"))
    daily.edit(timeZone="Europe/Berlin")
    assert daily.settle(at("2026-03-02 19:31")) == []
    assert daily.status.next_schedule_time == "2026-03-03T19:00:00Z"


@pytest.mark.parametrize("schedule", ["0 25 * * *", "0 0 31 2 *"])
def test_a_schedule_that_is_none_is_told_with_the_field_and_the_way_out(schedule):
    wrong = world(schedule)
    for _ in range(3):
        assert wrong.settle(TEN) == []
    assert wrong.ready() == ("False", "InvalidSchedule")
    assert wrong.status.conditions[0].message.startswith("spec.schedule: ")
    assert "such as" in wrong.status.conditions[0].message
    assert [(e.reason, e.warning) for e in wrong.events] == [("InvalidSchedule", True)]


def test_a_schedule_that_is_mended_goes_on_from_there():
    wrong = world("0 25 * * *")
    wrong.settle(TEN)
    wrong.edit(schedule="0 11 * * *")
    assert slots_of(wrong.settle(TEN + HOUR)) == [TEN + HOUR]
    assert wrong.ready() == ("True", "Scheduled")


def test_a_schedule_that_is_being_deleted_makes_and_deletes_nothing():
    observed = ObservedSchedule.read(
        manifest() | {"metadata": manifest()["metadata"] | {"deletionTimestamp": "2026-03-02T10:00:00Z"}}, studies=[]
    )
    assert reconcile_schedule(observed, TEN).actions == ()


# ---- clocks


def test_a_clock_that_goes_back_makes_no_second_study():
    hourly = with_one_running(concurrencyPolicy="Allow")
    for minutes in (-50, -5, 0, 30):
        assert hourly.settle(TEN + timedelta(minutes=minutes)) == []
    assert hourly.made == {TEN: 1}


def test_a_clock_that_was_ahead_is_told_with_the_time_that_is_waited_for():
    hourly = with_one_running(concurrencyPolicy="Allow")
    hourly.settle(at("2027-01-01 00:00"))
    assert hourly.settle(TEN + HOUR) == []
    assert hourly.status.next_schedule_time == "2027-01-01T01:00:00Z"
    assert "2027-01-01T00:00:00Z, is yet to come" in hourly.status.conditions[0].message


# ---- read from the cluster


def manifest(**spec_changes) -> dict:
    document = spec(**spec_changes).model_dump(mode="json", by_alias=True, exclude_unset=True)
    StudySchedule.model_validate(
        {
            "apiVersion": "xstilts.dev/v1alpha1",
            "kind": "StudySchedule",
            "metadata": {"name": "nightly"},
            "spec": document,
        }
    )
    metadata = {
        "name": "nightly", "namespace": "research", "uid": "s1", "generation": 3, "creationTimestamp": "2026-03-02T09:30:00Z",
    }  # fmt: skip
    return {"metadata": metadata, "spec": document}


def test_a_schedule_is_read_with_the_studies_that_it_controls_and_no_others():
    (create,) = reconcile_schedule(world().observed(), TEN).actions
    own = create.manifest | {"metadata": create.manifest["metadata"] | {"uid": "u1"}}
    own["status"] = {
        "conditions": [{"type": "Succeeded", "status": "False"}],
        "completionTime": "2026-03-02T10:30:00Z",
    }
    foreign = own | {"metadata": own["metadata"] | {"ownerReferences": [], "name": "other"}}
    observed = ObservedSchedule.read(manifest(), studies=[own, foreign])
    (study,) = observed.studies
    assert (study.name, study.uid, study.slot, study.ended, study.deleting) == (NAME, "u1", TEN, "Failed", False)
    assert study.completed == TEN + 0.5 * HOUR
    assert observed.spec == spec()
    assert observed.created == CREATED
    assert observed.generation == 3


def test_a_spec_that_cannot_be_read_says_which_field_of_it():
    document = manifest()
    document["spec"]["timeZone"] = "Europe/Atlantis"
    document["status"] = {"active": ["nightly-1"]}
    decision = reconcile_schedule(ObservedSchedule.read(document, studies=[]), TEN)
    (condition,) = decision.status.conditions
    assert (condition.status, condition.reason, condition.observed_generation) == ("False", "InvalidSchedule", 3)
    assert condition.message.startswith("spec.timeZone: 'Europe/Atlantis' is no time zone")
    assert decision.actions == ()
    assert decision.status.active == (), "what is observed is told all the same"


def test_a_status_that_another_version_wrote_is_kept_as_far_as_it_matters():
    document = manifest() | {"status": {"lastScheduleTime": "2026-03-02T10:00:00Z", "phase": "Fine"}}
    observed = ObservedSchedule.read(document, studies=[])
    assert observed.status == StudyScheduleStatus(last_schedule_time="2026-03-02T10:00:00Z")


def test_a_slot_that_somebody_overwrote_is_no_reason_to_stop():
    (create,) = reconcile_schedule(world().observed(), TEN).actions
    broken = create.manifest | {
        "metadata": create.manifest["metadata"] | {"uid": "u1", "annotations": {names.SLOT: "?"}}
    }
    assert ObservedSchedule.read(manifest(), studies=[broken]).studies[0].slot is None
