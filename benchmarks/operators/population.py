"""Studies and Trials that are there: copies of one that the operator brought to its end, and Studies at work.

Copies are written through the API while the operator is away, object and status, as it left them. Their Jobs are gone,
as they are a day after their end.
"""

import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from benchmarks.operators.watching import DEADLINE_SECONDS, condition
from benchmarks.operators.world import World
from cluster.api import Object
from xstilts.api.study import API_VERSION

SAMPLE = "sample"
WRITERS = 12
RUNNING_SHARE = 0.05
"""Studies that are at work, of all."""
SETTLED_SECONDS = 2.0


@dataclass(frozen=True)
class Size:
    """How many of everything there is."""

    studies: int
    trials_per_study: int

    @property
    def trials(self) -> int:
        return self.studies * self.trials_per_study

    @property
    def running(self) -> int:
        return max(1, round(self.studies * RUNNING_SHARE))

    @property
    def finished(self) -> int:
        return self.studies - self.running


@dataclass(frozen=True)
class Finished:
    """A Study that has ended, with its Trials, to be copied."""

    study: Object
    trials: list[Object]


def finish(world: World, name: str, *, trials: int, seed: int) -> Finished:
    """Has the operator bring a Study to its end."""
    world.node.hurried.add(name)
    world.place.apply(world.study(name, trials=trials, seed=seed))
    deadline = time.monotonic() + DEADLINE_SECONDS
    while condition(found := world.api.get(world.path("studies", name)), "Succeeded") != "True":
        if time.monotonic() > deadline or condition(found, "Succeeded") == "False":
            raise TimeoutError(f"Study {name} did not succeed: {found.get('status')}")
        time.sleep(0.2)
    return Finished(found, world.items("trials", labelSelector=f"xstilts.dev/study={name}"))


# ---- copies


def add_finished(world: World, sample: Finished, numbers: Iterable[int]) -> None:
    """A copy of the sample for each number; the operator must be away."""
    with ThreadPoolExecutor(WRITERS) as pool:
        for _ in pool.map(lambda number: _copy(world, sample, f"finished-{number:05d}"), numbers):
            pass


def _copy(world: World, sample: Finished, name: str) -> None:
    made = _write(world, "studies", sample.study, name, {"finalizers": sample.study["metadata"]["finalizers"]})
    for trial in sample.trials:
        owner = {**trial["metadata"]["ownerReferences"][0], "name": name, "uid": made["metadata"]["uid"]}
        labels = trial["metadata"]["labels"] | {"xstilts.dev/study": name}
        renamed = {**trial, "spec": {**trial["spec"], "study": name}}
        trial_name = trial["metadata"]["name"].replace(SAMPLE, name, 1)
        _write(world, "trials", renamed, trial_name, {"labels": labels, "ownerReferences": [owner]})


def _write(world: World, plural: str, like: Object, name: str, metadata: Object) -> Object:
    document = {"apiVersion": API_VERSION, "kind": like["kind"], "metadata": {"name": name, **metadata}}
    made = world.api.post(world.path(plural), document | {"spec": like["spec"]})
    world.api.patch(f"{world.path(plural, name)}/status", {"status": like["status"]})
    return made


# ---- at work


def add_running(world: World, numbers: Iterable[int], *, trials: int) -> None:
    """Studies of the operator's own, until as many of their trials are at work as they allow."""
    documents = [world.study(f"running-{number:05d}", trials=trials, seed=10_000 + 100 * number) for number in numbers]
    for document in documents:
        world.place.apply(document)
    wanted = len(world.node.active("running-")) + sum(min(trials, each["spec"]["parallelism"]) for each in documents)
    deadline, found, since = time.monotonic() + DEADLINE_SECONDS, -1, time.monotonic()
    while found < wanted or time.monotonic() - since < SETTLED_SECONDS:
        active = len(world.node.active("running-"))
        if active != found:
            found, since = active, time.monotonic()
        if time.monotonic() > deadline:
            raise TimeoutError(f"{found} of {wanted} stages are at work")
        time.sleep(0.2)
