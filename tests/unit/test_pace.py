"""How often a status is written."""

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
