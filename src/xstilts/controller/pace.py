"""How often one status is written: at once where it has not been for a while, else when that while is over.

One change seldom comes alone: a Job is made, it starts, the next stages follow. Statuses are made anew from what is
seen in each pass, so one that is left out is made up for by the next.
"""

import threading
import time
from collections.abc import Callable, Hashable


class Pace:
    """At most one every so many seconds for each object. Safe under threads."""

    def __init__(self, seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._seconds = seconds
        self._clock = clock
        self._last: dict[Hashable, float] = {}
        """Oldest first; only what still has to wait."""
        self._lock = threading.Lock()

    def wait(self, what: Hashable) -> float:
        """Seconds until its turn; 0 if that is now, which then counts as taken."""
        with self._lock:
            now = self._clock()
            self._forget(now - self._seconds)
            if what in self._last:
                return self._last[what] + self._seconds - now
            self._last[what] = now
            return 0.0

    def _forget(self, until: float) -> None:
        while self._last:
            first = next(iter(self._last))
            if self._last[first] > until:
                return
            del self._last[first]
