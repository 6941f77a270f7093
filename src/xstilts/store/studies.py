"""Studies in the store, and which of them may still need what they share with others.

    studies/<name>/study.json       as it was accepted last
    studies/<name>/plan.json        the same, planned
    studies/<name>/plans/<digest>.json, for good
    studies/<name>/finished.json    the digest of the plan whose trials have all ended

A plan is *active* from its acceptance until the marker names it: as long, nobody else evicts what it consists of.
"""

import time
from collections.abc import Iterator
from dataclasses import dataclass

from pydantic_core import to_json

from xstilts.api.base import Model
from xstilts.api.study import CheckpointRetention, Study
from xstilts.core.plan import Plan
from xstilts.store import documents
from xstilts.store.port import ObjectStore


class Finished(Model):
    """The marker."""

    plan: str
    """Digest of the plan whose trials have all ended, well or not."""
    checkpoints: CheckpointRetention
    """What the study keeps."""
    finished: int
    """Milliseconds since 1970."""


@dataclass(frozen=True, kw_only=True)
class StoredStudy:
    """A study that was accepted."""

    plan: Plan
    kept: CheckpointRetention | None
    """What it keeps of its checkpoints; None as long as it is active and may need them all."""


def put_plan(store: ObjectStore, study: Study, plan: Plan) -> None:
    """Freezes the plan, which is active from now on, also where the same plan had finished before."""
    folder = f"studies/{plan.study}"
    store.delete(_marker_key(plan.study))
    document = to_json(plan, by_alias=True)  # unsorted: stages come after those that they depend on
    store.put(plan_key(plan.study, plan.digest), document)
    store.put(f"{folder}/study.json", documents.encode(study))
    store.put(f"{folder}/plan.json", document)


def plan_key(study: str, plan_digest: str) -> str:
    """Where a plan lies for good; `plan.json` beside it is the latest."""
    return f"studies/{study}/plans/{plan_digest}.json"


def load_plan(store: ObjectStore, study: str) -> Plan | None:
    """The plan that was accepted last."""
    return documents.load(store, f"studies/{study}/plan.json", Plan)


def mark_finished(store: ObjectStore, plan: Plan, *, checkpoints: CheckpointRetention) -> None:
    """To be called once all trials have ended: from now on the study protects what its retention keeps, and no more."""
    marker = Finished(plan=plan.digest, checkpoints=checkpoints, finished=int(time.time() * 1000))
    store.put(_marker_key(plan.study), documents.encode(marker))


def reopen(store: ObjectStore, study: str) -> None:
    """To be called before stages of a study that has ended are started again, without accepting it anew."""
    if store.head(_marker_key(study)):
        store.delete(_marker_key(study))


def stored_studies(store: ObjectStore) -> Iterator[StoredStudy]:
    """All studies that the store knows. Raises IntegrityError for a plan that this version can't read."""
    keys = [info.key for info in store.list("studies/")]
    for key in keys:
        match key.split("/"):
            case ["studies", name, "plan.json"]:
                if found := _load(store, name):
                    yield found


def _load(store: ObjectStore, name: str) -> StoredStudy | None:
    marker = documents.load(store, _marker_key(name), Finished)
    plan = load_plan(store, name)
    if plan is None:
        return None
    ended = marker is not None and marker.plan == plan.digest
    return StoredStudy(plan=plan, kept=marker.checkpoints if marker and ended else None)


def _marker_key(study: str) -> str:
    return f"studies/{study}/finished.json"
