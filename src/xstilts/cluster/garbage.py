"""What Kubernetes' garbage collector does next, given all objects. Pure; `MemoryCluster` carries it out."""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from xstilts.cluster.port import Object, Propagation

FOREGROUND, ORPHAN = "foregroundDeletion", "orphan"
"""Finalizers that the collector takes off."""


class Delete(NamedTuple):
    """An object without owners left."""

    uid: str
    propagation: Propagation


class SetOwners(NamedTuple):
    """An object some of whose owners are gone, or have let it go."""

    uid: str
    owners: tuple[Object, ...]


class Finalize(NamedTuple):
    """An object whose deletion needs to wait no more."""

    uid: str
    finalizer: str


def collect(objects: Iterable[Object]) -> Iterator[Delete | SetOwners | Finalize]:
    """One step for each object that needs one."""
    there = {obj["metadata"]["uid"]: obj["metadata"] for obj in objects}
    dependents: dict[str, list[Object]] = defaultdict(list)
    for metadata in there.values():
        for owner in metadata.get("ownerReferences") or ():
            dependents[owner["uid"]].append(owner)
    orphaning = {uid for uid, metadata in there.items() if _ends_by(metadata, ORPHAN)}
    ending = {uid for uid, metadata in there.items() if _ends_by(metadata, FOREGROUND)}
    for uid, metadata in there.items():
        if uid in orphaning and not dependents[uid]:
            yield Finalize(uid, ORPHAN)
        elif uid in ending and not any(owner.get("blockOwnerDeletion") for owner in dependents[uid]):
            yield Finalize(uid, FOREGROUND)
        elif owners := metadata.get("ownerReferences"):
            yield from _dependent(metadata, owners, there.keys() - orphaning - ending, orphaning, ending)


def _dependent(
    metadata: Object, owners: list[Object], solid: set[str], orphaning: set[str], ending: set[str]
) -> Iterator[Delete | SetOwners]:
    uid = metadata["uid"]
    kept = tuple(owner for owner in owners if owner["uid"] in solid)
    if len(kept) == len(owners):
        return
    if kept or any(owner["uid"] in orphaning for owner in owners):
        yield SetOwners(uid, kept)
    elif "deletionTimestamp" not in metadata:
        waited = any(owner["uid"] in ending and owner.get("blockOwnerDeletion") for owner in owners)
        yield Delete(uid, "Foreground" if waited else "Background")


def _ends_by(metadata: Object, finalizer: str) -> bool:
    return "deletionTimestamp" in metadata and finalizer in (metadata.get("finalizers") or ())
