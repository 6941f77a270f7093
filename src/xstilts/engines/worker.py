"""What a child of the Local engine does: one job in a process of its own, forked from a server that has torch loaded.

Preloaded by the fork server, so importing torch, transformers and MLflow is paid once and not once a stage.
"""

import gc
import importlib
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from multiprocessing import connection, parent_process
from multiprocessing.connection import Connection
from pathlib import Path

from xstilts import tracking
from xstilts.acceptance import store_of
from xstilts.core.errors import ExitCode, XstiltsError
from xstilts.core.results import Outcome
from xstilts.engines.job import Job
from xstilts.stages.bench import Progress
from xstilts.stages.runner import StageRequest, StageRunner, now
from xstilts.tasks import registry
from xstilts.tracking import open_tracker
from xstilts.tracking.port import Tracker
from xstilts.tracking.records import StudyRecord, TrialRecord

importlib.import_module("xstilts.training")  # with torch and transformers
tracking.preload()
registry.tasks()

PROGRESS_SECONDS = 0.2
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")  # a pool of threads does not survive a fork


def run_job(job: Job, parent: Connection) -> None:
    """Sends `Progress` while it works and an `Outcome` at the end; SIGTERM asks it to save and stop."""
    gc.freeze()  # else the collector goes through all that the server loaded: 0.6 s, and a copy of 140 MB of pages
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the engine decides what it means
    threading.Thread(target=_die_with_parent, daemon=True).start()
    _log_to(job.log)
    parent.send(_run(job, parent, stop.is_set))
    parent.close()


def _run(job: Job, parent: Connection, should_stop: Callable[[], bool]) -> Outcome:
    store = store_of(job.store)
    tracker = open_tracker(job.tracking.uri, experiment=job.experiment, store=store.uri)
    if not isinstance(job.work, StageRequest):
        return _publish(job.work, tracker)
    runner = StageRunner(
        store=store,
        tracker=tracker,
        scratch=job.scratch,
        lease_seconds=job.lease_seconds,
        checkpoint_seconds=job.checkpoint_seconds,
        report=_throttled(parent),
        should_stop=should_stop,
    )
    return runner.attempt(job.work)


def _publish(record: TrialRecord | StudyRecord, tracker: Tracker) -> Outcome:
    started, code, reason, message = now(), ExitCode.SUCCEEDED, "Succeeded", ""
    try:
        message = tracker.publish_trial(record) if isinstance(record, TrialRecord) else tracker.publish_study(record)
    except XstiltsError as error:
        code, reason, message = error.exit_code, type(error).__name__, str(error)
    return Outcome(
        exit_code=code,
        reason=reason,
        message=message,
        holder=str(os.getpid()),
        started=started,
        finished=now(),
    )


def _throttled(parent: Connection) -> Callable[[Progress], None]:
    """A training step takes milliseconds: more reports than anybody can read would slow it down."""
    due = 0.0

    def report(progress: Progress) -> None:
        nonlocal due
        if (now := time.monotonic()) >= due:
            due = now + PROGRESS_SECONDS
            parent.send(progress)

    return report


def _die_with_parent() -> None:
    """A killed engine must not leave children that go on writing."""
    engine = parent_process()
    if engine is not None:
        connection.wait([engine.sentinel])
        os._exit(1)


def _log_to(file: Path) -> None:
    """Everything that the job and its libraries print goes to one file."""
    file.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    for stream in (sys.stdout, sys.stderr):
        os.dup2(descriptor, stream.fileno())
    os.close(descriptor)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s", force=True)
