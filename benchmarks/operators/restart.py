"""How long an operator that was away needs until it is abreast of everything that happened meanwhile."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

from benchmarks.operators.figures import Figure
from benchmarks.operators.latency import ends_seen
from benchmarks.operators.watching import Sightings, condition, following
from benchmarks.operators.world import World
from cluster.api import Object

FULL_STATE_AIM = 30.0


def restart(world: World, marker: str) -> list[Figure]:
    """While it is away a stage of each Study at work ends, and a Study comes that needs no store to be refused."""
    jobs = {world.node.study_of(job): job for job in world.node.active("running-")}.values()
    with ends_seen(world) as seen, _refusal_seen(world, marker) as refused:
        for job in jobs:
            world.node.end(job)
        seen.wait_for(*(f"{job} ended" for job in jobs))
        document = world.small_study(marker, seed=1)
        document["spec"]["engine"] = {"type": "Kubeflow"}
        world.api.post(world.path("studies"), document)
        begun = time.monotonic()
        with world.operator() as operator:
            ready = operator.await_ready() - begun
            (first,) = refused.wait_for(marker)
            full = max(seen.wait_for(*(f"{job} shown" for job in jobs)))
            world.api.delete(world.path("studies", marker))
            refused.wait_for("gone")
    return [
        Figure("restart to /readyz", ready, "s"),
        Figure("restart to the refusal of a new Study", first - begun, "s"),
        Figure("restart to full state, an end in each Study at work", full - begun, "s", FULL_STATE_AIM),
    ]


@contextmanager
def _refusal_seen(world: World, marker: str) -> Iterator[Sightings]:
    seen = Sightings()

    def see(kind: str, study: Object) -> None:
        if study["metadata"]["name"] == marker:
            if condition(study, "Accepted") == "False":
                seen.note(marker)
            if kind == "DELETED":
                seen.note("gone")

    with following(world.api, world.path("studies"), see):
        yield seen
