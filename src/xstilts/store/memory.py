"""An object store in a dictionary: for tests, and for trying things out in one process."""

import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from xstilts.store.port import NotFound, ObjectInfo, PreconditionFailed, Unfinished, check_key


class _Object(NamedTuple):
    data: bytes
    etag: str
    modified: float


class MemoryStore:
    """Keeps everything in this process; safe under threads."""

    uri = "memory:"

    def __init__(self) -> None:
        self._objects: dict[str, _Object] = {}
        self._lock = threading.Lock()
        self._writes = 0

    def read(self, key: str) -> bytes:
        return self.read_versioned(key)[0]

    def read_versioned(self, key: str) -> tuple[bytes, str]:
        found = self._objects.get(check_key(key))
        if found is None:
            raise NotFound(f"{self.uri} holds no object {key!r}")
        return found.data, found.etag

    def head(self, key: str) -> ObjectInfo | None:
        found = self._objects.get(check_key(key))
        return ObjectInfo(key, len(found.data), found.modified) if found else None

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        with self._lock:
            objects = sorted(self._objects.items())
        return (ObjectInfo(key, len(o.data), o.modified) for key, o in objects if key.startswith(prefix))

    def put(self, key: str, data: bytes, *, if_absent: bool = False, if_match: str | None = None) -> str:
        with self._lock:
            there = self._objects.get(check_key(key))
            if if_absent and there:
                raise PreconditionFailed(f"{self.uri} holds {key!r} already")
            if if_match is not None and (there is None or there.etag != if_match):
                raise PreconditionFailed(f"{key!r} in {self.uri} is not at version {if_match} any more")
            self._writes += 1
            self._objects[key] = _Object(bytes(data), f"v{self._writes}", time.time())
            return self._objects[key].etag

    def upload(self, key: str, path: Path) -> None:
        self.put(key, path.read_bytes())

    def download(self, key: str, path: Path) -> None:
        data = self.read(key)
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_name(f"{path.name}.part")
        part.write_bytes(data)
        part.replace(path)

    def delete(self, key: str) -> None:
        with self._lock:
            self._objects.pop(check_key(key), None)

    def now(self) -> float:
        return time.time()

    def unfinished(self) -> Iterator[Unfinished]:
        return iter(())

    def abort(self, upload: Unfinished) -> None:
        """Nothing is ever unfinished."""
