"""Two times: from a Study to its first Job, and from a Job's change to the status of its Trial.

Both are taken where they are seen, in watches of this process, so the time of a watch is in both ends of an interval.
"""

import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from benchmarks.operators.figures import Figure, spread
from benchmarks.operators.watching import Sightings, condition, following
from benchmarks.operators.world import World
from cluster.api import Object
from xstilts.api import names

FIRST_JOB_AIM = 1.0
REACTION_AIM = 2.0
PAUSE_SECONDS = 1.0
"""Between two Studies, so that the operator is idle."""
ENDS_A_SECOND = 3.0
"""Two hundred stages of a minute each end about so often."""


# ---- from a Study to its first Job


def first_jobs(world: World, count: int, *, seed: int) -> list[Figure]:
    """Studies of one trial, one after the other; each goes before the next comes."""
    preflights, jobs, wholes = [], [], []
    with _first_jobs_seen(world) as seen:
        for number in range(count):
            time.sleep(PAUSE_SECONDS)
            name = f"first-{seed + number}"
            applied = time.monotonic()
            world.api.post(world.path("studies"), world.small_study(name, seed=seed + number))
            ready, job = seen.wait_for(f"{name} ready", f"{name} job")
            preflights.append(ready - applied)
            jobs.append(job - ready)
            wholes.append(job - applied)
            world.api.delete(world.path("studies", name))
            seen.wait_for(f"{name} gone")
    return [
        *spread("apply to first Job, from both preflights on", jobs, aim=FIRST_JOB_AIM),
        *spread("  the preflights before that", preflights),
        *spread("  all of it", wholes),
    ]


@contextmanager
def _first_jobs_seen(world: World) -> Iterator[Sightings]:
    seen = Sightings()

    def see_study(kind: str, study: Object) -> None:
        name = study["metadata"]["name"]
        if kind == "DELETED":
            seen.note(f"{name} gone")
        elif condition(study, "StorageReady") == condition(study, "TrackingReady") == "True":
            seen.note(f"{name} ready")

    def see_job(_kind: str, job: Object) -> None:
        seen.note(f"{job['metadata']['labels'].get(names.STUDY)} job")

    with ExitStack() as stack:
        stack.enter_context(following(world.api, world.path("studies"), see_study))
        stack.enter_context(following(world.api, world.path("jobs"), see_job))
        yield seen


# ---- from a Job's change to its Trial's status


def reactions(world: World, count: int) -> list[Figure]:
    """Stages of trials at work end, a few a second; what they make room for starts meanwhile."""
    jobs = world.node.active("running-")[:count]
    with ends_seen(world) as seen:
        begun = time.monotonic()
        for number, job in enumerate(jobs):
            time.sleep(max(0.0, begun + number / ENDS_A_SECOND - time.monotonic()))
            world.node.end(job)
        ended = seen.wait_for(*(f"{job} ended" for job in jobs))
        shown = seen.wait_for(*(f"{job} shown" for job in jobs))
    times = [max(0.0, after - before) for before, after in zip(ended, shown, strict=True)]
    return spread("a Job's end to the Trial's status", times, aim=REACTION_AIM)


@contextmanager
def ends_seen(world: World) -> Iterator[Sightings]:
    """When a Job is complete, and when a Trial says so of its stage."""
    seen = Sightings()

    def see_job(_kind: str, job: Object) -> None:
        if condition(job, "Complete") == "True":
            seen.note(f"{job['metadata']['name']} ended")

    def see_trial(_kind: str, trial: Object) -> None:
        for stage in trial.get("status", {}).get("stages", ()):
            if stage["state"] == "Succeeded" and stage.get("job"):
                seen.note(f"{stage['job']} shown")

    with ExitStack() as stack:
        stack.enter_context(following(world.api, world.path("jobs"), see_job))
        stack.enter_context(following(world.api, world.path("trials"), see_trial))
        yield seen
