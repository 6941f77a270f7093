"""How long foreign leases stand still, as the operator remembers it."""

import time

from xstilts.controller.clock import LONGEST_WAIT
from xstilts.controller.silence import REMEMBERED, Silence
from xstilts.controller.views import Claim


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


def claim(etag: str | None, ttl: float = 120.0) -> Claim:
    return Claim("somebody", time.time() + 30, etag, ttl)


def test_the_next_look_is_when_the_lease_expires() -> None:
    clock = Clock()
    silence = Silence(clock)
    waits = []
    for moment in (1000.0, 1060.0, 1110.0):
        clock.now = moment
        waits.append(silence.noted("stage", claim("v1")).until - time.time())
    assert [round(wait) for wait in waits] == [LONGEST_WAIT, LONGEST_WAIT, 11]
    assert silence.expired("stage") is None
    clock.now = 1120.0
    assert silence.expired("stage") == "v1"


def test_a_sign_of_life_begins_the_time_anew() -> None:
    clock = Clock()
    silence = Silence(clock)
    silence.noted("stage", claim("v1"))
    clock.now += 100
    silence.noted("stage", claim("v2"))
    clock.now += 100
    assert silence.expired("stage") is None
    clock.now += 20
    assert silence.expired("stage") == "v2"


def test_a_lease_that_was_given_back_is_forgotten() -> None:
    clock = Clock()
    silence = Silence(clock)
    silence.noted("stage", claim("v1"))
    silence.forget("stage")
    clock.now += 1000
    assert silence.expired("stage") is None


def test_a_claim_without_a_lease_stays_as_it_is() -> None:
    silence = Silence(Clock())
    found = claim(None)
    assert silence.noted("stage", found) == found


def test_no_more_leases_than_a_bound_are_remembered() -> None:
    clock = Clock()
    silence = Silence(clock)
    for stage in range(REMEMBERED + 1):
        silence.noted(stage, claim("v1"))
    clock.now += 1000
    assert silence.expired(0) is None
    assert silence.expired(REMEMBERED) == "v1"
