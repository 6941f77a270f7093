"""Whatever happens in whatever order, a schedule makes at most one Study a slot, and comes to rest."""

from datetime import timedelta

from hypothesis import given, settings
from hypothesis import strategies as st

from schedules import ScheduleWorld, at, spec
from xstilts.controller.schedule_views import Comparison
from xstilts.controller.schedules import Compare, DeleteStudy

START = at("2026-03-27 12:00")
"""The clock is turned on the second day."""
SCHEDULES = ("* * * * *", "*/7 * * * *", "0 * * * *", "30 2 * * *", "0,30 1-3 * * *", "15 3 * * 7", "0 0 31 2 *")
ZONES = ("Etc/UTC", "Europe/Berlin", "America/New_York")

steps = st.one_of(
    # a pass that is cut short after some of its actions, or whose status is not written
    st.tuples(st.just("pass"), st.none() | st.integers(0, 2), st.booleans()),
    st.tuples(st.just("pass"), st.none(), st.just(True)),
    st.tuples(st.just("wait"), st.integers(1, 3 * 86400)),
    st.tuples(st.just("wait"), st.integers(1, 120)),
    st.tuples(st.just("clock"), st.integers(-2 * 86400, 2 * 86400)),
    st.tuples(st.just("restart")),
    st.tuples(st.just("answer"), st.booleans()),
    st.tuples(st.just("end"), st.sampled_from(["Succeeded", "Failed"])),
    st.tuples(st.just("drain")),
    st.tuples(st.just("schedule"), st.sampled_from(SCHEDULES)),
    st.tuples(st.just("zone"), st.sampled_from(ZONES)),
    st.tuples(st.just("suspend"), st.booleans()),
    st.tuples(st.just("policy"), st.sampled_from(["Forbid", "Allow", "Replace"])),
)
specs = st.builds(
    spec,
    st.sampled_from(SCHEDULES),
    timeZone=st.sampled_from(ZONES),
    concurrencyPolicy=st.sampled_from(["Forbid", "Allow", "Replace"]),
    startingDeadlineSeconds=st.none() | st.integers(1, 3600),
    successfulStudiesHistoryLimit=st.integers(0, 2),
    failedStudiesHistoryLimit=st.integers(0, 2),
    onlyIfChanged=st.booleans(),
)


class Run:
    """A world whose clock and misfortunes are drawn."""

    def __init__(self, first):
        self.world = ScheduleWorld(first, created=START)
        self.now = START
        self.asked = None

    def step(self, kind, *arguments):
        getattr(self, kind)(*arguments)

    def pass_(self, actions, written):
        before = dict(self.world.studies)
        decision = self.world.pass_at(self.now, actions=actions, written=written and actions is None)
        compared = [action.slot for action in decision.actions if isinstance(action, Compare)]
        self.asked = compared[0] if compared else self.asked
        running = {name for name, study in before.items() if not study.ended}
        gone = {action.name for action in decision.actions if isinstance(action, DeleteStudy)}
        assert not running & gone or self.world.spec.concurrency_policy == "Replace"

    def wait(self, seconds):
        self.now += timedelta(seconds=seconds)

    clock = wait

    def restart(self):
        self.world.comparison = None

    def answer(self, changed):
        if self.asked:
            self.world.comparison = Comparison(self.asked, changed)

    def end(self, how):
        for study in list(self.world.studies.values())[:1]:
            if not study.ended:
                self.world.end(study.name, how, self.now)

    def drain(self):
        self.world.drain()

    def schedule(self, expression):
        self.world.edit(schedule=expression)

    def zone(self, name):
        self.world.edit(timeZone=name)

    def suspend(self, suspended):
        self.world.edit(suspend=suspended)

    def policy(self, policy):
        self.world.edit(concurrencyPolicy=policy)


Run.pass_.__name__ = "pass"
setattr(Run, "pass", Run.pass_)


@settings(max_examples=150)
@given(first=specs, path=st.lists(steps, max_size=50))
def test_a_slot_has_at_most_one_study_and_a_world_left_alone_comes_to_rest(first, path):
    run = Run(first)
    for step in path:
        run.step(*step)
        assert all(count == 1 for count in run.world.made.values()), run.world.made
        assert all(slot > START for slot in run.world.made)
    world = run.world
    world.changed = True
    world.settle(run.now)
    world.drain()
    world.settle(run.now)
    rest = world.status
    decision = world.pass_at(run.now)
    assert (decision.actions, decision.events, decision.status) == ((), (), rest)
    assert decision.wake_at is None or decision.wake_at > run.now
    assert all(count == 1 for count in world.made.values())
    for ended, limit in (
        ("Succeeded", world.spec.successful_studies_history_limit),
        ("Failed", world.spec.failed_studies_history_limit),
    ):
        assert sum(study.ended == ended for study in world.studies.values()) <= limit


@settings(max_examples=50)
@given(first=specs, waits=st.lists(st.integers(1, 7200), min_size=1, max_size=40))
def test_without_misfortunes_every_wake_up_brings_the_study_of_its_slot(first, waits):
    """Woken when it asked to be, a schedule whose Studies end at once makes one for each of its times."""
    run = Run(first.model_copy(update={"only_if_changed": False}))
    world = run.world
    for _ in waits:
        world.settle(run.now)
        for study in list(world.studies.values()):
            if not study.ended:
                world.end(study.name, "Succeeded", run.now)
        world.settle(run.now)
        wake_at = world.pass_at(run.now).wake_at
        if wake_at is None:
            assert world.ready() == ("False", "InvalidSchedule")
            return
        due = world.status.next_schedule_time
        run.now = wake_at
        world.settle(run.now)
        assert world.status.last_schedule_time == due
        assert world.made[wake_at] == 1
    assert world.status.last_skipped_time is None
