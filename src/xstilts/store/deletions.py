"""How files are deleted while others publish: nobody ends with a manifest whose files somebody else took away.

Files are shared by content, so whoever publishes may rely on a blob that is there already, and whoever deletes may
just have found that nobody names it. Two rules keep them apart, whichever of them comes first:

- who deletes takes one lease of the whole store, and reads which blobs are named after taking it (`turn`);
- who publishes looks at that lease before the first file and after the manifest (`guarded`). If nobody had it between,
  all is well: later deleters find the manifest. Else it waits until they are done, and stores again what is missing.

So publishing costs two small reads, and a deletion costs a publisher a second look at its own files.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from xstilts.core.errors import LeaseHeld
from xstilts.store import leases
from xstilts.store.leases import Lease
from xstilts.store.port import ObjectStore

ADDRESS = "deletion"
"""Where the lease of those who delete blobs lies."""
TTL_SECONDS = 15.0
MAX_TURNS = 100
"""Deleters that one waits for; each deletes for seconds."""

T = TypeVar("T")


def guarded(store: ObjectStore, write: Callable[[], T]) -> T:
    """Runs `write`, which stores files and then the document that names them, and again if some may be gone since.

    `write` may find its own document there the second time.
    """
    before = leases.look(store, ADDRESS)
    written = write()
    after = leases.look(store, ADDRESS)
    if not _held(before) and not _held(after) and _epoch(before) == _epoch(after):
        return written
    leases.outlast(store, ADDRESS)
    return write()


def _held(seen: leases.Seen | None) -> bool:
    return seen is not None and seen.document.holder is not None


def _epoch(seen: leases.Seen | None) -> int:
    return seen.document.epoch if seen else 0


def outlast(store: ObjectStore) -> None:
    """Returns when no deletion is under way that began before this call."""
    leases.outlast(store, ADDRESS)


@contextmanager
def turn(store: ObjectStore, *, holder: str) -> Iterator[Lease]:
    """The lease of deleters, after those who have it now; to be checked before each deletion.

    Held for seconds: publishers wait for it. Raises LeaseHeld if others delete all the time.
    """
    for _ in range(MAX_TURNS):
        try:
            lease = leases.acquire(store, ADDRESS, holder=holder, ttl_seconds=TTL_SECONDS)
        except LeaseHeld:
            leases.outlast(store, ADDRESS)
            continue
        try:
            with lease.heartbeat():
                yield lease
        finally:
            lease.release()
        return
    raise LeaseHeld(f"others delete in {store.uri} all the time", delay=TTL_SECONDS)
