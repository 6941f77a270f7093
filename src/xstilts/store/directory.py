"""An object store in a directory: one machine, or a file system that several machines share.

An object is a file whose path is its key. It is written beside the tree, flushed, and then moved into place in one
step, so a process may be killed at any moment and readers still see whole objects only. Every change of the tree
happens under one file lock that the kernel releases with its process; it is held for the move alone.
"""

import fcntl
import hashlib
import os
import shutil
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from xstilts.core.errors import StorageError
from xstilts.store.port import RESERVED, NotFound, ObjectInfo, PreconditionFailed, Unfinished, check_key

ABANDONED_SECONDS = 24 * 3600
"""Age at which an unfinished file belongs to nobody any more."""

_NEW = "new-"
"""How the names of unfinished files begin."""


class DirectoryStore:
    """Objects as files below `root`; safe under threads, processes and SIGKILL.

    An ETag is a hash of the content. As in all file systems, a key and another one below it (`a`, `a/b`) exclude
    each other.
    """

    def __init__(self, root: Path) -> None:
        self._root = root.absolute()
        self._private = self._root / RESERVED
        self._sweep()

    @property
    def uri(self) -> str:
        return f"file:{self._root}"

    def read(self, key: str) -> bytes:
        with self._translated("read", key):
            return self._path(key).read_bytes()

    def read_versioned(self, key: str) -> tuple[bytes, str]:
        data = self.read(key)
        return data, _etag(data)

    def head(self, key: str) -> ObjectInfo | None:
        path = self._path(key)
        with self._translated("look at", key):
            return self._info(path) if path.is_file() else None

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        above = prefix.rpartition("/")[0]
        folder = self._path(above) if above else self._root
        with self._translated("list", prefix):
            paths = [path for path in self._files(folder) if self._key(path).startswith(prefix)]
            infos = [self._info(path) for path in sorted(paths, key=self._key)]
        return (info for info in infos if info is not None)

    def put(self, key: str, data: bytes, *, if_absent: bool = False, if_match: str | None = None) -> str:
        path = self._path(key)
        with self._translated("write", key), self._unfinished(lambda file: _write(file, data)) as new:
            if if_absent:
                self._create(path, new)
            else:
                self._replace(path, new, if_match=if_match)
        return _etag(data)

    def upload(self, key: str, path: Path) -> None:
        target = self._path(key)
        with (
            path.open("rb") as source,
            self._translated("write", key),
            self._unfinished(lambda file: shutil.copyfileobj(source, file, 1 << 20)) as new,
        ):
            self._replace(target, new, if_match=None)

    def download(self, key: str, path: Path) -> None:
        source = self._path(key)
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_name(f"{path.name}.part")
        with self._translated("read", key):
            shutil.copyfile(source, part)
            part.replace(path)

    def delete(self, key: str) -> None:
        path = self._path(key)
        with self._translated("delete", key), self._locked():
            with suppress(IsADirectoryError, NotADirectoryError):  # objects above or below the key stay
                path.unlink(missing_ok=True)
            self._prune(path.parent)

    def now(self) -> float:
        """The file system's clock, which may be another machine's."""
        with self._translated("write", ""), self._unfinished(lambda _: None) as probe:
            return probe.stat().st_mtime

    def unfinished(self) -> Iterator[Unfinished]:
        with self._translated("list", RESERVED):
            found = [(path.name, self._status(path)) for path in sorted(self._private.glob(f"{_NEW}*"))]
        return (Unfinished("", name, status.st_size, status.st_mtime) for name, status in found if status)

    def abort(self, upload: Unfinished) -> None:
        with self._translated("delete", upload.id):
            (self._private / upload.id).unlink(missing_ok=True)

    def _create(self, path: Path, new: Path) -> None:
        with self._locked():
            path.parent.mkdir(parents=True, exist_ok=True)
            try:
                os.link(new, path)
            except FileExistsError as error:
                raise PreconditionFailed(f"{path} exists already") from error
            _flush_folder(path.parent)

    def _replace(self, path: Path, new: Path, *, if_match: str | None) -> None:
        with self._locked():
            if if_match is not None and (not path.is_file() or _etag(path.read_bytes()) != if_match):
                raise PreconditionFailed(f"{path} is not at version {if_match} any more")
            path.parent.mkdir(parents=True, exist_ok=True)
            new.replace(path)
            _flush_folder(path.parent)

    def _prune(self, folder: Path) -> None:
        """Remove folders that a deletion left empty; safe, because whoever fills one holds the lock too."""
        while folder != self._root and folder.is_dir() and not any(folder.iterdir()):
            folder.rmdir()
            folder = folder.parent

    def _path(self, key: str) -> Path:
        return self._root / check_key(key)

    def _key(self, path: Path) -> str:
        return path.relative_to(self._root).as_posix()

    def _info(self, path: Path) -> ObjectInfo | None:
        status = self._status(path)
        return ObjectInfo(self._key(path), status.st_size, status.st_mtime) if status else None

    @staticmethod
    def _status(path: Path) -> os.stat_result | None:
        try:
            return path.stat()
        except FileNotFoundError:  # deleted since it was listed
            return None

    def _files(self, folder: Path) -> Iterator[Path]:
        for parent, folders, names in os.walk(folder, onerror=_raise_unless_absent):
            if Path(parent) == self._root and RESERVED in folders:
                folders.remove(RESERVED)
            yield from (Path(parent, name) for name in names)

    @contextmanager
    def _unfinished(self, fill: Callable[[BinaryIO], None]) -> Iterator[Path]:
        """A flushed file in the store's file system that is no object yet; removed unless it was moved away."""
        self._private.mkdir(parents=True, exist_ok=True)
        new = self._private / f"{_NEW}{uuid.uuid4().hex}"
        try:
            with new.open("xb") as file:
                fill(file)
                file.flush()
                os.fsync(file.fileno())
            yield new
        finally:
            new.unlink(missing_ok=True)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        self._private.mkdir(parents=True, exist_ok=True)
        with (self._private / "lock").open("ab") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield

    def _sweep(self) -> None:
        """Remove what killed writers left behind; where only reading is allowed, leave it."""
        oldest = time.time() - ABANDONED_SECONDS
        with suppress(OSError):
            for path in self._private.glob(f"{_NEW}*"):
                if path.stat().st_mtime < oldest:
                    path.unlink(missing_ok=True)

    @contextmanager
    def _translated(self, call: str, key: str = "") -> Iterator[None]:
        try:
            yield
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError) as error:
            if call == "read":
                raise NotFound(f"{self.uri} holds no object {key!r}") from error
            raise StorageError(f"cannot {call} {key!r} in {self.uri}: {error.strerror}") from error
        except OSError as error:
            raise StorageError(
                f"cannot {call} {key!r} in {self.uri}: {error.strerror}; check permissions and free space"
            ) from error


def _write(file: BinaryIO, data: bytes) -> None:
    file.write(data)


def _raise_unless_absent(error: OSError) -> None:
    if not isinstance(error, FileNotFoundError | NotADirectoryError):
        raise error


def _etag(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _flush_folder(folder: Path) -> None:
    """Make a new name durable, so that after a power failure no manifest names a blob that is gone."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
