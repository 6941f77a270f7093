"""Evicted stages: their manifest stays, with metrics, facts and where predictions lie, and their weights are gone.

`evicted.json` beside the manifest says so, and is written before anything is deleted: first as announced, which others
can still object to, then as confirmed, which gives the files up. It names the manifest it is about by digest, so it
says nothing of one that came later. A stage whose weights are wanted again is made again; as long as nothing was
deleted yet, it is enough to take the word back (`lift`).
"""

from collections.abc import Mapping
from typing import NamedTuple

from xstilts.core.errors import StorageUnavailable
from xstilts.core.manifests import ArtifactManifest, Eviction, EvictionState
from xstilts.store import artifacts, deletions, documents
from xstilts.store.port import ObjectStore, PreconditionFailed

NAME = "evicted.json"
NO_MANIFEST = ""
"""Stands for the manifest of an eviction that was taken back, and that MLflow still has to be told of."""


def eviction_key(address: str) -> str:
    return f"{address}/{NAME}"


class Stored(NamedTuple):
    """An eviction, and the version of its document that the next step is written over."""

    eviction: Eviction
    etag: str


def load(store: ObjectStore, address: str) -> Eviction | None:
    """What lies beside the manifest, whichever manifest it is about."""
    return documents.load(store, eviction_key(address), Eviction)


def announce(store: ObjectStore, address: str, eviction: Eviction) -> Stored:
    """Writes the eviction, unless there is one: then that one is returned, whatever it is about."""
    key = eviction_key(address)
    try:
        return Stored(eviction, store.put(key, documents.encode(eviction), if_absent=True))
    except PreconditionFailed as error:
        there = documents.load_versioned(store, key, Eviction)
        if there is None:
            raise StorageUnavailable(f"{key} in {store.uri} was written and removed again meanwhile") from error
        return Stored(*there)


def advance(store: ObjectStore, address: str, stored: Stored, state: EvictionState) -> Stored | None:
    """Writes the next state, or returns None where the eviction was lifted, or the stage made again, meanwhile."""
    eviction = stored.eviction.model_copy(update={"state": state})
    try:
        etag = store.put(eviction_key(address), documents.encode(eviction), if_match=stored.etag)
    except PreconditionFailed:
        there = documents.load_versioned(store, eviction_key(address), Eviction)
        return Stored(*there) if there and there[0] == eviction else None  # ours, whose answer was lost
    return Stored(eviction, etag)


def lift(store: ObjectStore, address: str, manifest: ArtifactManifest, eviction: Eviction) -> bool:
    """Takes the eviction back if all files are still there; the document goes with `forget`, once MLflow knows."""
    if not artifacts.verify(store, manifest):
        return False
    key = eviction_key(address)
    store.put(key, documents.encode(eviction.model_copy(update={"manifest": NO_MANIFEST})))
    deletions.outlast(store)  # whoever deletes from now on sees that the files are wanted
    if artifacts.verify(store, manifest):
        return True
    store.put(key, documents.encode(eviction))
    return False


def forget(store: ObjectStore, address: str) -> None:
    """The last step, after a stage was made again or its eviction was lifted."""
    store.delete(eviction_key(address))


def is_whole(manifest: ArtifactManifest, eviction: Eviction | None, blobs: Mapping[str, int]) -> bool:
    """Whether all is there but what was evicted; `blobs` are sizes by key."""
    evicted = eviction is not None and eviction.concerns(manifest)
    gone = {file.path for file in eviction.files} if eviction and evicted else set()
    return all(
        blobs.get(artifacts.blob_key(file.sha256)) == file.size for file in manifest.files if file.path not in gone
    )


def named_files(manifest: ArtifactManifest, eviction: Eviction | None) -> set[str]:
    """sha256 of the files that nobody may delete as long as the manifest is there."""
    given_up = eviction is not None and eviction.concerns(manifest) and eviction.is_confirmed
    gone = {file.path for file in eviction.files} if eviction and given_up else set()
    return {file.sha256 for file in manifest.files if file.path not in gone}
