"""Stores that do something at their k-th call: stop for good, or let somebody else act."""

import itertools
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

from xstilts.core.errors import StorageUnavailable
from xstilts.store import open_store
from xstilts.store.port import ObjectInfo, ObjectStore, Unfinished

WRITES = frozenset({"put", "upload", "delete"})


class WatchedStore:
    """Another store, with a look at each call before it is made. Safe under threads."""

    def __init__(self, inner: ObjectStore, before: Callable[[str], None]) -> None:
        self.inner, self.before = inner, before

    @property
    def uri(self) -> str:
        return self.inner.uri

    def read(self, key: str) -> bytes:
        self.before("read")
        return self.inner.read(key)

    def read_versioned(self, key: str) -> tuple[bytes, str]:
        self.before("read_versioned")
        return self.inner.read_versioned(key)

    def head(self, key: str) -> ObjectInfo | None:
        self.before("head")
        return self.inner.head(key)

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        self.before("list")
        return self.inner.list(prefix)

    def put(self, key: str, data: bytes, *, if_absent: bool = False, if_match: str | None = None) -> str:
        self.before("put")
        return self.inner.put(key, data, if_absent=if_absent, if_match=if_match)

    def upload(self, key: str, path: Path) -> None:
        self.before("upload")
        self.inner.upload(key, path)

    def download(self, key: str, path: Path) -> None:
        self.before("download")
        self.inner.download(key, path)

    def delete(self, key: str) -> None:
        self.before("delete")
        self.inner.delete(key)

    def now(self) -> float:
        return self.inner.now()

    def unfinished(self) -> Iterator[Unfinished]:
        self.before("unfinished")
        return self.inner.unfinished()

    def abort(self, upload: Unfinished) -> None:
        self.before("abort")
        self.inner.abort(upload)


class Killed(StorageUnavailable):
    """The process has ended: nothing that it tries happens any more."""


def dying(inner: ObjectStore, *, after_writes: int) -> WatchedStore:
    """A store as a process sees it that is killed before its next write after so many."""
    count, lock = itertools.count(), threading.Lock()
    dead = threading.Event()

    def before(call: str) -> None:
        with lock:
            if call in WRITES and not dead.is_set() and next(count) == after_writes:
                dead.set()
        if dead.is_set():
            raise Killed(f"killed after {after_writes} writes")

    return WatchedStore(inner, before)


def interrupted(inner: ObjectStore, *, at: int, act: Callable[[], None]) -> tuple[WatchedStore, Callable[[], bool]]:
    """A store that lets somebody else act before its call number `at`; and whether there were so many."""
    count, lock, acted = itertools.count(), threading.Lock(), threading.Event()

    def before(_: str) -> None:
        with lock:
            now = next(count) == at
        if now:
            acted.set()
            act()

    return WatchedStore(inner, before), acted.is_set


def cloned(store: ObjectStore) -> ObjectStore:
    """Another store with the same objects."""
    clone = open_store("memory:")
    for info in store.list(""):
        clone.put(info.key, store.read(info.key))
    return clone
