"""What Prometheus can ask the operator: counts of what it does, and of what it knows at the moment it is asked.

The loops call the functions below, from any thread. No label holds a Study's or Trial's name: ten thousand of them
would be ten thousand time series, and `kubectl get` tells more of each.
"""

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

from prometheus_client import (
    GC_COLLECTOR,
    PROCESS_COLLECTOR,
    CollectorRegistry,
    Counter,
    Histogram,
    start_http_server,
)
from prometheus_client.metrics_core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

REGISTRY = CollectorRegistry()
REGISTRY.register(PROCESS_COLLECTOR)
REGISTRY.register(GC_COLLECTOR)

_RECONCILES = Counter(
    "xstilts_reconciles", "Passes over an object, by how they went.", ("kind", "result"), registry=REGISTRY
)
_RECONCILE_SECONDS = Histogram(
    "xstilts_reconcile_seconds",
    "Time of a pass, with the requests that it made.",
    ("kind",),
    buckets=(0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1, 3, 10),
    registry=REGISTRY,
)
_DESK_SECONDS = Histogram(
    "xstilts_desk_seconds",
    "Time of a call that works with store and MLflow.",
    ("call",),
    buckets=(0.03, 0.1, 0.3, 1, 3, 10, 30, 100, 300),
    registry=REGISTRY,
)
_STAGES_REUSED = Counter(
    "xstilts_stages_reused", "Stages of accepted plans whose result was there already.", registry=REGISTRY
)
_API_REQUESTS = Counter(
    "xstilts_api_requests",
    "Answers of the API server, watches apart; code 0 where none came.",
    ("verb", "resource", "code"),
    registry=REGISTRY,
)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What there is, when Prometheus asks."""

    trials: Mapping[tuple[str, str], int] = field(default_factory=dict)
    """By namespace and state, as in `status.counts` of a Study."""
    studies: Mapping[tuple[str, str, str], int] = field(default_factory=dict)
    """By namespace, condition and its status; a Study counts once for each of its conditions."""
    watch_age_seconds: float = 0.0
    """Since it was last seen that the watch shows everything."""
    leads: bool = False
    """Whether this operator is the one that acts."""


# ---- told by the loops


def reconciled(kind: str, result: str, seconds: float) -> None:
    """A pass over one object."""
    _RECONCILES.labels(kind, result).inc()
    _RECONCILE_SECONDS.labels(kind).observe(seconds)


def called(call: str, seconds: float) -> None:
    """A call of the desk."""
    _DESK_SECONDS.labels(call).observe(seconds)


def stages_reused(count: int) -> None:
    """A plan was accepted of which so many stages were there."""
    _STAGES_REUSED.inc(count)


def answered(verb: str, resource: str, code: int) -> None:
    """The API server has answered a request, or has not."""
    _API_REQUESTS.labels(verb, resource, str(code)).inc()


# ---- asked by Prometheus


class _Gauges(Collector):
    """Counted when asked, so that they can't drift from the truth."""

    def __init__(self, look: Callable[[], Snapshot]) -> None:
        self._look = look

    def describe(self) -> Iterator[Metric]:
        """So that registering does not look: the operator may not be ready yet."""
        return _gauges(Snapshot())

    def collect(self) -> Iterator[Metric]:
        return _gauges(self._look())


def _gauges(found: Snapshot) -> Iterator[Metric]:
    trials = GaugeMetricFamily("xstilts_trials", "Trials by where they stand.", labels=("namespace", "state"))
    for labels, count in found.trials.items():
        trials.add_metric(labels, count)
    studies = GaugeMetricFamily(
        "xstilts_studies", "Studies by their conditions.", labels=("namespace", "condition", "status")
    )
    for conditions, count in found.studies.items():
        studies.add_metric(conditions, count)
    yield trials
    yield studies
    yield GaugeMetricFamily(
        "xstilts_watch_age_seconds", "Since the watch was last seen to show everything.", found.watch_age_seconds
    )
    yield GaugeMetricFamily("xstilts_leader", "Whether this operator is the one that acts.", found.leads)


@contextmanager
def serve(port: int, look: Callable[[], Snapshot]) -> Iterator[int]:
    """Answers /metrics on the port (0: a free one), which is yielded, for as long as the context lasts."""
    gauges = _Gauges(look)
    REGISTRY.register(gauges)
    try:
        server, thread = start_http_server(port, registry=REGISTRY)
        try:
            yield server.server_port
        finally:
            server.shutdown()
            server.server_close()
            _join(thread)
    finally:
        REGISTRY.unregister(gauges)


def _join(thread: threading.Thread) -> None:
    thread.join(timeout=10)
    assert not thread.is_alive()
