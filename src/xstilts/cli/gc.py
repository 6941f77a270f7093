"""`xstilts gc`: what nobody needs any more, in a store, on its tracking server, and in the cluster."""

import re
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Annotated, Protocol

import typer
from rich.console import Console
from rich.table import Table

from xstilts.cli import stores, terminal
from xstilts.cli.cluster import ContextOption, NamespaceOption, connected
from xstilts.cli.stores import CaFileOption, EndpointOption, PathStyleOption, RegionOption
from xstilts.cluster.orphans import Orphan, orphans, remove_orphan
from xstilts.cluster.port import Cluster
from xstilts.core.errors import UserError
from xstilts.core.garbage import MANIFEST, Garbage, Kind
from xstilts.store.garbage import Sweep
from xstilts.store.port import ObjectStore
from xstilts.store.studies import stored_studies
from xstilts.tracking import Leftover, Needed, Tracker, open_tracker

SHOWN = 20
"""Rows of each kind; the rest is counted."""
UNITS = {"m": 60, "h": 3600, "d": 24 * 3600}
KINDS = {"run": Kind.RUN, "model": Kind.MODEL, "version": Kind.VERSION}


def gc(
    store: Annotated[str | None, typer.Option(help="s3://bucket/prefix or a directory.")] = None,
    tracking: Annotated[
        str | None, typer.Option(help="Tracking server of its studies: http(s)://… or sqlite:///….")
    ] = None,
    cluster: Annotated[bool, typer.Option("--cluster", help="Look for objects in the cluster.")] = False,
    older_than: Annotated[str, typer.Option(help="Age below which all is left alone: 24h, 7d, 90m.")] = "24h",
    delete: Annotated[bool, typer.Option("--delete", help="Remove what is found; without it nothing changes.")] = False,
    namespace: NamespaceOption = None,
    context: ContextOption = None,
    endpoint: EndpointOption = None,
    region: RegionOption = None,
    path_style: PathStyleOption = None,
    ca_file: CaFileOption = None,
) -> None:
    """List what no study needs any more, or remove it.

    In a store: blobs that no document names, training checkpoints of published stages, what stages of no study left,
    uploads that were cut off. On its tracking server: runs that nobody ended, models and versions of stages that are
    gone, duplicates. In the cluster: Trials, and Jobs that have ended, whose Studies are gone.

    What a plan in the store names stays, and what has an alias or a pin. Studies may run meanwhile.
    """
    opened = None
    if store:
        opened = stores.opened(store, endpoint=endpoint, region=region, path_style=path_style, ca_file=ca_file)
    places = list(_places(opened, tracking, cluster, seconds(older_than), namespace, context))
    console = terminal.console()
    found = [(place, place.find()) for place in places]
    show(console, [thing for _, things in found for thing in things])
    if not any(things for _, things in found):
        return
    if not delete:
        console.print("Nothing was changed: --delete removes these.")
        return
    console.print("Removed:")
    show(console, [thing for place, things in found for thing in place.remove(things)], rows=0)


def seconds(age: str) -> float:
    """Of `90m`, `24h`, `7d`."""
    if not (match := re.fullmatch(r"(\d+(?:\.\d+)?)([mhd])", age)):
        raise UserError(f"--older-than {age!r}: write a number of minutes, hours or days, such as 90m, 24h or 7d")
    return float(match[1]) * UNITS[match[2]]


def _places(
    store: ObjectStore | None,
    tracking: str | None,
    cluster: bool,
    age: float,
    namespace: str | None,
    context: str | None,
) -> Iterator["Place"]:
    if tracking and store is None:
        raise UserError(f"--tracking {tracking}: what is needed there is told by a store; add --store URI")
    if store is None and not cluster:
        raise UserError("gc: say where to look: --store URI, --cluster, or both")
    if store:
        yield InStore(Sweep(store, age))
        if tracking:
            yield OnServer(open_tracker(tracking, experiment="gc", store=store.uri), store, age)
    if cluster:
        reached = connected(context)
        yield InCluster(reached, namespace or reached.namespace, age)


# ---- where things are


class Place(Protocol):
    """Where something may lie that nobody needs."""

    def find(self) -> list[Garbage]:
        """Changes nothing."""

    def remove(self, things: Sequence[Garbage]) -> list[Garbage]:
        """What of it is gone now; things that somebody began to use stay."""


@dataclass(frozen=True)
class InStore:
    sweep: Sweep

    def find(self) -> list[Garbage]:
        return self.sweep.find()

    def remove(self, things: Sequence[Garbage]) -> list[Garbage]:
        return list(self.sweep.remove(things))


@dataclass(frozen=True)
class OnServer:
    """A tracking server, as far as the store has published there."""

    tracker: Tracker
    store: ObjectStore
    age: float

    def find(self) -> list[Garbage]:
        return [_of_leftover(leftover) for leftover in self.tracker.leftovers(self._needed())]

    def remove(self, things: Sequence[Garbage]) -> list[Garbage]:
        return [_of_leftover(leftover) for leftover in self.tracker.remove_leftovers(self._needed())]

    def _needed(self) -> Needed:
        made = [info.key for info in self.store.list("stages/") if info.key.endswith(f"/{MANIFEST}")]
        return Needed(
            store=self.store.uri,
            stages={key.split("/")[2] for key in made},
            ended={study.plan.study for study in stored_studies(self.store) if study.kept is not None},
            before=self.store.now() - self.age,
        )


@dataclass(frozen=True)
class InCluster:
    cluster: Cluster
    namespace: str
    age: float

    def find(self) -> list[Garbage]:
        return [_of_orphan(orphan) for orphan in self._orphans()]

    def remove(self, things: Sequence[Garbage]) -> list[Garbage]:
        gone = [orphan for orphan in self._orphans() if _of_orphan(orphan) in things]
        for orphan in gone:
            remove_orphan(self.cluster, orphan)
        return [_of_orphan(orphan) for orphan in gone]

    def _orphans(self) -> list[Orphan]:
        return list(orphans(self.cluster, self.namespace, before=time.time() - self.age))


def _of_leftover(leftover: Leftover) -> Garbage:
    return Garbage(KINDS[leftover.kind], leftover.name, leftover.why, 0, leftover.created)


def _of_orphan(orphan: Orphan) -> Garbage:
    place = f"{orphan.resource.kind} {orphan.namespace}/{orphan.name}"
    return Garbage(Kind.OBJECT, place, orphan.why, 0, orphan.created)


# ---- what is shown


def show(console: Console, things: Sequence[Garbage], *, rows: int = SHOWN) -> None:
    """A table with the oldest of each kind, and a line a kind with how much there is."""
    if not things:
        console.print("nothing")
        return
    by_kind = {kind: [thing for thing in things if thing.kind is kind] for kind in Kind}
    if rows:
        console.print(_table(by_kind.values(), rows))
    for kind, of_kind in by_kind.items():
        if of_kind:
            size = f", {_size(sum(thing.size for thing in of_kind))}" if any(thing.size for thing in of_kind) else ""
            console.print(f"{kind}: {len(of_kind):,}{size}")


def _table(kinds: Iterable[list[Garbage]], rows: int) -> Table:
    table = Table("what", "where", "why", "size", "age")
    for of_kind in kinds:
        for thing in sorted(of_kind, key=lambda thing: thing.modified)[:rows]:
            table.add_row(thing.kind, thing.place, thing.why, _size(thing.size) if thing.size else "", _age(thing))
        if len(of_kind) > rows:
            table.add_row(of_kind[0].kind, f"and {len(of_kind) - rows:,} more")
    return table


def _age(thing: Garbage) -> str:
    hours = (time.time() - thing.modified) / 3600
    return f"{hours / 24:.0f} d" if hours >= 48 else f"{hours:.0f} h"


def _size(size: float) -> str:
    for unit in ("B", "kB", "MB", "GB"):
        if size < 1000:
            return f"{size:.3g} {unit}"
        size /= 1000
    return f"{size:,.3g} TB"
