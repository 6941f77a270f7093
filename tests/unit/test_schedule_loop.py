"""StudySchedules on a cluster in one process: made at their times, once, and only where something changed."""

from collections import deque
from datetime import UTC, datetime
from typing import Any

import pytest

import plans
from simulation import Inline, as_study, study_document
from xstilts.cluster.answers import Request
from xstilts.cluster.errors import Forbidden
from xstilts.cluster.memory import Event, MemoryCluster
from xstilts.cluster.port import EVENTS, SCHEDULES, STUDIES, Object
from xstilts.controller.effects import Effects
from xstilts.controller.memory_desk import MemoryDesk
from xstilts.controller.schedule_loop import ScheduleLoop
from xstilts.controller.state import State
from xstilts.core import planner

NOON = datetime(2026, 6, 1, 12, 0, tzinfo=UTC).timestamp()


class Refusing:
    """An API server that lets nobody make a Study."""

    refuses = True

    def before(self, request: Request) -> None:
        if self.refuses and (request.verb, request.resource) == ("create", STUDIES):
            raise Forbidden("create studies: denied by a policy")

    def after(self, request: Request) -> None: ...


class World:
    """One schedule, every hour."""

    faults: Any = None

    excluded_namespaces: frozenset[str] = frozenset()

    def __init__(self, **spec: Any) -> None:
        self.now = NOON + 60
        self.cluster = MemoryCluster(clock=lambda: datetime.fromtimestamp(self.now, UTC), faults=self.faults)
        self.desk = MemoryDesk(lambda study: planner.plan(study, plans.world()))
        self.news: deque[Event] = deque()
        self.cluster.subscribe(self.news.append)
        self.start()
        template = {"spec": study_document()["spec"]}
        document = {
            "metadata": {"name": "hourly", "namespace": "team"},
            "spec": {"schedule": "0 * * * *", "studyTemplate": template} | spec,
        }
        self.cluster.create(SCHEDULES, document)

    def start(self) -> None:
        self.calls = Inline()
        state = State(max_running_trials=10)
        effects = Effects(self.cluster, self.desk, state, "trainer:1", clock=lambda: self.now)
        self.loop = ScheduleLoop(
            effects=effects,
            desk=self.desk,
            calls=self.calls,
            clock=lambda: self.now,
            excluded_namespaces=self.excluded_namespaces,
        )
        self.news.clear()
        for resource in (SCHEDULES, STUDIES):
            for obj in list(self.cluster.list(resource, None)):
                self.loop.see(resource, obj)

    def at(self, hour: int, minute: int = 0) -> None:
        self.now = NOON + (hour - 12) * 3600 + minute * 60
        self.loop.look_at_all()
        self.settle()

    def settle(self) -> None:
        for _ in range(1000):
            if self.news:
                event = self.news.popleft()
                if event.resource in {SCHEDULES, STUDIES}:
                    self.loop.see(event.resource, event.obj, deleted=event.type == "DELETED")
            elif self.calls.waiting:
                self.calls.run_next()
            elif (key := self.loop.queue.get(timeout=0)) is not None:
                self.loop.process(key)
                self.loop.queue.done(key)
            else:
                return
        raise AssertionError("it does not come to rest")

    def studies(self) -> list[Object]:
        return sorted(self.cluster.list(STUDIES, "team"), key=lambda study: str(study["metadata"]["name"]))

    def end(self, study: Object) -> None:
        time = datetime.fromtimestamp(self.now, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        done = {"type": "Succeeded", "status": "True", "reason": "Succeeded", "lastTransitionTime": time}
        status = {"status": {"conditions": [done], "completionTime": time}}
        self.cluster.patch(STUDIES, "team", study["metadata"]["name"], status, subresource="status")

    def status(self) -> Object:
        found = self.cluster.get(SCHEDULES, "team", "hourly")
        assert found is not None
        return dict(found["status"])


def test_a_study_is_made_at_each_time_and_the_next_one_is_told():
    world = World()
    world.settle()
    assert world.studies() == []
    assert world.status()["nextScheduleTime"] == "2026-06-01T13:00:00Z"
    world.at(13)
    (study,) = world.studies()
    assert study["metadata"]["ownerReferences"][0]["kind"] == "StudySchedule"
    assert world.status()["active"] == [study["metadata"]["name"]]
    world.end(study)
    world.at(14)
    assert len(world.studies()) == 2


def test_a_restart_in_the_middle_makes_no_second_study_for_a_time():
    world = World()
    world.at(13)
    world.start()
    world.at(13, 1)
    assert len(world.studies()) == 1


def test_in_an_excluded_namespace_no_study_is_made():
    world = World()
    world.excluded_namespaces = frozenset({"team"})
    world.start()
    world.at(13)
    assert world.studies() == []
    (condition,) = world.status()["conditions"]
    assert (condition["status"], condition["reason"]) == ("False", "NamespaceExcluded")
    assert [event["reason"] for event in world.cluster.list(EVENTS, "team")] == ["NamespaceExcluded"]


def test_of_times_that_were_missed_the_latest_runs():
    world = World()
    world.settle()
    world.at(20, 30)
    assert len(world.studies()) == 1
    assert world.status()["lastScheduleTime"] == "2026-06-01T20:00:00Z"


@pytest.mark.parametrize("changed", [True, False])
def test_a_time_is_skipped_when_everything_that_would_run_is_there(changed):
    world = World(onlyIfChanged=True)
    world.settle()
    if not changed:
        study = world.cluster.create(STUDIES, study_document("before"))
        world.desk.made |= set(planner.plan(as_study(study), plans.world()).stages)
        world.cluster.delete(STUDIES, "team", "before")
    world.at(13)
    assert len(world.studies()) == changed
    assert world.desk.asked["changed"] == 1
    if not changed:
        assert world.status()["lastSkippedTime"] == "2026-06-01T13:00:00Z"


def test_an_expression_that_is_none_is_refused_in_the_status():
    world = World(schedule="every day")
    world.settle()
    (condition,) = world.status()["conditions"]
    assert (condition["status"], condition["reason"]) == ("False", "InvalidSchedule")


def test_somebodys_study_of_the_name_for_a_slot_is_left_alone_and_logged_with_the_way_out(caplog):
    world = World()
    world.at(13)
    (made,) = world.studies()
    other = World()
    theirs = other.cluster.create(
        STUDIES, {"metadata": {"name": made["metadata"]["name"], "namespace": "team"}, "spec": {}}
    )
    other.at(13)
    assert other.studies() == [theirs]
    assert "was not made by this schedule; delete it, or rename the schedule" in caplog.text


def test_a_study_that_is_refused_is_told_by_the_condition_and_one_event() -> None:
    class Denied(World):
        faults = Refusing()

    world = Denied()
    for minute in range(5):
        world.at(13, minute)
    schedule = world.cluster.get(SCHEDULES, "team", "hourly")
    assert schedule is not None
    (ready,) = schedule["status"]["conditions"]
    assert (ready["status"], ready["reason"]) == ("False", "Forbidden")
    assert "denied by a policy" in ready["message"]
    assert [event["reason"] for event in world.cluster.list(EVENTS, "team")] == ["Forbidden"]
    world.faults.refuses = False
    world.at(13, 6)
    schedule = world.cluster.get(SCHEDULES, "team", "hourly")
    assert schedule is not None
    assert schedule["status"]["conditions"][0]["status"] == "True"
    assert len(list(world.cluster.list(STUDIES, "team"))) == 1
