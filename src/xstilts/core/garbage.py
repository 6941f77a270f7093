"""What in a store nobody needs any more: the choice behind `xstilts gc`. Pure.

Nothing young is garbage, whatever it looks like: who is at work may just not have come to its manifest. Nothing that a
plan names is garbage either, finished or not; nor are leases, whose epochs must not go back, nor what has a pin.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple, Protocol

LEASE, MANIFEST, PIN, RESUME = "lease.json", "manifest.json", "pin.json", "resume/"
"""What may lie below a stage's address."""


class Kind(StrEnum):
    """What people call it."""

    BLOB = "blob"
    CHECKPOINT = "training checkpoint"
    STAGE = "unfinished stage"
    PREFLIGHT = "preflight"
    UPLOAD = "unfinished upload"
    RUN = "MLflow run"
    MODEL = "LoggedModel"
    VERSION = "model version"
    OBJECT = "cluster object"


class Garbage(NamedTuple):
    """One thing to remove."""

    kind: Kind
    place: str
    """Its key, or the prefix of several; for what lies elsewhere, its name there."""
    why: str
    size: int
    """Bytes; 0 outside of stores."""
    modified: float
    """Seconds since the epoch: of the youngest part."""


class Entry(Protocol):
    """An object as a listing tells of it."""

    @property
    def key(self) -> str: ...
    @property
    def size(self) -> int: ...
    @property
    def modified(self) -> float: ...


@dataclass(frozen=True, kw_only=True)
class Inventory:
    """All that is to be known of a store, read before anything is judged."""

    entries: Iterable[Entry]
    named: Collection[str]
    """sha256 of the content that some document needs."""
    made: Collection[str]
    """Addresses of the stages whose files are all there."""
    planned: Collection[str]
    """Addresses of all stages of all studies."""
    now: float
    """By the store's clock."""
    older_than: float
    """Seconds; what is younger is left alone."""


def garbage(found: Inventory) -> Iterator[Garbage]:
    """In the order in which it is best removed."""
    stages: dict[str, list[Entry]] = defaultdict(list)
    blobs: list[Entry] = []
    for entry in found.entries:
        match entry.key.split("/"):
            case ["stages", kind, key, _, *_]:
                stages[f"stages/{kind}/{key}"].append(entry)
            case ["blobs", "sha256", _, _]:
                blobs.append(entry)
            case ["preflight", _] if _is_old(entry, found):
                yield Garbage(Kind.PREFLIGHT, entry.key, "left by a preflight", entry.size, entry.modified)
    for address, entries in stages.items():
        yield from _of_stage(address, entries, found)
    for entry in blobs:
        if entry.key.rpartition("/")[2] not in found.named and _is_old(entry, found):
            yield Garbage(Kind.BLOB, entry.key, "no document names it", entry.size, entry.modified)


def _of_stage(address: str, entries: list[Entry], found: Inventory) -> Iterator[Garbage]:
    """Training checkpoints that nobody will resume from, or all of a stage that has no result and no study."""
    names = {entry.key.removeprefix(f"{address}/"): entry for entry in entries}
    if PIN in names or not all(_is_old(entry, found) for entry in entries):  # a lease that is held is renewed
        return
    resume = [entry for name, entry in names.items() if name.startswith(RESUME)]
    has_result = MANIFEST in names
    if resume and address in found.made:
        yield _together(Kind.CHECKPOINT, f"{address}/{RESUME}", "its stage is published", resume)
    elif address in found.planned:
        return
    elif resume and has_result:
        yield _together(Kind.CHECKPOINT, f"{address}/{RESUME}", "no study has this stage", resume)
    elif not has_result and (left := [entry for name, entry in names.items() if name != LEASE]):
        yield _together(Kind.STAGE, f"{address}/", "it has no result, and no study has it", left)


def _together(kind: Kind, place: str, why: str, entries: list[Entry]) -> Garbage:
    return Garbage(kind, place, why, sum(entry.size for entry in entries), max(entry.modified for entry in entries))


def _is_old(entry: Entry, found: Inventory) -> bool:
    return found.now - entry.modified > found.older_than
