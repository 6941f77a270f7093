"""Leases: at most one process works on a stage, whoever started it.

A lease is one small object, changed by conditional writes alone. Its holder renews it, so its ETag changes; one who
waits takes it over after the ETag stood still for the lease's time to live on the waiter's own monotonic clock. No
two clocks are ever compared. Each taking raises the epoch, and a released lease stays as a tombstone, so epochs never
go back: they are part of checkpoint paths, and a holder that slept through its takeover writes where nobody looks.

A holder that could not renew in time is *late*, not lost: others may take the lease now, but perhaps nobody did. Only
the store knows, so a late holder renews on condition that its ETag is unchanged before it does anything that others
would see (`check`). Where that succeeds the lease was its own all the time.
"""

import logging
import math
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

from xstilts.api.base import Model
from xstilts.core.errors import LeaseHeld, XstiltsError
from xstilts.store import documents
from xstilts.store.port import ObjectStore, PreconditionFailed

LOOKS = 12
"""How often a waiter looks at a foreign lease during its time to live."""
RENEWALS = 3
"""How often a holder renews its lease during its time to live: two renewals may fail."""

log = logging.getLogger(__name__)


class LeaseDocument(Model):
    """What lies in the store."""

    holder: str | None
    """Who holds it, for people to read; None when it was released."""
    epoch: int
    """Counts takings, from 1."""
    ttl_seconds: float
    """How long it must stand still before another may take it."""
    token: str
    """Differs with every taking, so that a holder knows its own write again when the answer was lost."""
    renewals: int = 0
    """Counts renewals, so that each changes the ETag."""


def free(*, epoch: int) -> LeaseDocument:
    """A lease that nobody holds, in place of one that can't be read; whoever had that one has lost it."""
    return LeaseDocument(holder=None, epoch=epoch, ttl_seconds=0.0, token=uuid.uuid4().hex)


def lease_key(address: str) -> str:
    return f"{address}/lease.json"


class Seen(NamedTuple):
    """A lease's document, and the version that it was read in."""

    document: LeaseDocument
    etag: str | None
    """None where there is no lease object."""


class Lease:
    """A lease that this process holds until it is released, or lost; made by `acquire`. Safe under threads."""

    def __init__(
        self, store: ObjectStore, key: str, taken: Seen, *, clock: Callable[[], float], renewed: float
    ) -> None:
        self._store = store
        self._key = key
        self._document, self._etag = taken
        self._clock = clock
        self._renewed = renewed
        self._lost = False
        self._lock = threading.Lock()

    @property
    def epoch(self) -> int:
        """The fencing number: greater than that of every holder before."""
        return self._document.epoch

    @property
    def lost(self) -> bool:
        """Whether it is known to be another's, or was released."""
        return self._lost

    @property
    def late(self) -> bool:
        """Whether another may have taken it: it was not renewed for its time to live."""
        return self._clock() - self._renewed >= self._document.ttl_seconds

    def check(self) -> None:
        """To be called before every step that others would see: renews a lease that is late.

        Raises LeaseHeld if it is lost, and StorageUnavailable if that can't be found out now.
        """
        if self._lost:
            raise self._gone()
        if self.late:
            with self._lock:
                if self.late:  # else the heartbeat was faster
                    self._renew()

    def renew(self) -> None:
        """Show that the holder lives. Raises LeaseHeld if the lease is lost, which is for good."""
        with self._lock:
            self._renew()

    def _renew(self) -> None:
        if self._lost:
            raise self._gone()
        now = self._clock()  # before the write, so that we are late before others think so
        self._swap(self._document.model_copy(update={"renewals": self._document.renewals + 1}))
        self._renewed = now

    def _gone(self) -> LeaseHeld:
        return LeaseHeld(f"{self._key} (epoch {self.epoch}) was lost: another process works on it now")

    def release(self) -> None:
        """Let others take it at once. Never fails: a lease that can't be released expires."""
        with self._lock:
            try:
                if not self._lost:
                    self._swap(self._document.model_copy(update={"holder": None}))
            except XstiltsError as error:
                log.warning("%s was not released: %s", self._key, error)
            self._lost = True

    @contextmanager
    def heartbeat(self, *, wait: Callable[[threading.Event, float], bool] = threading.Event.wait) -> Iterator["Lease"]:
        """Renew in the background while the context lasts. `wait(stop, seconds)` says whether to stop."""
        stop = threading.Event()
        thread = threading.Thread(target=self._beat, args=(stop, wait), name=f"lease {self._key}", daemon=True)
        thread.start()
        try:
            yield self
        finally:
            stop.set()
            thread.join()

    def _beat(self, stop: threading.Event, wait: Callable[[threading.Event, float], bool]) -> None:
        while not wait(stop, self._document.ttl_seconds / RENEWALS):
            try:
                self.renew()
            except LeaseHeld as error:
                log.error("%s", error)
                return
            except XstiltsError as error:  # the store may come back before anybody takes the lease
                log.warning("%s was not renewed: %s", self._key, error)

    def _swap(self, document: LeaseDocument) -> None:
        try:
            self._document, self._etag = _swap(self._store, self._key, Seen(document, self._etag))
        except LeaseHeld:
            self._lost = True
            raise


def acquire(
    store: ObjectStore,
    address: str,
    *,
    holder: str,
    ttl_seconds: float,
    clock: Callable[[], float] = time.monotonic,
    wait: Callable[[float], None] = time.sleep,
) -> Lease:
    """Take the lease of an address: at once where it is free, after its time to live where its holder is silent.

    Raises LeaseHeld as soon as the holder shows that it lives, or when another is faster.
    """
    key = lease_key(address)
    there = _read(store, key)
    if there and there.document.holder is not None:
        there = _outlast(store, key, there, clock=clock, wait=wait)
    document = LeaseDocument(
        holder=holder,
        epoch=there.document.epoch + 1 if there else 1,
        ttl_seconds=ttl_seconds,
        token=uuid.uuid4().hex,
    )
    now = clock()
    taken = _swap(store, key, Seen(document, there.etag if there else None))
    return Lease(store, key, taken, clock=clock, renewed=now)


def look(store: ObjectStore, address: str) -> Seen | None:
    """The lease of an address as it is now, for those who would rather not start than wait."""
    return _read(store, lease_key(address))


def vacate(store: ObjectStore, address: str, seen: Seen) -> None:
    """Takes a lease away from a holder that was silent for its time to live: the next one need not wait again.

    The caller saw `seen` stand still for so long. Raises LeaseHeld if it has changed since.
    """
    # a token of its own, or the holder would take this write for one of its own whose answer was lost
    empty = seen.document.model_copy(update={"holder": None, "token": uuid.uuid4().hex})
    log.warning("%s: the lease of %s was silent for %g s", address, seen.document.holder, seen.document.ttl_seconds)
    _swap(store, lease_key(address), Seen(empty, seen.etag))


def outlast(
    store: ObjectStore,
    address: str,
    *,
    until: float = math.inf,
    clock: Callable[[], float] = time.monotonic,
    wait: Callable[[float], None] = time.sleep,
) -> None:
    """Returns when whoever holds the lease now has released it, has lost it to another, or was silent for too long.

    Also when the clock shows `until`.
    """
    key = lease_key(address)
    first = seen = _read(store, key)
    since = clock()
    while first and seen and seen.document.holder is not None and seen.document.epoch == first.document.epoch:
        ttl = seen.document.ttl_seconds
        if clock() - since >= ttl or clock() >= until:
            return
        wait(ttl / LOOKS)
        asked = clock()
        before, seen = seen, _read(store, key)
        since += clock() - asked  # a store that does not answer hides renewals
        if seen and seen.etag != before.etag:
            since = clock()


@contextmanager
def hold(
    store: ObjectStore,
    address: str,
    *,
    holder: str,
    ttl_seconds: float,
    wait: Callable[[float], None] = time.sleep,
) -> Iterator[Lease]:
    """Take the lease, renew it in the background while the context lasts, and release it."""
    lease = acquire(store, address, holder=holder, ttl_seconds=ttl_seconds, wait=wait)
    try:
        with lease.heartbeat():
            yield lease
    finally:
        lease.release()


def _outlast(
    store: ObjectStore, key: str, there: Seen, *, clock: Callable[[], float], wait: Callable[[float], None]
) -> Seen:
    """Wait until a foreign lease was released, removed, or silent for its time to live; what to write over."""
    ttl = there.document.ttl_seconds
    expires = clock() + ttl
    while clock() < expires:
        wait(ttl / LOOKS)
        asked = clock()
        now = _read(store, key)
        expires += clock() - asked  # a store that does not answer hides renewals
        if now is None:
            return there._replace(etag=None)
        if now.document.holder is None:
            return now
        if now.etag != there.etag:
            raise _held(key, now.document)
    log.warning("%s: %s was silent for %g s and is taken over", key, there.document.holder, ttl)
    return there


def _swap(store: ObjectStore, key: str, new: Seen) -> Seen:
    """Write the document over the version `new.etag`. Raises LeaseHeld if another was faster."""
    data = documents.encode(new.document)
    try:
        return new._replace(etag=store.put(key, data, if_absent=new.etag is None, if_match=new.etag))
    except PreconditionFailed as error:
        there = _read(store, key)
        if there and there.document.token == new.document.token:  # a write of ours, whose answer was lost
            return there if there.document == new.document else _swap(store, key, new._replace(etag=there.etag))
        raise _held(key, there.document if there else None) from error


def _read(store: ObjectStore, key: str) -> Seen | None:
    found = documents.load_versioned(store, key, LeaseDocument)
    return Seen(*found) if found else None


def _held(key: str, document: LeaseDocument | None) -> LeaseHeld:
    who = f"{document.holder} (epoch {document.epoch})" if document and document.holder else "another process"
    delay = document.ttl_seconds if document else 0.0
    return LeaseHeld(f"{key} is held by {who}", delay=delay)
