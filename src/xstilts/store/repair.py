"""`xstilts repair`: what in a store is cut off or damaged, and how it is mended while others are at work.

A disk that was full, a copy that broke off or a hand that slipped leaves documents that nobody can read and content
that is not what its name says. Each blocks whoever needs it with an IntegrityError. Here every document is read and,
unless sizes are to do, every blob. What can be made again is removed: a stage without manifest or files runs again.
"""

import json
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from enum import StrEnum
from typing import NamedTuple

from pydantic import ConfigDict, ValidationError

from xstilts.api.base import Model
from xstilts.core.errors import IntegrityError
from xstilts.core.manifests import ArtifactManifest, DatasetManifest, Eviction, EvictionState, FileEntry, Split
from xstilts.core.plan import Plan
from xstilts.store import deletions, documents, evictions, leases
from xstilts.store.artifacts import blob_key, manifest_key, stored_digest
from xstilts.store.blobs import READERS
from xstilts.store.datasets import Latest
from xstilts.store.port import PARALLEL_FILES, NotFound, ObjectStore
from xstilts.store.studies import Finished

SKIPPED_EPOCHS = 1000
"""How far the epoch of a lease that can't be read is set ahead of those that left something: none is given twice."""


class Part(StrEnum):
    """What people call it."""

    MANIFEST = "manifest"
    DATASET = "data set"
    STUDY = "study"
    LEASE = "lease"
    TOMBSTONE = "tombstone"
    RECEIPT = "receipt"
    BLOB = "blob"


class Damage(NamedTuple):
    """One object that is not what it should be."""

    part: Part
    key: str
    found: str
    """What is wrong with it."""
    remedy: str
    """What `mend` does, and what follows; empty where nothing can be done here."""


class Receipt(Model):
    """What every receipt has, of a stage, a trial or a study."""

    model_config = ConfigDict(extra="ignore")
    run_id: str


class Repair:
    """A look at a whole store."""

    def __init__(self, store: ObjectStore, *, sizes_only: bool = False) -> None:
        self.store = store
        self.sizes_only = sizes_only

    def find(self) -> list[Damage]:
        """Changes nothing."""
        prefixes = ("stages/", "models/", "tokens/", "datasets/", "studies/", f"{deletions.ADDRESS}/")
        keys = [info.key for prefix in prefixes for info in self.store.list(prefix)]
        sizes = {info.key: info.size for info in self.store.list("blobs/")}
        with ThreadPoolExecutor(READERS) as pool:
            unreadable = [damage for damage in pool.map(self._of_document, keys) if damage]
        broken = {damage.key for damage in unreadable}
        named: dict[str, tuple[FileEntry, str]] = {}
        missing: list[Damage] = []
        for key, files in self._named(key for key in keys if key not in broken):
            absent = [file.path for file in files if blob_key(file.sha256) not in sizes]
            if absent:
                found = f"{len(absent)} of its files are gone, such as {absent[0]}; {_again(key)}"
                missing.append(Damage(_part(key), key, found, ""))
            named |= {blob_key(file.sha256): (file, key) for file in files}
        with ThreadPoolExecutor(PARALLEL_FILES) as pool:
            checked = pool.map(lambda key: self._of_blob(key, sizes[key], named.get(key)), sizes)
            return [*unreadable, *missing, *(damage for damage in checked if damage)]

    def mend(self, found: Iterable[Damage]) -> Iterator[Damage]:
        """Yields what is mended, each as it goes; what somebody mended meanwhile is left alone."""
        blobs = []
        for damage in found:
            if damage.part is Part.BLOB:
                blobs.append(damage)
            elif damage.remedy and self._of_document(damage.key):
                self._mend_document(damage)
                yield damage
        yield from self._remove_blobs(blobs)

    # ---- documents

    def _of_document(self, key: str) -> Damage | None:
        """None where the object is readable, or no document of ours."""
        kind = _document(key)
        if kind is None:
            return None
        try:
            data = self.store.read(key)
        except NotFound:
            return None
        try:
            document = kind.model_validate_json(data)
        except ValidationError as error:
            if _is_object(data):  # whole, but not as we write it: to be read by whoever wrote it
                return Damage(_part(key), key, f"{documents.first_problem(error)}; written by another version?", "")
            remedy = self._remedy_of_plan(key) if kind is Plan else _remedy(key)
            return Damage(_part(key), key, "it is cut off, or no JSON", remedy)
        if isinstance(document, ArtifactManifest) and key.startswith("stages/") and document.key != key.split("/")[2]:
            return Damage(_part(key), key, f"it is that of {document.key}", _remedy(key))
        return None

    def _mend_document(self, damage: Damage) -> None:
        address = damage.key.rpartition("/")[0]
        match damage.part:
            case Part.LEASE:
                self.store.put(damage.key, documents.encode(self._free_lease(address)))
            case Part.STUDY if _document(damage.key) is Plan:
                if copy := self._copy_of_plan(damage.key):
                    self.store.put(damage.key, copy)
            case Part.TOMBSTONE if eviction := self._eviction(address):
                self.store.put(damage.key, documents.encode(eviction))
            case _:
                self.store.delete(damage.key)

    def _remedy_of_plan(self, key: str) -> str:
        """Never removed: a plan protects the stages that it names, and is not made anew from today's data."""
        return "write it again from its other copy" if self._copy_of_plan(key) else ""

    def _copy_of_plan(self, key: str) -> bytes | None:
        """The latest plan of a study lies in two places, `plan.json` and below its digest."""
        folder = "/".join(key.split("/")[:2])
        if key == f"{folder}/plan.json":
            entries = sorted(self.store.list(f"{folder}/plans/"), key=lambda info: info.modified)
            return self._plan(entries[-1].key) if entries else None
        found = self._plan(f"{folder}/plan.json")
        return found if found and key.endswith(f"/{Plan.model_validate_json(found).digest}.json") else None

    def _plan(self, key: str) -> bytes | None:
        try:
            data = self.store.read(key)
            Plan.model_validate_json(data)
        except (NotFound, ValidationError):
            return None
        return data

    def _free_lease(self, address: str) -> leases.LeaseDocument:
        """One that nobody holds, with an epoch above all that were given: whoever held it has lost it."""
        if address == deletions.ADDRESS:  # its epochs leave nothing, so time stands for them
            return leases.free(epoch=int(self.store.now()))
        prefix = f"{address}/resume/"
        epochs = [int(info.key.removeprefix(prefix).split("/")[0]) for info in self.store.list(prefix)]
        if manifest := self._manifest(address):
            epochs.append(int(manifest.provenance.get("leaseEpoch", 0)))
        return leases.free(epoch=max(epochs, default=0) + SKIPPED_EPOCHS)

    def _eviction(self, address: str) -> Eviction | None:
        """The tombstone of a manifest whose files are gone; None where there is nothing that it could be about."""
        manifest = self._manifest(address)
        gone = tuple(file for file in manifest.files if not self.store.head(blob_key(file.sha256))) if manifest else ()
        if manifest is None or not gone:
            return None
        return Eviction(
            manifest=manifest.digest,
            study="",
            reason="xstilts repair: the tombstone was not readable, and these files are gone",
            evicted=int(self.store.now() * 1000),
            files=gone,
            state=EvictionState.DELETED,
        )

    def _manifest(self, address: str) -> ArtifactManifest | None:
        try:
            return documents.load(self.store, manifest_key(address), ArtifactManifest)
        except IntegrityError:
            return None

    # ---- blobs

    def _named(self, keys: Iterable[str]) -> Iterator[tuple[str, list[FileEntry]]]:
        """Documents with the files that they need."""

        def load(key: str) -> tuple[str, list[FileEntry]]:
            return key, self._files(key)

        with ThreadPoolExecutor(READERS) as pool:
            yield from pool.map(load, [key for key in keys if _document(key) in {ArtifactManifest, Split}])

    def _files(self, key: str) -> list[FileEntry]:
        if _document(key) is Split:
            split = documents.load(self.store, key, Split)
            return list(split.files) if split else []
        manifest = documents.load(self.store, key, ArtifactManifest)
        if manifest is None:
            return []
        try:
            eviction = evictions.load(self.store, key.rpartition("/")[0])
        except IntegrityError:  # told as such
            return []
        needed = evictions.named_files(manifest, eviction)
        return [file for file in manifest.files if file.sha256 in needed]

    def _of_blob(self, key: str, size: int, named: tuple[FileEntry, str] | None) -> Damage | None:
        expected = key.rpartition("/")[2]
        needed = f"{named[1]}, which names it, " if named else ""
        remedy = f"remove it; {needed}{_again(named[1])}" if named else "remove it; no document names it"
        if named and size != named[0].size:
            return Damage(Part.BLOB, key, f"it has {size:,} bytes of {named[0].size:,}", remedy)
        if self.sizes_only:
            return None
        try:
            found = stored_digest(self.store, key)
        except NotFound:
            return None
        return Damage(Part.BLOB, key, f"its content has sha256 {found}", remedy) if found != expected else None

    def _remove_blobs(self, damages: list[Damage]) -> Iterator[Damage]:
        """Under the lease of deleters: who publishes meanwhile looks again afterwards, and stores what is gone."""
        if not damages:
            return
        with deletions.turn(self.store, holder="xstilts repair") as lease:
            for damage in damages:
                try:
                    mended = stored_digest(self.store, damage.key) == damage.key.rpartition("/")[2]
                except NotFound:
                    continue
                if not mended:
                    lease.check()
                    self.store.delete(damage.key)
                    yield damage


# ---- what lies where


def _document(key: str) -> type[Model] | None:
    """The form of what lies under the key; None for what is no document, or one that nobody depends on."""
    match key.split("/"):
        case ["stages", _, _, "manifest.json"] | ["models" | "tokens", _, "manifest.json"]:
            return ArtifactManifest
        case ["stages", _, _, "lease.json"] | [deletions.ADDRESS, "lease.json"]:
            return leases.LeaseDocument
        case ["stages", _, _, evictions.NAME]:
            return Eviction
        case ["stages", _, _, "receipts", _] | ["studies", _, "receipts", _]:
            return Receipt
        case ["datasets", _, "latest.json"]:
            return Latest
        case ["datasets", _, "splits", _]:
            return Split
        case ["datasets", _, _, "manifest.json"]:
            return DatasetManifest
        case ["studies", _, "plan.json"] | ["studies", _, "plans", _]:
            return Plan
        case ["studies", _, "finished.json"]:
            return Finished
    return None


_PARTS: dict[type[Model], Part] = {
    leases.LeaseDocument: Part.LEASE,
    Eviction: Part.TOMBSTONE,
    Receipt: Part.RECEIPT,
    Latest: Part.DATASET,
    Split: Part.DATASET,
    DatasetManifest: Part.DATASET,
    Plan: Part.STUDY,
    Finished: Part.STUDY,
}


def _part(key: str) -> Part:
    kind = _document(key)
    return _PARTS.get(kind, Part.MANIFEST) if kind else Part.BLOB


def _remedy(key: str) -> str:
    match _part(key):
        case Part.LEASE:
            return "free it, with an epoch above all that were given"
        case Part.TOMBSTONE:
            return "write it again if files of its stage are gone, else remove it"
        case Part.RECEIPT:
            return "remove it; what it is about is published again"
        case Part.STUDY:
            return "remove it; the study counts as active until its next run ends"
    return f"remove it; {_again(key)}"


def _again(key: str) -> str:
    """How that which a document is about comes back."""
    match key.split("/"):
        case ["stages", kind, *_]:
            return f"the stage ({kind}) is made again when a study needs it"
        case ["models", *_]:
            return "the model is imported again by the next study that names it"
        case ["datasets", name, *_]:
            return f"import it again: xstilts data import {name}"
    return "it is made again when it is needed"


def _is_object(data: bytes) -> bool:
    """Whether it is a JSON object with anything in it."""
    try:
        found = json.loads(data)
    except ValueError:
        return False
    return isinstance(found, dict) and bool(found)
