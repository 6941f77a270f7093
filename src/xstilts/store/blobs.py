"""Which blobs are named by documents of the store, and the deletion of those that are not."""

from collections.abc import Callable, Collection
from concurrent.futures import ThreadPoolExecutor
from itertools import islice

from xstilts.core.manifests import ArtifactManifest, DatasetManifest, Split
from xstilts.store import deletions, documents, evictions
from xstilts.store.artifacts import blob_key
from xstilts.store.port import PARALLEL_FILES, ObjectInfo, ObjectStore

READERS = 16
A_TURN = 1000
"""Blobs that are deleted in one turn: few enough that publishers wait for seconds."""

ROOTS = ("stages/", "models/", "tokens/", "datasets/")
"""Where documents lie that name blobs."""


def named_blobs(store: ObjectStore) -> set[str]:
    """sha256 of all content that some document names; weights of stages whose eviction is confirmed do not count.

    Raises IntegrityError if a document can't be read: nobody may delete then.
    """
    return set().union(*naming_documents(store).values())


def naming_documents(store: ObjectStore) -> dict[str, set[str]]:
    """The same by the key of the document."""
    keys = [info.key for prefix in ROOTS for info in store.list(prefix)]
    evicted = {key for key in keys if key.endswith(f"/{evictions.NAME}")}
    with ThreadPoolExecutor(READERS) as pool:
        named = pool.map(lambda key: _named_by(store, key, evicted), keys)
        return {key: content for key, content in zip(keys, named, strict=True) if content}


def delete_unnamed(
    store: ObjectStore,
    blobs: Collection[str],
    *,
    holder: str,
    condemned: Callable[[ObjectInfo], bool] = lambda _: True,
) -> list[ObjectInfo]:
    """Deletes those of the blobs (sha256) that nobody names, and says which.

    `condemned` is asked right before each deletion, about the blob as it is then.
    """
    deleted: list[ObjectInfo] = []
    remaining = iter(sorted(blobs))
    while batch := list(islice(remaining, A_TURN)):
        with deletions.turn(store, holder=holder) as lease, ThreadPoolExecutor(PARALLEL_FILES) as pool:
            named = named_blobs(store)

            def delete(sha256: str) -> ObjectInfo | None:
                found = store.head(blob_key(sha256))
                if found is None or not condemned(found):
                    return None
                lease.check()
                store.delete(found.key)
                return found

            deleted += [found for found in pool.map(delete, set(batch) - named) if found]
    return deleted


def _named_by(store: ObjectStore, key: str, evicted: Collection[str]) -> set[str]:
    """sha256 of the files that the document under the key names; none where it is no such document."""
    match key.split("/"):
        case ["stages", _, _, "manifest.json"] | ["models" | "tokens", _, "manifest.json"]:
            address = key.rpartition("/")[0]
            manifest = documents.load(store, key, ArtifactManifest)
            eviction = evictions.load(store, address) if evictions.eviction_key(address) in evicted else None
            return evictions.named_files(manifest, eviction) if manifest else set()
        case ["datasets", _, "splits", _]:
            split = documents.load(store, key, Split)
            return {file.sha256 for file in split.files} if split else set()
        case ["datasets", _, _, "manifest.json"]:
            dataset = documents.load(store, key, DatasetManifest)
            return {file.sha256 for split in dataset.splits for file in split.files} if dataset else set()
    return set()
