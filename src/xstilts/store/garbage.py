"""`xstilts gc` in a store: what it finds, and how it removes it while others are at work.

Everything is judged again right before it goes: blobs under the lease of deleters, stages under their own.
"""

import logging
import os
import socket
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass

from xstilts.core.errors import LeaseHeld
from xstilts.core.garbage import LEASE, Garbage, Inventory, Kind, garbage
from xstilts.store import artifacts, evictions, leases
from xstilts.store.blobs import delete_unnamed, naming_documents
from xstilts.store.port import ObjectInfo, ObjectStore, Unfinished
from xstilts.store.studies import stored_studies

LEASE_SECONDS = 30.0

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Sweep:
    """A look at a store, and what follows from it; `older_than` is in seconds."""

    store: ObjectStore
    older_than: float

    def find(self) -> list[Garbage]:
        """Changes nothing. Raises IntegrityError where a plan or a document is not readable: then nothing is judged."""
        entries = [info for prefix in ("preflight/", "stages/", "blobs/") for info in self.store.list(prefix)]
        documents = naming_documents(self.store)
        blobs = {info.key.rpartition("/")[2] for info in entries if info.key.startswith("blobs/")}
        evicted = {info.key.rpartition("/")[0] for info in entries if info.key.endswith(f"/{evictions.NAME}")}
        whole = {key.rpartition("/")[0] for key, content in documents.items() if content <= blobs}
        inventory = Inventory(
            entries=entries,
            named=set().union(*documents.values()),
            made=whole - evicted,
            planned=self._planned(),
            now=self.store.now(),
            older_than=self.older_than,
        )
        return [*garbage(inventory), *(_of_upload(upload) for upload in self._old_uploads())]

    def remove(self, found: Iterable[Garbage]) -> Iterator[Garbage]:
        """Yields what is gone, each as it goes: what somebody began to use meanwhile stays."""
        by_kind: dict[Kind, list[Garbage]] = {}
        for thing in found:
            by_kind.setdefault(thing.kind, []).append(thing)
        for thing in by_kind.get(Kind.PREFLIGHT, ()):
            self.store.delete(thing.place)
            yield thing
        planned = self._planned()  # again: a study may have been accepted
        for thing in [*by_kind.get(Kind.CHECKPOINT, ()), *by_kind.get(Kind.STAGE, ())]:
            if self._remove_of_stage(thing, planned):
                yield thing
        yield from self._remove_blobs(by_kind.get(Kind.BLOB, []))
        yield from self._remove_uploads(by_kind.get(Kind.UPLOAD, []))

    def _planned(self) -> set[str]:
        return {address for study in stored_studies(self.store) for address in study.plan.stages}

    # ---- each kind

    def _remove_of_stage(self, thing: Garbage, planned: Collection[str]) -> bool:
        address = "/".join(thing.place.split("/")[:3])
        holder = f"xstilts gc, {socket.gethostname()}/{os.getpid()}"
        try:
            with leases.hold(self.store, address, holder=holder, ttl_seconds=LEASE_SECONDS) as lease:
                entries = [info for info in self.store.list(f"{address}/") if info.key != f"{address}/{LEASE}"]
                if thing.place not in {again.place for again in self._judged(address, entries, planned)}:
                    return False
                for info in entries:
                    if info.key.startswith(thing.place):
                        lease.check()
                        self.store.delete(info.key)
        except LeaseHeld as error:
            log.warning("%s stays: %s", thing.place, error)
            return False
        return True

    def _judged(self, address: str, entries: list[ObjectInfo], planned: Collection[str]) -> Iterator[Garbage]:
        """The stage alone, under its lease."""
        manifest = artifacts.load_manifest(self.store, address)
        whole = manifest and not evictions.load(self.store, address) and artifacts.verify(self.store, manifest)
        made = {address} if whole else set[str]()
        now = self.store.now()
        yield from garbage(
            Inventory(entries=entries, named=(), made=made, planned=planned, now=now, older_than=self.older_than)
        )

    def _remove_blobs(self, things: list[Garbage]) -> Iterator[Garbage]:
        now = self.store.now()
        deleted = delete_unnamed(
            self.store,
            [thing.place.rpartition("/")[2] for thing in things],
            holder="xstilts gc",
            condemned=lambda blob: now - blob.modified > self.older_than,
        )
        gone = {info.key for info in deleted}
        yield from (thing for thing in things if thing.place in gone)

    def _remove_uploads(self, things: list[Garbage]) -> Iterator[Garbage]:
        there = {_of_upload(upload): upload for upload in self._old_uploads()}
        for thing in things:
            if upload := there.get(thing):
                self.store.abort(upload)
                yield thing

    def _old_uploads(self) -> list[Unfinished]:
        now = self.store.now()
        return [upload for upload in self.store.unfinished() if now - upload.started > self.older_than]


def _of_upload(upload: Unfinished) -> Garbage:
    place = f"{upload.key} ({upload.id})" if upload.key else upload.id
    return Garbage(Kind.UPLOAD, place, "its writer was cut off", upload.size, upload.started)
