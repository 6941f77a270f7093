"""Keys that want attention: each at most once at a time, now or later. What controllers call a work queue."""

import heapq
import threading
import time
from collections.abc import Hashable
from typing import Generic, TypeVar

Name = TypeVar("Name", bound=Hashable)


class WorkQueue(Generic[Name]):
    """Safe under threads. A key that is added while it is worked on is given out once more afterwards."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._ready: dict[Name, float] = {}
        """In the order in which they are given out, with the time of adding."""
        self._working: set[Name] = set()
        self._again: dict[Name, float] = {}
        self._later: list[tuple[float, int, Name]] = []
        self._due: dict[Name, float] = {}
        self._count = 0
        self._closed = False

    def add(self, key: Name) -> None:
        with self._changed:
            self._add(key)
            self._changed.notify()

    def _add(self, key: Name) -> None:
        if key in self._working:
            self._again.setdefault(key, time.monotonic())
        else:
            self._ready.setdefault(key, time.monotonic())

    def add_after(self, key: Name, seconds: float) -> None:
        """The soonest of several times holds."""
        with self._changed:
            at = time.monotonic() + max(0.0, seconds)
            if at < self._due.get(key, float("inf")):
                self._due[key] = at
                self._count += 1
                heapq.heappush(self._later, (at, self._count, key))
                self._changed.notify()

    def get(self, timeout: float | None = None) -> Name | None:
        """The next key, to be given back with `done`; None when closed, or after the timeout."""
        end = None if timeout is None else time.monotonic() + timeout
        with self._changed:
            while True:
                self._ripen()
                if self._ready and not self._closed:
                    key = next(iter(self._ready))
                    del self._ready[key]
                    self._working.add(key)
                    return key
                left = None if end is None else end - time.monotonic()
                if self._closed or (left is not None and left <= 0):
                    return None
                next_due = self._later[0][0] - time.monotonic() if self._later else None
                waits = [seconds for seconds in (left, next_due) if seconds is not None]
                self._changed.wait(max(0.0, min(waits)) if waits else None)

    def done(self, key: Name) -> None:
        with self._changed:
            self._working.discard(key)
            if key in self._again:
                self._ready.setdefault(key, self._again.pop(key))
                self._changed.notify()

    def close(self) -> None:
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def _ripen(self) -> None:
        now = time.monotonic()
        while self._later and self._later[0][0] <= now:
            at, _, key = heapq.heappop(self._later)
            if self._due.get(key) == at:
                del self._due[key]
                self._add(key)

    def __len__(self) -> int:
        with self._changed:
            return len(self._ready)
