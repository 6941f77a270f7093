"""Eviction: weights that a study's retention does not keep, and that nobody else may need, are deleted.

What makes weights stay is looked at twice: before an eviction is announced, and again after it. A study that is
accepted meanwhile is either seen the second time, or has seen the announcement and reckons without the weights.
Every step is written down before the next begins, so a pass that was cut off is continued by the next one.
"""

import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Protocol, TypeVar

from xstilts.api.study import CheckpointRetention
from xstilts.core import retention
from xstilts.core.manifests import Eviction, EvictionState
from xstilts.core.missing import Done
from xstilts.core.plan import Plan
from xstilts.store import artifacts, evictions
from xstilts.store.blobs import READERS, delete_unnamed
from xstilts.store.port import ObjectStore
from xstilts.store.studies import stored_studies

Result = TypeVar("Result")

PIN = "pin.json"
"""An object of this name beside a manifest keeps the stage's weights; its content is for people."""


class Registry(Protocol):
    """What eviction asks of the tracking server, which stands beside the store and not below it."""

    def kept_stages(self) -> Mapping[str, str]:
        """By stage key, why a person wants its weights: an alias, or a pin."""

    def set_evicted(self, stage_keys: Collection[str], *, evicted: bool) -> None:
        """Marks the registered versions of these stages, or takes the mark away."""


@dataclass(frozen=True, kw_only=True)
class Retained:
    """What a pass of retention did."""

    evicted: tuple[str, ...] = ()
    """Addresses of the stages whose weights went in this pass."""
    freed: int = 0
    """Bytes."""
    spared: Mapping[str, str] = field(default_factory=dict)
    """Addresses of stages that the study would evict, with the reason why they stay."""


def retain(
    store: ObjectStore, registry: Registry, planned: Plan, done: Done, *, checkpoints: CheckpointRetention
) -> Retained:
    """Evicts what `checkpoints` does not keep of a study that has ended. Idempotent.

    `done` is what is made of the plan now. To be called after `studies.mark_finished`: as long as the plan is active,
    it protects its own stages too. The tracking server is not asked where there is nothing to evict.
    """
    return _Pass(store, registry, planned, done, checkpoints).run()


@dataclass
class _Pass:
    store: ObjectStore
    registry: Registry
    planned: Plan
    done: Done
    checkpoints: CheckpointRetention

    def run(self) -> Retained:
        unwanted = self._unwanted()
        if not unwanted:
            return Retained()
        spared = self._protected(unwanted)
        too_late = self._lift(spared.keys() & self.done.evicted)
        announced = self._announced(unwanted - spared.keys())
        self.registry.set_evicted([_key(address) for address in announced], evicted=True)
        late = self._protected(announced)
        too_late |= self._lift(late)
        going = {address: stored for address, stored in announced.items() if address not in late}
        confirmed = self._advanced(going, EvictionState.CONFIRMED)
        blobs = {file.sha256 for stored in confirmed.values() for file in stored.eviction.files}
        deleted = delete_unnamed(self.store, blobs, holder=f"retention of {self.planned.study}")
        self._advanced(confirmed, EvictionState.DELETED)
        return Retained(
            evicted=tuple(sorted(confirmed)),
            freed=sum(blob.size for blob in deleted),
            spared={address: reason for address, reason in (spared | late).items() if address not in too_late},
        )

    def _unwanted(self) -> set[str]:
        """Stages that the study has no more use for, but those whose weights are gone already."""
        made = self.done.manifests
        kept = retention.kept(self.planned, self.checkpoints, made=made, facts=retention.measured(made))
        unwanted = {address for address in retention.trainings(self.planned) if address in made} - kept
        evicted = self._each(unwanted & self.done.evicted, lambda address: evictions.load(self.store, address))
        return {address for address in unwanted if not _is_over(evicted.get(address))}

    # ---- the steps

    def _announced(self, addresses: Collection[str]) -> dict[str, evictions.Stored]:
        """Those that are announced now, by this pass or an earlier one."""
        announced = self._each(addresses, self._announce)
        return {
            address: stored
            for address, stored in announced.items()
            if stored.eviction.concerns(self.done.manifests[address])  # else somebody wants its weights right now
        }

    def _announce(self, address: str) -> evictions.Stored:
        manifest = self.done.manifests[address]
        eviction = Eviction(
            manifest=manifest.digest,
            study=self.planned.study,
            reason=f"retention.checkpoints: {self.checkpoints}",
            evicted=int(time.time() * 1000),
            files=manifest.files,
        )
        return evictions.announce(self.store, address, eviction)

    def _advanced(self, there: Mapping[str, evictions.Stored], state: EvictionState) -> dict[str, evictions.Stored]:
        """Those whose eviction nobody has lifted."""
        moved = self._each(there, lambda address: evictions.advance(self.store, address, there[address], state))
        return {address: stored for address, stored in moved.items() if stored}

    def _lift(self, addresses: Iterable[str]) -> set[str]:
        """Takes back what was announced; those where files are gone already stay evicted, and are returned."""
        gone = set()
        for address in sorted(addresses):
            manifest, eviction = self.done.manifests[address], evictions.load(self.store, address)
            if eviction is None or not eviction.concerns(manifest):  # another was faster
                continue
            if evictions.lift(self.store, address, manifest, eviction):
                self.registry.set_evicted([_key(address)], evicted=False)
                evictions.forget(self.store, address)
            else:
                gone.add(address)
        return gone

    # ---- what protects

    def _protected(self, addresses: Collection[str]) -> dict[str, str]:
        """Which of the addresses are to stay, and why."""
        there = {info.key for info in self.store.list("stages/")}
        wanted = dict(self._wanted_by_studies(there))
        by_people = self.registry.kept_stages()
        for address in addresses:
            if f"{address}/{PIN}" in there:
                wanted[address] = PIN
            elif reason := by_people.get(_key(address)):
                wanted[address] = reason
        return {address: wanted[address] for address in addresses if address in wanted}

    def _wanted_by_studies(self, there: Collection[str]) -> Iterator[tuple[str, str]]:
        for found in stored_studies(self.store):
            plan = found.plan
            if found.kept is None:
                yield from ((address, f"study {plan.study} has not finished") for address in plan.stages)
            elif plan.digest != self.planned.digest and not plan.stages.keys().isdisjoint(self.planned.stages):
                made = [address for address in plan.stages if artifacts.manifest_key(address) in there]
                scored = [address for address in made if plan.stages[address].kind in retention.CHOSEN_BY]
                manifests = self._each(scored, lambda address: artifacts.load_manifest(self.store, address))
                facts = retention.measured({address: manifest for address, manifest in manifests.items() if manifest})
                for address in retention.kept(plan, found.kept, made=made, facts=facts):
                    yield address, f"study {plan.study} keeps it: {found.kept}"

    def _each(self, addresses: Iterable[str], do: Callable[[str], Result]) -> dict[str, Result]:
        """`do` of every address, several at once."""
        ordered = sorted(addresses)
        with ThreadPoolExecutor(READERS) as pool:
            return dict(zip(ordered, pool.map(do, ordered), strict=True))


def _is_over(eviction: Eviction | None) -> bool:
    return eviction is not None and eviction.state is EvictionState.DELETED


def _key(address: str) -> str:
    """The stage's key, which is all that the tracking server knows."""
    return address.rpartition("/")[2]
