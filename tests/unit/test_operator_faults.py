"""Whatever order things happen in, and whatever is lost on the way, a Study comes to the same end."""

import random
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from simulation import Simulation, address_of, study_document
from xstilts.cluster.answers import Request
from xstilts.cluster.errors import ClusterUnavailable, Conflict
from xstilts.core.errors import ExitCode, StorageUnavailable

STEPS = 400
PATIENT = {"preemptionRetries": 10_000, "outageSeconds": 10_000_000}


class Weather:
    """Requests that fail before or after they are done, at random, until it clears up."""

    def __init__(self, choice: random.Random, share: float) -> None:
        self.choice, self.share, self.stormy = choice, share, False

    def before(self, request: Request) -> None:
        if self._strikes():
            raise self.choice.choice([ClusterUnavailable("500"), ClusterUnavailable("429", delay=0.1), Conflict("409")])

    def after(self, request: Request) -> None:
        if self._strikes():
            raise ClusterUnavailable("the answer was lost")

    def _strikes(self) -> bool:
        return self.stormy and self.choice.random() < self.share


def step(world: Simulation, choice: random.Random) -> None:
    """One of the things that may happen."""
    happenings: list[Any] = [world.decide]
    if world.news:
        happenings += [world.hear] * 4
    if world.calls.waiting:
        happenings += [world.calls.run_next] * 2
    if jobs := world.jobs():
        happenings.append(lambda: world.run(choice.choice(jobs)))
    roll = choice.random()
    if roll < 0.02:
        world.start_operator()
    elif roll < 0.04:
        world.news.clear()  # the watch was cut, and comes back with a listing
        world.relist()
    elif roll < 0.06:
        world.now += choice.choice([-120, -1, 5, 3600])
    elif roll < 0.08 and jobs:
        world.preempt(choice.choice(jobs), choice.randrange(10**9))
    elif roll < 0.10 and jobs:
        world.outage(choice.choice(jobs), choice.randrange(10**9))
    else:
        choice.choice(happenings)()


def calm(world: Simulation) -> None:
    """Time passes, every watch is heard, and every Job ends."""
    for _ in range(60):
        world.now += 120
        world.relist()
        world.controller.look_at_all()
        world.finish()
        if all(world.condition("Succeeded", name)[0] == "True" for name in ("a", "b")):
            return
    raise AssertionError([world.study(name)["status"] for name in ("a", "b")])


@settings(max_examples=12)
@given(st.integers(0, 10**9), st.sampled_from([0.0, 0.05, 0.3]))
def test_random_orders_of_faults_converge_to_the_same_end(seed: int, share: float) -> None:
    choice = random.Random(seed)
    weather = Weather(choice, share)
    world = Simulation(faults=weather, max_running_trials=5)
    world.desk.fault = lambda call: StorageUnavailable("503") if weather._strikes() else None
    documents = {
        "a": study_document("a", failurePolicy=PATIENT),
        "b": study_document("b", failurePolicy=PATIENT, sizes=["0", "100"]),
    }
    for document in documents.values():
        world.apply(document)
    for _ in range(STEPS):
        weather.stormy = True
        try:
            step(world, choice)
        except (ClusterUnavailable, Conflict):
            pass  # of the test's own requests, or of a listing
        finally:
            weather.stormy = False
    calm(world)
    assert set(world.runs.values()) == {1}
    assert set(world.runs) == set(world.planned("a").stages) | set(world.planned("b").stages)
    for name in documents:
        assert set(world.trials(name).values()) == {"Succeeded"}
        plan = world.planned(name)
        assert {(address, name) for address in plan.stages} <= world.desk.published
    generations = [job["metadata"]["labels"]["xstilts.dev/generation"] for job in world.jobs(active=False)]
    assert set(generations) == {"1"}
    assert len({address_of(job) for job in world.jobs(active=False)}) == len(generations)


def fail_or_run(world: Simulation, choice: random.Random) -> None:
    job = choice.choice(world.jobs())
    if choice.random() < 0.5:
        world.run(job)
    else:
        world.fail(job, choice.choice([ExitCode.DIVERGED, ExitCode.FAILED]))


@settings(max_examples=12)
@given(st.integers(0, 10**9), st.sampled_from([0.0, 0.05, 0.3]))
def test_whatever_fails_and_whenever_it_is_retried_each_stage_succeeds_once_in_the_end(seed: int, share: float) -> None:
    choice = random.Random(seed)
    weather = Weather(choice, share)
    world = Simulation(faults=weather, max_running_trials=5)
    world.desk.fault = lambda call: StorageUnavailable("503") if weather._strikes() else None
    world.apply(study_document("a", failurePolicy=PATIENT | {"maxFailedTrials": choice.choice([0, 2, 8])}))
    asked = 0
    for _ in range(STEPS):
        weather.stormy = True
        try:
            roll = choice.random()
            if roll < 0.02:
                asked += 1
                world.retry("a", f"{asked}")
            elif roll < 0.06 and world.jobs():
                fail_or_run(world, choice)
            else:
                step(world, choice)
        except (ClusterUnavailable, Conflict):
            pass
        finally:
            weather.stormy = False
    settle_all(world)
    failed = {name for name, reason in world.trials("a").items() if reason == "StageFailed"}
    succeeded = dict(world.runs)
    world.retry("a", "last")
    settle_all(world)
    assert world.study("a")["status"]["retried"] == "last"
    assert world.condition("Succeeded", "a") == ("True", "Succeeded")
    assert set(world.trials("a").values()) == {"Succeeded"}
    assert set(world.runs.values()) == {1}
    assert set(world.runs) == set(world.planned("a").stages)
    if not failed and len(succeeded) == len(world.planned("a").stages):
        assert dict(world.runs) == succeeded


def settle_all(world: Simulation) -> None:
    """Time passes, every watch is heard, and every Job that is there succeeds."""
    for _ in range(60):
        world.now += 120
        world.relist()
        world.controller.look_at_all()
        world.finish()
        study = world.study("a")
        ended = study.get("status", {}).get("completionTime")
        asked = study["metadata"].get("annotations", {}).get("xstilts.dev/retry", "")
        if ended and study["status"].get("retried", "") == asked:
            return
    raise AssertionError(world.study("a")["status"])
