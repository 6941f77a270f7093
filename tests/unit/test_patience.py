"""Outages that a stage outlasts, on a clock by hand."""

from collections.abc import Callable

import pytest

from watched_stores import WatchedStore
from xstilts.core.errors import NotPublished, Preempted, StorageUnavailable, TrackingUnavailable
from xstilts.stages.patience import Patience, PatientStore
from xstilts.store.memory import MemoryStore
from xstilts.store.port import PreconditionFailed


class Time:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        assert seconds > 0
        self.now += seconds


@pytest.fixture
def time() -> Time:
    return Time()


def patience(time: Time, seconds: float, should_stop: Callable[[], bool] = lambda: False) -> Patience:
    return Patience(seconds, should_stop, time, time.sleep)


def away_until(time: Time, moment: float, error: Exception) -> Callable[[], str]:
    def call() -> str:
        if time.now < moment:
            raise error
        return "answer"

    return call


@pytest.mark.parametrize("error", [StorageUnavailable("503"), TrackingUnavailable("503")], ids=["store", "tracking"])
def test_an_outage_of_minutes_is_outlasted(time: Time, error: Exception) -> None:
    assert patience(time, 300)(away_until(time, 173, error)) == "answer"
    assert 173 <= time.now < 173 + 31


def test_an_outage_that_takes_longer_fails_when_the_time_is_over(time: Time) -> None:
    with pytest.raises(StorageUnavailable):
        patience(time, 300)(away_until(time, 1000, StorageUnavailable("503")))
    assert 300 <= time.now < 301


def test_after_a_wait_in_vain_nothing_else_waits_until_something_works(time: Time) -> None:
    """A lease that is released at the end of an attempt does not wait for as long again."""
    waiting = patience(time, 300)
    with pytest.raises(StorageUnavailable):
        waiting(away_until(time, 1000, StorageUnavailable("503")))
    ended = time.now
    with pytest.raises(StorageUnavailable):
        waiting(away_until(time, 1000, StorageUnavailable("503")))
    assert time.now == ended
    assert waiting(lambda: "answer") == "answer"
    assert waiting(away_until(time, ended + 10, StorageUnavailable("503"))) == "answer"


def test_who_is_asked_to_stop_stops_waiting(time: Time) -> None:
    with pytest.raises(Preempted):
        patience(time, 300, lambda: time.now > 5)(away_until(time, 1000, StorageUnavailable("503")))
    assert time.now < 10


def test_what_is_no_outage_is_raised_at_once(time: Time) -> None:
    for error in (NotPublished("the stage that made it publishes first"), PreconditionFailed("there"), ValueError()):
        with pytest.raises(type(error)):
            patience(time, 300)(away_until(time, 1, error))
    assert time.now == 0


def test_every_call_of_a_store_waits(time: Time) -> None:
    down = iter([True, False] * 20)

    def before(call: str) -> None:
        if next(down):
            raise StorageUnavailable(f"no {call}")

    store = PatientStore(WatchedStore(MemoryStore(), before), patience(time, 300))
    etag = store.put("a", b"1", if_absent=True)
    store.put("a", b"2", if_match=etag)
    assert store.read("a") == store.read_versioned("a")[0] == b"2"
    assert [info.key for info in store.list("")] == ["a"]
    assert store.head("a")
    assert not list(store.unfinished())
    store.delete("a")
    assert store.head("a") is None
