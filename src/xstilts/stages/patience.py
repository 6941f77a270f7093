"""Outages of the store or of the tracking server are waited for inside a stage, where the work is still in memory.

Clients try for seconds again by themselves, and engines start a stage anew; between the two lies this: a call that
found nobody is made again for minutes, so that a server that restarts costs a stage nothing but time.
"""

import logging
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from xstilts.core.errors import NotPublished, Preempted, StorageUnavailable, TrackingUnavailable
from xstilts.store.port import ObjectInfo, ObjectStore, Unfinished

FIRST_DELAY = 1.0
LONGEST_DELAY = 5.0
"""Seconds between two tries; doubled from the first to the longest, which is far below a lease's time to live: renewals
of leases wait here too."""
A_SLICE = 1.0
"""How often somebody who waits looks whether to stop, in seconds."""

T = TypeVar("T")

log = logging.getLogger(__name__)


@dataclass
class Patience:
    """Makes a call again until the server is back. Shared by the threads of a stage."""

    seconds: float
    """How long an outage may take before the call fails; 0 is one try."""
    should_stop: Callable[[], bool] = lambda: False
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep
    _spent: bool = False
    """Whether a call has waited in vain and nothing has worked since: the stage is ending, so others don't wait."""

    def __call__(self, call: Callable[[], T]) -> T:
        """Raises the last StorageUnavailable or TrackingUnavailable; Preempted if it is to stop meanwhile."""
        deadline, delay = None, FIRST_DELAY
        while True:
            try:
                answer = call()
            except NotPublished:  # no outage: another stage has to publish first
                raise
            except (StorageUnavailable, TrackingUnavailable) as error:
                now = self.clock()
                deadline = now + self.seconds if deadline is None else deadline
                if self._spent or now >= deadline:
                    self._spent = True
                    raise
                log.warning("trying again in %.0f s, for %.0f s more: %s", delay, deadline - now, error)
                self.wait(min(delay, deadline - now))
                delay = min(2 * delay, LONGEST_DELAY)
            else:
                self._spent = False
                return answer

    def wait(self, seconds: float) -> None:
        """Sleeps, and raises Preempted as soon as the stage is to stop."""
        end = self.clock() + seconds
        while (left := end - self.clock()) > 0:
            if self.should_stop():
                raise Preempted("was asked to stop while it waited for the store, the tracking server or a lease")
            self.sleep(min(left, A_SLICE))


@dataclass(frozen=True)
class PatientStore:
    """Another store, each of whose calls outlasts an outage.

    Sound for conditional writes too: who writes on a condition knows its own write again when the answer was lost.
    """

    inner: ObjectStore
    patience: Patience

    @property
    def uri(self) -> str:
        return self.inner.uri

    def read(self, key: str) -> bytes:
        return self.patience(lambda: self.inner.read(key))

    def read_versioned(self, key: str) -> tuple[bytes, str]:
        return self.patience(lambda: self.inner.read_versioned(key))

    def head(self, key: str) -> ObjectInfo | None:
        return self.patience(lambda: self.inner.head(key))

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        return iter(self.patience(lambda: [*self.inner.list(prefix)]))

    def put(self, key: str, data: bytes, *, if_absent: bool = False, if_match: str | None = None) -> str:
        return self.patience(lambda: self.inner.put(key, data, if_absent=if_absent, if_match=if_match))

    def upload(self, key: str, path: Path) -> None:
        self.patience(lambda: self.inner.upload(key, path))

    def download(self, key: str, path: Path) -> None:
        self.patience(lambda: self.inner.download(key, path))

    def delete(self, key: str) -> None:
        self.patience(lambda: self.inner.delete(key))

    def now(self) -> float:
        return self.patience(self.inner.now)

    def unfinished(self) -> Iterator[Unfinished]:
        return iter(self.patience(lambda: [*self.inner.unfinished()]))

    def abort(self, upload: Unfinished) -> None:
        self.patience(lambda: self.inner.abort(upload))
