"""A full look at the cluster: before anything is decided, and every now and then beside the watch.

A watch begins with what is there, object by object and in no order; who acts on half of that asks for Trials and Jobs
that are there already. And watches have been seen to fall silent without an error. So what a later listing shows
and the watch has not told after a while was missed: it is taken up, and counted. Where that happens twice in a row the
watch is taken for stale, and the liveness probe says so.
"""

import logging
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from xstilts.api import names
from xstilts.cluster.errors import NotInstalled
from xstilts.cluster.port import JOBS, PODS, SCHEDULES, STUDIES, TRAIN_JOBS, TRIALS, Cluster, Object, Resource
from xstilts.controller.objects import Key
from xstilts.controller.state import State
from xstilts.controller.watch import Sees
from xstilts.core.errors import XstiltsError

GRACE_SECONDS = 10.0
"""Time that the watch has to tell of what a listing shows."""
FIRST_SECONDS = 60.0
"""Time to the second look: what went between the first one and the begin of the watch is told by neither."""
RETRY_SECONDS = 2.0
OURS: Mapping[str, str] = {names.MANAGED_BY: names.MANAGER}
WATCHED: Mapping[Resource, Mapping[str, str]] = {
    JOBS: OURS,
    TRAIN_JOBS: OURS,
    PODS: OURS,
    SCHEDULES: {},
    STUDIES: {},
    TRIALS: {},
}
"""What the operator watches, and the labels by which the API server sorts it out. Trials, the many, are listed last."""

log = logging.getLogger(__name__)


@dataclass
class Resync:
    """Lists everything that is watched, every now and then."""

    cluster: Cluster
    state: State
    see: Sees
    read_plans: Callable[[], None]
    """Begins to read what will be needed of the store when all but Trials are listed, which takes as long."""
    look_at_all: Callable[[], None]
    """Every object, whether or not there is news of it."""
    namespace: str | None
    period: float
    clock: Callable[[], float] = time.monotonic
    last: float = field(default_factory=time.monotonic)
    """When the last one was complete."""
    missed_in_a_row: int = 0
    begun: threading.Event = field(default_factory=threading.Event)
    """Set when all has been seen once."""

    def is_stale(self) -> bool:
        """Whether what the operator knows can't be relied on."""
        return self.missed_in_a_row >= 2 or self.clock() - self.last > 3 * self.period + GRACE_SECONDS

    def run(self, stop: threading.Event) -> None:
        while not self._done(self.begin):
            if stop.wait(RETRY_SECONDS):
                return
        pause = min(self.period, FIRST_SECONDS)
        while not stop.wait(pause):
            self._done(lambda: self.once(stop.wait))
            pause = self.period

    @staticmethod
    def _done(look: Callable[[], object]) -> bool:
        try:
            look()
        except XstiltsError as error:
            log.warning("resync: %s", error)
            return False
        return True

    def begin(self) -> None:
        """The first look."""
        for resource, labels in WATCHED.items():
            if resource == TRIALS:
                self.read_plans()
            try:
                for obj in self.cluster.list(resource, self.namespace, labels=labels):
                    self.see(resource, obj, deleted=False)
            except NotInstalled:
                log.info("%s are not installed", resource.plural)
        self.last = self.clock()
        self.begun.set()
        self.look_at_all()

    def once(self, wait: Callable[[float], object]) -> int:
        """Number of objects of which the watch had not told."""
        suspects = [
            (resource, obj, deleted)
            for resource, labels in WATCHED.items()
            if resource not in {PODS, SCHEDULES}
            for obj, deleted in self._differences(resource, labels)
        ]
        if suspects:
            wait(GRACE_SECONDS)
        missed = [entry for entry in suspects if self._still_unknown(*entry)]
        for resource, obj, deleted in missed:
            log.warning("the watch has not told of %s %s", resource, "/".join(_key(obj)))
            self.see(resource, obj, deleted=deleted)
        self.missed_in_a_row = self.missed_in_a_row + 1 if missed else 0
        self.last = self.clock()
        self.look_at_all()
        return len(missed)

    def _differences(self, resource: Resource, labels: Mapping[str, str]) -> list[tuple[Object, bool]]:
        known = self.state.versions(resource)
        found: list[tuple[Object, bool]] = []
        there: set[Key] = set()
        try:
            for obj in self.cluster.list(resource, self.namespace, labels=labels):
                there.add(_key(obj))
                if known.get(_key(obj)) != (obj["metadata"]["uid"], obj["metadata"]["resourceVersion"]):
                    found.append((obj, False))
        except NotInstalled:
            return []
        gone = [self.state.remembered(resource, key) for key in known.keys() - there]
        return [*found, *((obj, True) for obj in gone if obj)]

    def _still_unknown(self, resource: Resource, obj: Object, deleted: bool) -> bool:
        now = self.state.versions(resource).get(_key(obj))
        uid, version = obj["metadata"]["uid"], obj["metadata"].get("resourceVersion", "0")
        if deleted:
            return now is not None and now[0] == uid and self.cluster.get(resource, *_key(obj)) is None
        return now is None or (now[0] == uid and int(now[1]) < int(version))


def _key(obj: Object) -> Key:
    return Key(obj["metadata"]["namespace"], obj["metadata"]["name"])
