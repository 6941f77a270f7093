"""How often a status is written."""

from collections import Counter

from simulation import Simulation, study_document
from xstilts.cluster.port import TRIALS
from xstilts.controller.pace import Pace


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def test_the_first_time_is_at_once_and_the_next_when_the_while_is_over() -> None:
    clock = Clock()
    pace = Pace(1.0, clock)
    assert pace.wait("trial") == 0
    clock.now += 0.25
    assert pace.wait("trial") == 0.75
    clock.now += 0.75
    assert pace.wait("trial") == 0
    assert pace.wait("trial") == 1.0


def test_objects_do_not_wait_for_each_other() -> None:
    pace = Pace(1.0, Clock())
    assert pace.wait("one") == 0
    assert pace.wait("other") == 0


def test_without_seconds_nothing_waits() -> None:
    pace = Pace(0.0, Clock())
    assert [pace.wait("trial") for _ in range(3)] == [0, 0, 0]


def test_what_need_not_wait_is_forgotten() -> None:
    clock = Clock()
    pace = Pace(1.0, clock)
    for number in range(100):
        clock.now += 0.5
        pace.wait(number)
    assert len(pace._last) <= 2


def paced() -> tuple[Simulation, Counter[str]]:
    """An operator that writes once a second, and how often it has written each Trial's status."""
    world, written = Simulation(), Counter[str]()
    world.controller.pace = Pace(1.0, lambda: world.now)

    def count(event) -> None:
        if event.resource == TRIALS and "status" in event.obj:
            written[event.obj["metadata"]["name"]] += 1

    world.cluster.subscribe(count)
    return world, written


def test_in_one_second_a_trial_is_told_of_when_it_starts_and_when_it_ends():
    world, written = paced()
    world.apply(study_document())
    world.finish()
    assert world.condition("Succeeded") == ("True", "Succeeded")
    assert set(world.trials().values()) == {"Succeeded"}
    assert set(written.values()) == {2}


def test_a_status_that_had_to_wait_is_told_when_the_second_is_over():
    world, written = paced()
    world.apply(study_document())
    world.settle()
    first, job = written.copy(), world.jobs()[0]
    world.run(job)
    world.settle()
    assert written == first
    world.now += 1
    world.controller.look_at_all()
    world.settle()
    trial = world.cluster.get(TRIALS, "team", job["metadata"]["labels"]["xstilts.dev/trial"])
    states = {stage["state"] for stage in trial["status"]["stages"] if stage["job"] == job["metadata"]["name"]}
    assert states == {"Succeeded"}
