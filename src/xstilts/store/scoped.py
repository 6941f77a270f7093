"""A store within a store: everything below one prefix, with blobs of its own that can be thrown away as a whole."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from xstilts.store.port import ObjectInfo, ObjectStore, Unfinished


@dataclass(frozen=True)
class ScopedStore:
    """`ObjectStore` over the keys below `prefix` of another one."""

    outer: ObjectStore
    prefix: str

    @property
    def uri(self) -> str:
        return f"{self.outer.uri}/{self.prefix}"

    def _key(self, key: str) -> str:
        return f"{self.prefix}/{key}"

    def read(self, key: str) -> bytes:
        return self.outer.read(self._key(key))

    def read_versioned(self, key: str) -> tuple[bytes, str]:
        return self.outer.read_versioned(self._key(key))

    def head(self, key: str) -> ObjectInfo | None:
        found = self.outer.head(self._key(key))
        return found._replace(key=key) if found else None

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        start = len(self.prefix) + 1
        return (found._replace(key=found.key[start:]) for found in self.outer.list(self._key(prefix)))

    def put(self, key: str, data: bytes, *, if_absent: bool = False, if_match: str | None = None) -> str:
        return self.outer.put(self._key(key), data, if_absent=if_absent, if_match=if_match)

    def upload(self, key: str, path: Path) -> None:
        self.outer.upload(self._key(key), path)

    def download(self, key: str, path: Path) -> None:
        self.outer.download(self._key(key), path)

    def delete(self, key: str) -> None:
        self.outer.delete(self._key(key))

    def now(self) -> float:
        return self.outer.now()

    def unfinished(self) -> Iterator[Unfinished]:
        start = len(self.prefix) + 1
        below = (upload for upload in self.outer.unfinished() if upload.key.startswith(f"{self.prefix}/"))
        return (upload._replace(key=upload.key[start:]) for upload in below)

    def abort(self, upload: Unfinished) -> None:
        self.outer.abort(upload._replace(key=self._key(upload.key)))

    def clear(self) -> None:
        """Deletes everything below the prefix, manifests first, so that nothing half-deleted is ever trusted."""
        for entry in sorted(self.list(""), key=lambda found: not found.key.endswith("manifest.json")):
            self.delete(entry.key)
