"""How long leases of others have stood still, by the operator's own clock.

The processes that read leases end after a minute without a call; this lasts as long as the operator, so that the lease
of a holder that died is taken over soon after its time to live.
"""

import time
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field, replace

from xstilts.controller.clock import LONGEST_WAIT
from xstilts.controller.views import Claim

REMEMBERED = 10_000
"""Leases that are remembered; beyond, those that were seen first are forgotten, and are watched from the beginning."""


@dataclass
class Silence:
    """Since when each foreign lease has had the ETag that it has now. Safe under threads."""

    clock: Callable[[], float] = time.monotonic
    _seen: dict[Hashable, tuple[str, float, float]] = field(default_factory=dict)
    """ETag, since when, and time to live."""

    def expired(self, stage: Hashable) -> str | None:
        """ETag of the stage's lease, if it has had it for its time to live: whoever holds it is gone."""
        etag, since, ttl = self._seen.get(stage, (None, 0.0, 0.0))
        return etag if etag and self.clock() - since >= ttl else None

    def forget(self, stage: Hashable) -> None:
        self._seen.pop(stage, None)

    def noted(self, stage: Hashable, claim: Claim) -> Claim:
        """The claim with the time when it ends, if nobody renews its lease."""
        if claim.etag is None:
            return claim
        now = self.clock()
        known = self._seen.get(stage)
        if known is None or known[0] != claim.etag:
            while len(self._seen) >= REMEMBERED:
                self._seen.pop(next(iter(self._seen)), None)
            known = self._seen[stage] = (claim.etag, now, claim.ttl_seconds)
        left = known[1] + known[2] - now
        return replace(claim, until=time.time() + min(max(left, 0.0) + 1.0, LONGEST_WAIT))
