"""Full looks at a cluster: the first, and those that find what a watch has not told."""

from dataclasses import dataclass, field

import pytest

from simulation import NAMESPACE, Simulation, study_document
from xstilts.cluster.memory import MemoryCluster
from xstilts.cluster.port import SCHEDULES, TRIALS, Object, Resource
from xstilts.controller.objects import Key
from xstilts.controller.resync import GRACE_SECONDS, Resync
from xstilts.controller.state import State

PERIOD = 60.0
STUDY = Key(NAMESPACE, "s")


@dataclass
class Operator:
    """What of an operator a look at the cluster needs, without a watch."""

    cluster: MemoryCluster
    state: State = field(default_factory=lambda: State(max_running_trials=10))
    seen: list[str] = field(default_factory=list)
    plans_read_after: tuple[str, ...] = ()
    looks: int = 0
    now: float = 0.0

    def __post_init__(self) -> None:
        self.resync = Resync(
            self.cluster,
            self.state,
            see=self.see,
            read_plans=self.read_plans,
            look_at_all=self.look_at_all,
            namespace=NAMESPACE,
            period=PERIOD,
            clock=lambda: self.now,
            last=self.now,
        )

    def see(self, resource: Resource, obj: Object, *, deleted: bool) -> None:
        self.seen.append(resource.plural)
        if resource != SCHEDULES:
            self.state.see(resource, obj, deleted=deleted)

    def read_plans(self) -> None:
        self.plans_read_after = tuple(dict.fromkeys(self.seen))

    def look_at_all(self) -> None:
        assert self.resync.begun.is_set(), "who decides before that knows half of it"
        self.looks += 1

    def look(self) -> int:
        """Without anything happening in the grace that the watch has."""
        return self.resync.once(lambda _: None)

    def trials(self) -> set[str]:
        observed = self.state.observed(STUDY)
        return set(observed.trials) if observed else set()


@pytest.fixture
def world() -> Simulation:
    """A Study at work."""
    found = Simulation()
    found.apply(study_document())
    found.settle()
    return found


@pytest.fixture
def operator(world: Simulation) -> Operator:
    found = Operator(world.cluster)
    found.resync.begin()
    return found


def test_the_first_look_shows_everything_before_anything_is_decided_and_plans_are_read_before_trials(world, operator):
    assert operator.plans_read_after == ("jobs", "studies")
    assert operator.seen.count("jobs") == len(world.jobs())
    assert operator.trials() == set(world.trials())
    assert operator.looks == 1


def test_a_look_at_what_is_known_misses_nothing(operator):
    assert operator.look() == 0
    assert operator.looks == 2, "everything is decided on again, though"


def test_what_the_watch_has_not_told_is_taken_up_and_makes_it_stale_when_that_happens_twice(world, operator):
    for trial, stale in zip(list(world.trials())[:2], (False, True), strict=True):
        world.cluster.delete(TRIALS, NAMESPACE, trial)
        assert operator.look() == 1
        assert trial not in operator.trials()
        assert operator.resync.is_stale() is stale
    assert operator.look() == 0
    assert not operator.resync.is_stale()


def test_what_the_watch_tells_within_the_grace_was_not_missed(world, operator):
    trial = next(iter(world.trials()))
    before = world.cluster.get(TRIALS, NAMESPACE, trial)
    world.cluster.delete(TRIALS, NAMESPACE, trial)
    assert operator.resync.once(lambda _: operator.see(TRIALS, before, deleted=True)) == 0


def test_a_watch_is_stale_when_no_look_has_come_to_its_end_for_long(operator):
    operator.now += 3 * PERIOD + GRACE_SECONDS + 1
    assert operator.resync.is_stale()
    operator.look()
    assert not operator.resync.is_stale()
