"""Everything about the operator, with a tenth of the Studies and with all of them.

    make bench-operator

On one loopback: kube-apiserver with etcd and controllers, an S3 server, an MLflow server, and `xstilts operator`. It
takes twenty minutes on two idle cores, and ends by itself.
"""

import argparse
import time

from benchmarks.operators import footprint, latency, population
from benchmarks.operators.figures import Figure, load, show
from benchmarks.operators.population import SAMPLE, Finished, Size
from benchmarks.operators.restart import restart
from benchmarks.operators.world import World, build


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--studies", type=int, default=1000)
    parser.add_argument("--trials-per-study", type=int, default=10)
    parser.add_argument("--first-jobs", type=int, default=30, help="Studies that are timed to their first Job")
    parser.add_argument("--ends", type=int, default=200, help="Jobs whose end is timed, if as many are at work")
    parser.add_argument("--idle-seconds", type=float, default=180, help="time in which requests are counted")
    parser.add_argument("--quick", action="store_true", help="a tenth of everything, for a first look")
    options = parser.parse_args()
    if options.quick:
        options.studies, options.first_jobs, options.ends, options.idle_seconds = options.studies // 10, 5, 20, 95
    whole = Size(options.studies, options.trials_per_study)
    tenth = Size(max(2, whole.studies // 10), whole.trials_per_study)
    columns: dict[str, list[Figure]] = {}
    with build() as world:
        sample = _sample(world, whole.trials_per_study)
        before = Size(0, whole.trials_per_study)
        for size in (tenth, whole):
            columns[f"{size.trials:,} Trials"] = measure(world, sample, before, size, options)
            before = size
    print(show(columns))
    print(f"! misses its aim. {load()}")


def _sample(world: World, trials: int) -> Finished:
    with world.operator():
        return population.finish(world, SAMPLE, trials=trials, seed=1)


def measure(world: World, sample: Finished, before: Size, size: Size, options: argparse.Namespace) -> list[Figure]:
    """All figures with so many Studies, of which those of `before` are there already."""
    begun = time.monotonic()
    first = 0 if before.studies == 0 else before.finished
    population.add_finished(world, sample, range(first, size.finished))
    _note(f"{size.finished} finished Studies with {sample.study['status']['counts']['trials']} Trials each", begun)
    seed = size.studies * 1000
    with world.operator():
        begun = time.monotonic()
        first = 0 if before.studies == 0 else before.running
        population.add_running(world, range(first, size.running), trials=size.trials_per_study)
        _note(f"{size.running} Studies at work, {len(world.node.active('running-'))} Jobs", begun)
        found = latency.first_jobs(world, options.first_jobs, seed=seed)
        _note("first Jobs", begun)
        found += latency.reactions(world, options.ends)
        _note("reactions", begun)
    found += restart(world, f"refused-{size.studies}")
    _note("restart", begun)
    with world.operator(counted=True, resync_seconds=f"{footprint.SHORT_RESYNC_SECONDS:.0f}") as operator:
        operator.await_ready()
        footprint.await_quiet(world.proxy)
        found += footprint.requests_of_a_study(
            world, f"counted-{size.studies}", trials=size.trials_per_study, seed=seed + 500
        )
        found += footprint.requests_a_minute(world.proxy, options.idle_seconds)
        found += footprint.memory(operator)
    _note("requests and memory", begun)
    return found


def _note(what: str, begun: float) -> None:
    print(f"  {what} after {time.monotonic() - begun:.0f} s; {load()}", flush=True)


if __name__ == "__main__":
    main()
