"""The one interface through which everything durable is read and written: objects under flat keys.

Three stores implement it (`directory`, `s3`, `memory`) and pass the same contract suite. All that the rest of the
package relies on is here: an object is whole or absent, and a conditional write has exactly one winner.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple, Protocol

from xstilts.core.errors import PermanentError, UserError

RESERVED = ".xstilts"
"""First segment that no key may have: a directory store keeps its lock and its unfinished files there."""


PARALLEL_FILES = 8
"""Files that callers move at once: hides the latency of many small ones; large ones a store splits by itself."""


class NotFound(PermanentError):
    """There is no object under the key."""


class PreconditionFailed(PermanentError):
    """A conditional write found the object there (`if_absent`), gone, or changed (`if_match`)."""


class ObjectInfo(NamedTuple):
    """What a listing tells of an object. Versions (ETags) come with its content: see `read_versioned`."""

    key: str
    size: int
    """Bytes."""
    modified: float
    """Seconds since the epoch, by the store's own clock."""


class Unfinished(NamedTuple):
    """A write that was begun and has not ended: of somebody who is at it, or who was killed."""

    key: str
    """Of the object that it would become; empty where the store does not know."""
    id: str
    """For `abort`."""
    size: int
    """Bytes that it takes up."""
    started: float
    """Seconds since the epoch, by the store's own clock."""


class ObjectStore(Protocol):
    """Objects under keys such as `stages/evaluation/<key>/manifest.json`, all below one root.

    Every method raises StorageError where trying again cannot help, and StorageUnavailable where it can.
    """

    @property
    def uri(self) -> str:
        """The root, as people write it; never with a trailing slash, never with secrets."""

    def read(self, key: str) -> bytes:
        """The content of a small object. Raises NotFound."""

    def read_versioned(self, key: str) -> tuple[bytes, str]:
        """Content and ETag, which belong together. Raises NotFound."""

    def head(self, key: str) -> ObjectInfo | None:
        """Size and age, or None where there is no object."""

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        """All objects whose keys begin with the prefix, in the order of their keys."""

    def put(self, key: str, data: bytes, *, if_absent: bool = False, if_match: str | None = None) -> str:
        """Write a small object and return its ETag. Raises PreconditionFailed.

        A condition that failed may still be our own write whose answer was lost: read back what is there.
        """

    def upload(self, key: str, path: Path) -> None:
        """Write a file of any size; readers see all of it or nothing."""

    def download(self, key: str, path: Path) -> None:
        """Read an object of any size into a file, which appears under its name when it is whole. Raises NotFound."""

    def delete(self, key: str) -> None:
        """Remove the object; it may be gone already."""

    def now(self) -> float:
        """Seconds since the epoch by the clock that `modified` is told by, to within seconds."""

    def unfinished(self) -> Iterator[Unfinished]:
        """Writes that have not ended."""

    def abort(self, upload: Unfinished) -> None:
        """Give up an unfinished write and free what it takes up; it may have ended already."""


def check_key(key: str) -> str:
    """The key itself if it names a place strictly below the root. Raises UserError."""
    segments = key.split("/")
    if any(segment in {"", ".", ".."} for segment in segments) or segments[0] == RESERVED:
        raise UserError(f"{key!r} is no key: write non-empty names joined by '/', without '.', '..' or {RESERVED}")
    if not key.isprintable() or "\\" in key:
        raise UserError(f"{key!r} is no key: control characters and backslashes are not allowed")
    return key
