"""Artifacts: folders of files that are published as a whole, under an address, once.

Files go first, by content, to `blobs/sha256/<aa>/<sha256>`; then `<address>/manifest.json` is written on condition
that there is none. So an artifact exists from one moment to the next, equal files are stored once, a publication that
was cut off leaves nothing that anybody trusts, and of two writers of one address the later adopts the first.
Whatever is read is compared with its sha256.
"""

import fcntl
import hashlib
import logging
import os
import tempfile
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import TypeVar

from xstilts.core.errors import IntegrityError, StorageUnavailable, UserError
from xstilts.core.manifests import ArtifactManifest, FileEntry
from xstilts.store import deletions, documents
from xstilts.store.port import PARALLEL_FILES, NotFound, ObjectStore, PreconditionFailed, check_key

log = logging.getLogger(__name__)

T = TypeVar("T")
R = TypeVar("R")


def blob_key(sha256: str) -> str:
    """Where content lies, whoever uses it."""
    return f"blobs/sha256/{sha256[:2]}/{sha256}"


def manifest_key(address: str) -> str:
    return f"{address}/manifest.json"


def put_blob(store: ObjectStore, path: Path, *, name: str | None = None, compare: bool = False) -> FileEntry:
    """Store a file's content unless it is there, and return its entry under `name` (the file's own by default).

    With `compare`, what is there is read and compared, and content that was damaged is replaced. That costs a download,
    so it is for what people bring in; `xstilts repair` looks at everything.
    """
    entry = FileEntry(path=name or path.name, sha256=_sha256(path), size=path.stat().st_size)
    if not (_holds(store, entry) if compare else has_blob(store, entry)):
        store.upload(blob_key(entry.sha256), path)
    return entry


def _holds(store: ObjectStore, entry: FileEntry) -> bool:
    """Whether the content is there, and is what its name says."""
    key = blob_key(entry.sha256)
    if not has_blob(store, entry):
        return False
    try:
        whole = stored_digest(store, key) == entry.sha256
    except NotFound:  # deleted since
        return False
    if not whole:
        log.warning("%s in %s is damaged: it is replaced with the content of %s", key, store.uri, entry.path)
    return whole


def stored_digest(store: ObjectStore, key: str) -> str:
    """sha256 of an object's content as it is now. Raises NotFound."""
    with tempfile.TemporaryDirectory(prefix="xstilts-digest-") as folder:
        path = Path(folder, "content")
        store.download(key, path)
        return _sha256(path)


def put_blobs(
    store: ObjectStore, folder: Path, paths: Iterable[Path], *, compare: bool = False
) -> tuple[FileEntry, ...]:
    """Store files below `folder`, several at once; entries in the order of the paths, named relative to it."""

    def put(path: Path) -> FileEntry:
        return put_blob(store, path, name=path.relative_to(folder).as_posix(), compare=compare)

    return tuple(_in_parallel(put, paths))


def has_blob(store: ObjectStore, entry: FileEntry) -> bool:
    found = store.head(blob_key(entry.sha256))
    return found is not None and found.size == entry.size


def publish(
    store: ObjectStore,
    address: str,
    folder: Path,
    manifest: ArtifactManifest,
    *,
    replaces: ArtifactManifest | None = None,
) -> ArtifactManifest:
    """Store all files of the folder, then the manifest that names them (its own `files` are replaced).

    `replaces` is the manifest there, where its files are gone. Returns the manifest that holds from now on: ours, or
    the one of another writer who was first.
    """

    def write() -> ArtifactManifest:
        files = put_blobs(store, folder, sorted(path for path in folder.rglob("*") if path.is_file()))
        return publish_manifest(store, address, manifest.model_copy(update={"files": files}), replaces=replaces)

    return deletions.guarded(store, write)


def publish_manifest(
    store: ObjectStore, address: str, manifest: ArtifactManifest, *, replaces: ArtifactManifest | None = None
) -> ArtifactManifest:
    """The last step of `publish`, for files that are stored already."""
    key = manifest_key(address)
    there = documents.load_versioned(store, key, ArtifactManifest) if replaces else None
    if there and there[0] != replaces:
        return _adopt(store, address, manifest)
    try:
        store.put(key, documents.encode(manifest), if_absent=there is None, if_match=there[1] if there else None)
    except PreconditionFailed:
        return _adopt(store, address, manifest)
    return manifest


def _adopt(store: ObjectStore, address: str, ours: ArtifactManifest) -> ArtifactManifest:
    winner = load_manifest(store, address)
    if winner is None:
        raise StorageUnavailable(f"{address} was published and removed again while we published it")
    if winner != ours:
        same = "the same" if winner.content_digest == ours.content_digest else "other"
        log.warning("%s was published by another writer with %s files: ours are discarded", address, same)
    return winner


def load_manifest(store: ObjectStore, address: str) -> ArtifactManifest | None:
    """The artifact's manifest, or None where nothing was published. Raises IntegrityError for an unreadable one."""
    return documents.load(store, manifest_key(address), ArtifactManifest)


def verify(store: ObjectStore, manifest: ArtifactManifest) -> bool:
    """Whether every file is present with the right size; content is compared when it is read."""
    return all(_in_parallel(partial(has_blob, store), manifest.files))


def fetch(
    store: ObjectStore, artifact: str | ArtifactManifest, folder: Path, *, only: str | None = None
) -> ArtifactManifest:
    """Bring an artifact's files (those whose path begins with `only`) into the folder, verified.

    `artifact` is an address or a manifest. Files that are there already are kept if their content is right; broken
    transfers go on where they were. Raises NotFound for an unpublished address, IntegrityError for wrong content.
    """
    manifest = _published(store, artifact) if isinstance(artifact, str) else artifact
    fetch_files(store, (file for file in manifest.files if file.path.startswith(only or "")), folder)
    return manifest


def fetch_files(store: ObjectStore, files: Iterable[FileEntry], folder: Path) -> list[Path]:
    """Bring files into the folder, several at once, verified; their paths in the order given."""
    with _alone_in(folder):
        return _in_parallel(lambda entry: _fetch_file(store, entry, folder), files)


def _published(store: ObjectStore, address: str) -> ArtifactManifest:
    manifest = load_manifest(store, address)
    if manifest is None:
        raise NotFound(f"nothing is published under {address} in {store.uri}")
    return manifest


def _fetch_file(store: ObjectStore, entry: FileEntry, folder: Path) -> Path:
    target = folder / _checked_path(entry)
    if target.is_file() and target.stat().st_size == entry.size and _sha256(target) == entry.sha256:
        return target
    unverified = target.with_name(f".{target.name}.unverified")
    store.download(blob_key(entry.sha256), unverified)
    found = _sha256(unverified)
    if found != entry.sha256:
        unverified.unlink()
        raise IntegrityError(
            f"{entry.path}: the content stored in {store.uri} has sha256 {found}, but its manifest says "
            f"{entry.sha256}; remove what is damaged: xstilts repair {store.uri}; then run or import again"
        )
    return unverified.replace(target)


@contextmanager
def _alone_in(folder: Path) -> Iterator[None]:
    """Processes that fetch into one folder take turns, and the second finds the files of the first."""
    folder.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        with suppress(OSError):  # some network file systems lock no folders: there it is one process per folder
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _checked_path(entry: FileEntry) -> str:
    """A manifest comes from outside: no path in it may lead out of the folder."""
    try:
        return check_key(entry.path)
    except UserError as error:
        raise IntegrityError(f"a manifest names the file {entry.path!r}, which is no relative path") from error


def _in_parallel(function: Callable[[T], R], items: Iterable[T]) -> list[R]:
    with ThreadPoolExecutor(PARALLEL_FILES) as pool:
        return list(pool.map(function, items))


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
