"""Data sets in the store: upstream files as blobs, and three kinds of documents that lead to them.

    datasets/<name>/latest.json              {"digest"}: the import that new Studies use
    datasets/<name>/<digest>/manifest.json   all splits and languages of one import
    datasets/<name>/splits/<digest>.json     one split in one language: what a stage depends on

Documents are immutable but for the pointer, which is written last. So a broken import changes nothing for anybody,
and importing again, also from another machine at the same moment, ends in the same state.
"""

import logging
from contextlib import suppress
from pathlib import Path

from xstilts.api.base import Model
from xstilts.core.errors import IntegrityError
from xstilts.core.manifests import DatasetManifest, FileEntry, Split, SplitRef
from xstilts.store import deletions, documents
from xstilts.store.artifacts import fetch_files, put_blobs
from xstilts.store.port import NotFound, ObjectStore, PreconditionFailed

log = logging.getLogger(__name__)


class Latest(Model):
    """The pointer."""

    digest: str


def put_dataset(store: ObjectStore, manifest: DatasetManifest, root: Path) -> DatasetManifest:
    """Store a data set whose files lie at their relative paths below `root`, and make it the latest.

    Raises IntegrityError if a file is not what the manifest says.
    """

    def write() -> DatasetManifest:
        _put_files(store, [file for split in manifest.splits for file in split.files], root)
        for split in manifest.splits:
            _put(store, f"datasets/{manifest.name}/splits/{split.digest}.json", split)
        _put(store, _manifest_key(manifest.name, manifest.digest), manifest)
        return manifest

    deletions.guarded(store, write)
    _point(store, manifest)
    return manifest


def load_dataset(store: ObjectStore, name: str, digest: str | None = None) -> DatasetManifest | None:
    """The import with that digest, by default the latest; None where there is none."""
    if digest is None:
        pointer = documents.load(store, _latest_key(name), Latest)
        if pointer is None:
            return None
        digest = pointer.digest
    key = _manifest_key(name, digest)
    manifest = documents.load(store, key, DatasetManifest)
    if manifest and manifest.digest != digest:
        raise IntegrityError(f"{key} in {store.uri} holds an import with digest {manifest.digest}: import it again")
    return manifest


def load_split(store: ObjectStore, ref: SplitRef) -> Split:
    """The split that a stage's config names. Raises NotFound, and IntegrityError if it is another one."""
    key = f"{ref.address}.json"
    split = documents.load(store, key, Split)
    if split is None:
        raise NotFound(f"{ref} is not in {store.uri}: import data set {ref.dataset!r} into this store")
    if split.digest != ref.digest:
        raise IntegrityError(f"{key} in {store.uri} holds a split with digest {split.digest}: import it again")
    return split


def fetch_split(store: ObjectStore, split: Split, folder: Path) -> list[Path]:
    """Bring the split's files, verified, to their relative paths below the folder; in the split's order."""
    return fetch_files(store, split.files, folder)


def _put_files(store: ObjectStore, files: list[FileEntry], root: Path) -> None:
    expected = {root / file.path: file for file in files}
    for stored, file in zip(put_blobs(store, root, expected, compare=True), expected.values(), strict=True):
        if stored != file:
            raise IntegrityError(
                f"{root / file.path} has sha256 {stored.sha256} and {stored.size} bytes, but was read with "
                f"{file.sha256} and {file.size}: it changed during the import; import again"
            )


def _put(store: ObjectStore, key: str, document: Model) -> None:
    """Unless it is there; what was damaged is replaced."""
    data = documents.encode(document)
    with suppress(NotFound):
        if store.read(key) == data:
            return
    store.put(key, data)


def _point(store: ObjectStore, manifest: DatasetManifest) -> None:
    """Make the import the latest, unless another import does so at this moment: then that one came after ours."""
    key, pointer = _latest_key(manifest.name), documents.encode(Latest(digest=manifest.digest))
    try:
        try:
            there, etag = store.read_versioned(key)
        except NotFound:
            store.put(key, pointer, if_absent=True)
        else:
            if there != pointer:
                store.put(key, pointer, if_match=etag)
    except PreconditionFailed:
        log.warning("another import of %s ended at the same moment: %s stays as it made it", manifest.name, key)


def _manifest_key(name: str, digest: str) -> str:
    return f"datasets/{name}/{digest}/manifest.json"


def _latest_key(name: str) -> str:
    return f"datasets/{name}/latest.json"
