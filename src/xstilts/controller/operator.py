"""The operator's process: everything put together, started and stopped. What `xstilts operator` runs."""

import gc
import json
import logging
import signal
import threading
import time
from contextlib import ExitStack
from dataclasses import dataclass

from xstilts.cluster.api import ApiCluster
from xstilts.cluster.connection import Connection
from xstilts.cluster.port import SCHEDULES, STUDIES, Object, Resource
from xstilts.controller import metrics, probes
from xstilts.controller.calls import CallQueue
from xstilts.controller.controller import Controller
from xstilts.controller.credentials import Secrets
from xstilts.controller.desk import ChildDesk
from xstilts.controller.effects import Effects
from xstilts.controller.leader import Leader
from xstilts.controller.lending import Lending
from xstilts.controller.loop import about
from xstilts.controller.pace import Pace
from xstilts.controller.resync import WATCHED, Resync
from xstilts.controller.schedule_loop import ScheduleLoop
from xstilts.controller.state import State
from xstilts.controller.watch import Watch
from xstilts.core.errors import PermanentError

LEASE = "xstilts-operator"
WORKERS = 4
"""Threads that decide."""
CALLERS = 8
"""Threads that wait for the desk; half of them for Studies of one namespace where there are others."""
STOP_SECONDS = 15.0
"""Time for calls to end when the operator is stopped."""
STATUS_SECONDS = 1.0
"""Between two statuses of one object that goes on."""
GARBAGE_OBJECTS = 50_000
"""New objects after which Python looks for cycles. By its default of 700 that is half of the time that reading a list
of thousands takes, which has none."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Options:
    """Settings of an operator's process."""

    namespace: str | None
    """Watched; None for all."""
    excluded_namespaces: frozenset[str] = frozenset()
    """Watched as well, but nothing runs there."""
    lease_namespace: str
    """Where the operator itself lives."""
    identity: str
    trainer_image: str
    lease_seconds: float
    resync_seconds: float
    max_running_trials: int
    lending: Lending
    metrics_port: int
    health_port: int


def run(connection: Connection, options: Options) -> None:
    """Until SIGTERM or SIGINT; running Jobs go on without it."""
    gc.set_threshold(GARBAGE_OBJECTS)
    cluster = ApiCluster(connection, answered=metrics.answered)
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    state = State(max_running_trials=options.max_running_trials, excluded_namespaces=options.excluded_namespaces)
    desk = ChildDesk(Secrets(cluster, options.lending))
    calls = CallQueue(CALLERS, of_a_namespace=CALLERS if options.namespace else CALLERS // 2)
    leader = Leader(
        cluster,
        namespace=options.lease_namespace,
        name=LEASE,
        identity=options.identity,
        seconds=options.lease_seconds,
    )
    with ExitStack() as stack:
        stack.callback(calls.join)
        stack.callback(desk.close)  # ends the calls that hang
        stack.callback(calls.close, STOP_SECONDS)
        effects = Effects(cluster, desk, state, options.trainer_image)

        def may_act() -> bool:
            return resync.begun.is_set() and leader.may_act()

        controller = Controller(state=state, effects=effects, calls=calls, may_act=may_act, pace=Pace(STATUS_SECONDS))
        schedules = ScheduleLoop(
            effects=effects, desk=desk, calls=calls, may_act=may_act, excluded_namespaces=options.excluded_namespaces
        )

        def see(resource: Resource, obj: Object, *, deleted: bool = False) -> None:
            if resource != SCHEDULES:
                controller.see(resource, obj, deleted=deleted)
            if resource in {SCHEDULES, STUDIES}:
                schedules.see(resource, obj, deleted=deleted)

        def look_at_all() -> None:
            controller.look_at_all()
            schedules.look_at_all()

        def read_plans() -> None:
            if leader.may_act():
                controller.read_plans()

        def look() -> metrics.Snapshot:
            trials, studies = state.counts()
            age = time.monotonic() - resync.last
            return metrics.Snapshot(trials=trials, studies=studies, watch_age_seconds=age, leads=leader.may_act())

        resync = Resync(
            cluster,
            state,
            see=see,
            read_plans=read_plans,
            look_at_all=look_at_all,
            namespace=options.namespace,
            period=options.resync_seconds,
        )
        watch = Watch(WATCHED, see, connection, options.namespace, after=resync.begun)
        stack.enter_context(
            probes.serve(
                options.health_port,
                healthy=lambda: watch.problem() or ("the watch is stale" if resync.is_stale() else ""),
                ready=lambda: "" if watch.ready.is_set() and resync.begun.is_set() else "not everything is listed yet",
            )
        )
        stack.enter_context(metrics.serve(options.metrics_port, look))
        threads = [
            threading.Thread(target=watch.run, args=(stop,), name="watch"),
            threading.Thread(target=resync.run, args=(stop,), name="resync"),
            threading.Thread(target=leader.keep, args=(stop, look_at_all), name="lease"),
            threading.Thread(target=schedules.work, name="schedules"),
            *(threading.Thread(target=controller.work, name=f"work-{i}") for i in range(WORKERS)),
        ]
        for thread in threads:
            thread.start()
        while not stop.wait(1.0):
            if watch.problem():
                stop.set()
        controller.queue.close()
        schedules.queue.close()
        for thread in threads:
            thread.join()
    if watch.problem():
        raise PermanentError(watch.problem())


class JsonLines(logging.Formatter):
    """A JSON object a line, with the Study that it is about."""

    def format(self, record: logging.LogRecord) -> str:
        document: dict[str, object] = {
            "time": self.formatTime(record, "%Y-%m-%dT%H:%M:%S"),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
        }
        if here := about():
            document[here[0]] = here[1]
        if trial := getattr(record, "trial", ""):
            document["trial"] = trial
        if record.exc_info:
            document["exception"] = self.formatException(record.exc_info)
        return json.dumps(document, ensure_ascii=False)
