"""What the operator costs: requests to the API server, counted by a proxy before it, and memory."""

import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import psutil

from benchmarks.operators.figures import Figure
from benchmarks.operators.population import finish
from benchmarks.operators.watching import DEADLINE_SECONDS
from benchmarks.operators.world import Operator, World
from cluster.api_proxy import ApiProxy
from cluster.api_requests import Request

IDLE_AIM = 60.0
MEMORY_AIM = 400.0
RESYNC_SECONDS = 300.0
"""The default."""
SHORT_RESYNC_SECONDS = 90.0
"""Of the operator that is counted, so that some are in the time; their lists count as often as in the default."""
QUIET_SECONDS = 8.0


def _is_work(request: Request) -> bool:
    return request.resource != "leases" and request.verb not in {"watch", "list"}


def await_quiet(proxy: ApiProxy) -> None:
    """Until the operator asks for nothing but its lease and what it looks at now and then."""
    count, since = -1, time.monotonic()
    deadline = time.monotonic() + DEADLINE_SECONDS
    while time.monotonic() - since < QUIET_SECONDS:
        found = sum(map(_is_work, proxy.requests))
        if found != count:
            count, since = found, time.monotonic()
        if time.monotonic() > deadline:
            raise TimeoutError("the operator does not come to rest")
        time.sleep(0.2)


# ---- requests


def requests_of_a_study(world: World, name: str, *, trials: int, seed: int) -> list[Figure]:
    """All requests of a Study from its start to its report, for each of its trials, beside what is aimed at."""
    world.proxy.forget_requests()
    finish(world, name, trials=trials, seed=seed)
    await_quiet(world.proxy)
    counted = Counter((r.verb, r.resource) for r in world.proxy.requests if _is_work(r))
    jobs = counted["create", "jobs"]
    _explain(counted, f"Study of {trials} trials, {jobs} Jobs")
    return [
        Figure(f"requests a trial, {jobs / trials:.1f} Jobs each", counted.total() / trials, "", 3 * jobs / trials + 4),
    ]


def requests_a_minute(proxy: ApiProxy, seconds: float) -> list[Figure]:
    """With nothing to do; lease, watches and the lists of resyncs among them."""
    proxy.forget_requests()
    time.sleep(seconds)
    counted = Counter((r.verb, r.resource) for r in proxy.requests)
    _explain(counted, f"{seconds:.0f} s in which nothing happened")
    resyncs = counted["list", "studies"] and round(seconds / SHORT_RESYNC_SECONDS)
    lists = _total(counted, lambda verb: verb == "list")
    others = counted.total() - lists
    by_resync = lists / resyncs if resyncs else 0.0
    rate = others / seconds * 60 + by_resync * 60 / RESYNC_SECONDS
    return [
        Figure("requests a minute, idle", rate, "", IDLE_AIM),
        Figure("  lists of a resync", by_resync, ""),
    ]


def _total(counted: Counter[tuple[str, str]], holds: Callable[[str], bool]) -> int:
    return sum(count for (verb, _), count in counted.items() if holds(verb))


def _explain(counted: Counter[tuple[str, str]], what: str) -> None:
    entries = ", ".join(f"{verb} {resource} {count}" for (verb, resource), count in counted.most_common())
    print(f"  {what}: {entries}", flush=True)


# ---- memory


def memory(operator: Operator) -> list[Figure]:
    """Resident, in megabytes."""
    process = psutil.Process(operator.process.pid)
    children = process.children(recursive=True)
    return [
        Figure("memory of the operator", process.memory_info().rss / 1e6, "MB", MEMORY_AIM),
        Figure("  its highest, with everything just listed", _highest(process.pid), "MB"),
        Figure("  its children", sum(child.memory_info().rss for child in children) / 1e6, "MB"),
    ]


def _highest(pid: int) -> float:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) * 1024 / 1e6
