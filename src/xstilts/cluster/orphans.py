"""Objects of ours whose Studies are all gone: what `deletionPolicy: Orphan` left, and what a garbage collector missed.

Jobs that still run are left alone: they were left to run to their end.
"""

from collections.abc import Iterator
from contextlib import suppress
from datetime import datetime
from typing import NamedTuple

from xstilts.api import names
from xstilts.cluster.errors import NotInstalled
from xstilts.cluster.port import JOBS, STUDIES, TRAIN_JOBS, TRIALS, Cluster, Object, Resource

ENDED = frozenset({"Complete", "Failed"})
"""Conditions of Jobs and TrainJobs, one of which is true at their end."""


class Orphan(NamedTuple):
    """An object that nobody owns any more."""

    resource: Resource
    namespace: str
    name: str
    uid: str
    why: str
    created: float
    """Seconds since 1970, by the API server's clock."""


def orphans(cluster: Cluster, namespace: str | None, *, before: float) -> Iterator[Orphan]:
    """Of a namespace, or of all for None. `before` is in seconds since 1970: what is younger is left alone."""
    managed = {names.MANAGED_BY: names.MANAGER}
    dependents = [
        (resource, obj)
        for resource in (TRIALS, JOBS, TRAIN_JOBS)
        for obj in _there(cluster, resource, namespace, managed)
    ]
    # Studies after them: one that came in between is seen with what it owns, or not at all.
    studies = {study["metadata"]["uid"] for study in cluster.list(STUDIES, namespace)}
    for resource, obj in dependents:
        metadata = obj["metadata"]
        owned = any(_is_there(owner, studies) for owner in metadata.get("ownerReferences") or ())
        created = datetime.fromisoformat(metadata["creationTimestamp"]).timestamp()
        if owned or "deletionTimestamp" in metadata or created >= before or not _has_ended(resource, obj):
            continue
        yield Orphan(resource, metadata["namespace"], metadata["name"], metadata["uid"], _why(metadata), created)


def remove_orphan(cluster: Cluster, orphan: Orphan) -> None:
    """With its pods. One that is gone, or has been replaced, is fine."""
    cluster.delete(orphan.resource, orphan.namespace, orphan.name, uid=orphan.uid)


def _there(cluster: Cluster, resource: Resource, namespace: str | None, labels: dict[str, str]) -> list[Object]:
    with suppress(NotInstalled):  # TrainJobs are an add-on
        return list(cluster.list(resource, namespace, labels=labels))
    return []


def _is_there(owner: Object, studies: set[str]) -> bool:
    """Owners of other kinds are not known here, and count as there."""
    return owner.get("kind") != STUDIES.kind or owner["uid"] in studies


def _has_ended(resource: Resource, obj: Object) -> bool:
    if resource is TRIALS:
        return True
    conditions = (obj.get("status") or {}).get("conditions") or ()
    return any(found["type"] in ENDED and found["status"] == "True" for found in conditions)


def _why(metadata: Object) -> str:
    study = (metadata.get("labels") or {}).get(names.STUDY)
    return f"its Study {study} is gone" if study else "no Study owns it"
