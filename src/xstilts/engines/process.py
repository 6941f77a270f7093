"""Child processes of the Local engine, forked from a server that has torch and MLflow loaded already."""

import multiprocessing
import signal
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing import connection, forkserver
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Self

from xstilts.core.errors import ExitCode
from xstilts.core.results import Outcome
from xstilts.engines.job import WORKER, Job, run_job
from xstilts.stages.bench import Progress
from xstilts.stages.runner import now

GRACE_SECONDS = 30.0
"""Time that stages get to save their progress when the engine is asked to stop."""
_FROM_OUTSIDE = (-signal.SIGKILL, -signal.SIGTERM, -signal.SIGHUP, 255)
"""Exit codes of a process that somebody else ended; the last is all that is known where the fork server itself died."""


def start_server() -> None:
    """Once; it takes seconds to load all, in which the caller may do something else."""
    forkserver.set_forkserver_preload([WORKER])
    forkserver.ensure_running()


@dataclass
class Child:
    """A process, and what it says."""

    process: BaseProcess
    channel: Connection
    log: Path
    started: int = field(default_factory=now)
    outcome: Outcome | None = None
    """In its own words."""

    @classmethod
    def spawn(cls, job: Job) -> Self:
        start_server()
        context = multiprocessing.get_context("forkserver")
        ours, theirs = context.Pipe(duplex=False)
        process = context.Process(target=run_job, args=(job, theirs))
        with _without_script():
            process.start()
        theirs.close()
        return cls(process, ours, job.log)

    @property
    def signals(self) -> tuple[Connection | int, ...]:
        return (self.process.sentinel,) if self.channel.closed else (self.channel, self.process.sentinel)

    def messages(self) -> Iterator[Progress]:
        """Progress that has arrived; keeps the outcome."""
        try:
            while not self.channel.closed and self.channel.poll():
                message = self.channel.recv()
                if isinstance(message, Outcome):
                    self.outcome = message
                else:
                    yield message
        except EOFError:
            self.channel.close()

    @property
    def has_ended(self) -> bool:
        return not self.process.is_alive() and (self.channel.closed or not self.channel.poll())

    @property
    def ending(self) -> Outcome:
        """How the process ended, in its own words if it had time for them."""
        if self.outcome:
            return self.outcome
        code, number = ExitCode.FAILED, self.process.exitcode or 0
        told = f"exit code {number}" if number >= 0 else signal.Signals(-number).name
        if number in _FROM_OUTSIDE:
            code, told = ExitCode.PREEMPTED, f"{told} from outside, as when memory runs out"
        return Outcome(
            exit_code=code,
            reason="ProcessDied",
            message=f"{told}; see {self.log}",
            holder=str(self.process.pid),
            started=self.started,
            finished=now(),
        )

    def wait(self) -> Outcome:
        while not self.has_ended:
            connection.wait(self.signals)
            for _ in self.messages():
                pass
        return self.ending


@contextmanager
def _without_script() -> Iterator[None]:
    """multiprocessing has each child run the parent's script again, for functions that lie in it: with the command line
    that is all of its imports, longer than many stages take to publish. No child needs it."""
    main = vars(sys.modules["__main__"])
    file = main.pop("__file__", None)
    try:
        yield
    finally:
        if file is not None:
            main["__file__"] = file


def stop_all(children: Iterable[Child]) -> None:
    """Asks stages to save and end; those that don't are killed."""
    running = [child.process for child in children]
    for process in running:
        process.terminate()
    deadline = time.monotonic() + GRACE_SECONDS
    for process in running:
        process.join(max(0.0, deadline - time.monotonic()))
        if process.is_alive():
            process.kill()
            process.join()
