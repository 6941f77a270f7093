"""Leases over every store. Time stands still but for what a test, or a waiter, lets pass."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

import pytest

from xstilts.core.errors import IntegrityError, LeaseHeld, StorageUnavailable
from xstilts.store import ObjectStore, leases
from xstilts.store.memory import MemoryStore

ADDRESS = "stages/evaluation/abc"
KEY = f"{ADDRESS}/lease.json"
TTL = 60.0


class Clock:
    """Monotonic time by hand; `meanwhile` runs whenever somebody waits."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.meanwhile: Callable[[], None] = lambda: None

    def __call__(self) -> float:
        return self.now

    def wait(self, seconds: float) -> None:
        self.now += seconds
        self.meanwhile()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def take(store: ObjectStore, clock: Clock) -> Callable[[str], leases.Lease]:
    def acquire(holder: str) -> leases.Lease:
        return leases.acquire(store, ADDRESS, holder=holder, ttl_seconds=TTL, clock=clock, wait=clock.wait)

    return acquire


Take = Callable[[str], leases.Lease]


def test_a_free_lease_is_taken_at_once(take: Take, clock: Clock) -> None:
    lease = take("first")
    assert (lease.epoch, lease.lost, clock.now) == (1, False, 1000.0)
    lease.check()


def test_a_silent_holder_is_replaced_after_its_time_to_live(take: Take, clock: Clock) -> None:
    first = take("first")
    second = take("second")
    assert second.epoch == 2
    assert clock.now >= 1000.0 + TTL
    assert first.late
    with pytest.raises(LeaseHeld, match="held by second"):
        first.check()
    assert first.lost
    assert not second.late


def test_an_outage_of_the_store_is_no_silence_of_the_holder(store: ObjectStore, take: Take, clock: Clock) -> None:
    """A read that outlasts the outage brings the old version: the holder could not renew either."""
    first = take("first")

    class Away:
        def __getattr__(self, name: str) -> Any:
            return getattr(store, name)

        def read_versioned(self, key: str) -> tuple[bytes, str]:
            clock.now += 2 * TTL
            return store.read_versioned(key)

    def back() -> None:
        clock.meanwhile = first.renew

    clock.meanwhile = back
    with pytest.raises(LeaseHeld, match="held by first"):
        leases.acquire(Away(), ADDRESS, holder="second", ttl_seconds=TTL, clock=clock, wait=clock.wait)
    first.check()
    assert not first.lost


def test_a_holder_that_renews_keeps_its_lease(take: Take, clock: Clock) -> None:
    first = take("first")
    clock.meanwhile = first.renew
    with pytest.raises(LeaseHeld, match=r"lease.json is held by first \(epoch 1\)"):
        take("second")
    assert clock.now < 1000.0 + TTL / 2, "the waiter gives up at the first sign of life"
    first.check()


def test_a_holder_that_was_replaced_can_do_nothing_more(store: ObjectStore, take: Take, clock: Clock) -> None:
    first, second = take("first"), take("second")
    there = store.read(KEY)
    for act in (first.renew, first.check):
        with pytest.raises(LeaseHeld):
            act()
    first.release()
    assert store.read(KEY) == there
    second.check()


def test_a_holder_notices_its_replacement_although_its_own_clock_stood_still(
    store: ObjectStore, take: Take, clock: Clock
) -> None:
    first = leases.acquire(store, ADDRESS, holder="first", ttl_seconds=TTL, clock=lambda: 0.0)
    take("second")
    first.check()
    with pytest.raises(LeaseHeld, match="held by second"):
        first.renew()
    assert first.lost


def test_a_released_lease_is_taken_at_once_with_a_higher_epoch(take: Take, clock: Clock) -> None:
    for epoch in (1, 2, 3):
        lease = take("anybody")
        assert lease.epoch == epoch
        lease.release()
    assert clock.now == 1000.0


def test_a_lease_that_is_released_while_another_waits_is_taken_before_it_expires(take: Take, clock: Clock) -> None:
    clock.meanwhile = take("first").release
    assert take("second").epoch == 2
    assert clock.now < 1000.0 + TTL


def test_epochs_do_not_go_back_when_the_object_is_removed_under_a_waiter(
    store: ObjectStore, take: Take, clock: Clock
) -> None:
    take("first")
    clock.meanwhile = lambda: store.delete(KEY)
    assert take("second").epoch == 2


def test_a_released_lease_is_lost_to_its_former_holder(take: Take) -> None:
    lease = take("first")
    lease.release()
    with pytest.raises(LeaseHeld):
        lease.renew()


def test_a_late_holder_keeps_a_lease_that_nobody_took(store: ObjectStore, take: Take, clock: Clock) -> None:
    lease = take("first")
    clock.now += 10 * TTL
    assert (lease.late, lease.lost) == (True, False)
    lease.check()
    assert not lease.late, "the check has renewed it"
    assert leases.LeaseDocument.model_validate_json(store.read(KEY)).renewals == 1


def test_a_late_holder_whose_lease_was_removed_has_lost_it(store: ObjectStore, take: Take, clock: Clock) -> None:
    lease = take("first")
    store.delete(KEY)
    lease.check()
    clock.now += TTL
    with pytest.raises(LeaseHeld):
        lease.check()
    assert lease.lost


def test_a_silent_lease_that_was_vacated_is_free_at_once_and_lost_to_its_holder(
    store: ObjectStore, take: Take, clock: Clock
) -> None:
    first = take("first")
    seen = leases.look(store, ADDRESS)
    assert seen
    leases.vacate(store, ADDRESS, seen)
    before = clock.now
    second = take("second")
    assert (second.epoch, clock.now) == (2, before)
    clock.now += TTL
    with pytest.raises(LeaseHeld, match="held by second"):
        first.check()


def test_a_holder_does_not_take_the_vacating_of_its_lease_for_a_write_of_its_own(
    store: ObjectStore, take: Take
) -> None:
    first = take("first")
    seen = leases.look(store, ADDRESS)
    assert seen
    leases.vacate(store, ADDRESS, seen)
    with pytest.raises(LeaseHeld):
        first.renew()
    assert first.lost


def test_a_lease_that_was_renewed_meanwhile_is_not_vacated(store: ObjectStore, take: Take) -> None:
    first = take("first")
    seen = leases.look(store, ADDRESS)
    assert seen
    first.renew()
    with pytest.raises(LeaseHeld, match="held by first"):
        leases.vacate(store, ADDRESS, seen)
    first.renew()


def test_a_wait_ends_when_its_time_is_over(store: ObjectStore, take: Take, clock: Clock) -> None:
    first = take("first")
    clock.meanwhile = first.renew
    leases.outlast(store, ADDRESS, until=clock.now + 3 * TTL, clock=clock, wait=clock.wait)
    assert 1000 + 3 * TTL <= clock.now < 1000 + 4 * TTL


def test_of_many_takers_one_wins(store: ObjectStore) -> None:
    """Those who come later wait, see the winner renew, and give up."""
    barrier = threading.Barrier(8)
    held: list[leases.Lease] = []

    def acquire(number: int) -> None:
        barrier.wait()
        with suppress(LeaseHeld):
            held.append(
                leases.acquire(store, ADDRESS, holder=f"{number}", ttl_seconds=TTL, wait=lambda _: renew_winner())
            )

    def renew_winner() -> None:
        if held:
            held[0].renew()

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(acquire, range(8)))
    assert [lease.epoch for lease in held] == [1]


def test_of_many_who_take_over_one_wins(store: ObjectStore) -> None:
    """All see the same silent lease expire, and write at once."""
    leases.acquire(store, ADDRESS, holder="silent", ttl_seconds=TTL)
    expired = threading.Barrier(6)

    def take_over(number: int) -> bool:
        clock = Clock()
        clock.now = 0.0
        last_look = lambda seconds: clock.wait(TTL) or (expired.wait() and None)  # noqa: E731
        try:
            leases.acquire(store, ADDRESS, holder=f"{number}", ttl_seconds=TTL, clock=clock, wait=last_look)
        except LeaseHeld:
            return False
        return True

    with ThreadPoolExecutor(6) as pool:
        assert list(pool.map(take_over, range(6))).count(True) == 1


def test_a_lease_that_is_no_lease_is_named(store: ObjectStore, take: Take) -> None:
    store.put(KEY, b"{}")
    with pytest.raises(IntegrityError, match=KEY):
        take("first")


def test_the_heartbeat_renews_until_its_context_ends(store: ObjectStore) -> None:
    third_beat = threading.Event()
    beats = iter(range(3))

    def wait(stop: threading.Event, seconds: float) -> bool:
        assert seconds == TTL / leases.RENEWALS
        if next(beats, None) is None:
            third_beat.set()
            return stop.wait()
        return False

    lease = leases.acquire(store, ADDRESS, holder="first", ttl_seconds=TTL)
    with lease.heartbeat(wait=wait):
        assert third_beat.wait(30)
    assert leases.LeaseDocument.model_validate_json(store.read(KEY)).renewals == 3


def test_the_heartbeat_ends_when_the_lease_is_lost(store: ObjectStore, take: Take) -> None:
    lease = leases.acquire(store, ADDRESS, holder="first", ttl_seconds=TTL)
    take("second")
    with lease.heartbeat(wait=lambda stop, seconds: False):
        pass
    assert lease.lost


def test_holding_releases_also_when_the_work_fails(store: ObjectStore, take: Take) -> None:
    with pytest.raises(ZeroDivisionError), leases.hold(store, ADDRESS, holder="first", ttl_seconds=TTL):
        raise ZeroDivisionError
    assert take("second").epoch == 2


class Shaky(MemoryStore):
    """A store whose answers to `put` can be lost, before or after it has written."""

    def __init__(self) -> None:
        super().__init__()
        self.before: Iterator[bool] = iter(())
        self.after: Iterator[bool] = iter(())
        self.tries_again = False

    def put(self, key: str, data: bytes, *, if_absent: bool = False, if_match: str | None = None) -> str:
        if next(self.before, False):
            raise StorageUnavailable("no network")
        etag = super().put(key, data, if_absent=if_absent, if_match=if_match)
        if next(self.after, False):
            raise StorageUnavailable("no answer")
        if self.tries_again:  # what a client sees that does so after a lost answer
            return super().put(key, data, if_absent=if_absent, if_match=if_match)
        return etag


def test_a_write_whose_answer_was_lost_is_recognised_as_our_own() -> None:
    store = Shaky()
    store.tries_again = True
    lease = leases.acquire(store, ADDRESS, holder="first", ttl_seconds=TTL)
    lease.renew()
    assert not lease.lost


@pytest.mark.parametrize("then", ["renew", "release"])
def test_a_renewal_whose_answer_was_lost_is_no_foreign_one(then: str) -> None:
    store = Shaky()
    lease = leases.acquire(store, ADDRESS, holder="first", ttl_seconds=TTL)
    store.after = iter([True])
    with pytest.raises(StorageUnavailable):
        lease.renew()
    getattr(lease, then)()
    document = leases.LeaseDocument.model_validate_json(store.read(KEY))
    assert document.holder == ("first" if then == "renew" else None)
    assert lease.lost == (then == "release")


def test_the_heartbeat_outlives_a_network_that_fails_for_a_while() -> None:
    store = Shaky()
    lease = leases.acquire(store, ADDRESS, holder="first", ttl_seconds=TTL)
    store.before = iter([True, True, False])
    waits = iter([False, False, False, True])
    finished = threading.Event()

    def wait(stop: threading.Event, seconds: float) -> bool:
        if stopping := next(waits):
            finished.set()
        return stopping

    with lease.heartbeat(wait=wait):
        assert finished.wait(30)
    assert not lease.lost
    assert leases.LeaseDocument.model_validate_json(store.read(KEY)).renewals == 1


def test_a_slow_store_costs_nobody_a_lease_but_a_late_holder_shows_nothing_unseen() -> None:
    """As long as the store does not answer, a late holder can't know whose the lease is."""
    store, clock = Shaky(), Clock()
    lease = leases.acquire(store, ADDRESS, holder="first", ttl_seconds=TTL, clock=clock)
    clock.now += 3 * TTL
    store.before = iter([True])
    with pytest.raises(StorageUnavailable):
        lease.check()
    assert not lease.lost
    lease.check()
    assert not lease.late


def test_a_release_that_fails_is_left_to_expiry() -> None:
    store = Shaky()
    lease = leases.acquire(store, ADDRESS, holder="first", ttl_seconds=TTL)
    store.before = iter([True])
    lease.release()
    assert lease.lost
