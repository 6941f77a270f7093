"""The Local engine: stages as processes on this machine, several at once, as memory and cores allow.

Each stage is forked from a server that has torch loaded already. A stage that dies takes nothing else with it; an
engine that is killed takes its stages with it, and the next run continues from what the store holds.
"""

import os
import shutil
import tempfile
import time
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing import connection
from pathlib import Path
from typing import Protocol

import psutil

from xstilts.acceptance import publication_of
from xstilts.api.study import Study
from xstilts.core.configs import CONFIGS
from xstilts.core.plan import Plan, PlannedStage
from xstilts.core.results import Outcome
from xstilts.engines.job import Job, Work
from xstilts.engines.process import Child, stop_all
from xstilts.engines.schedule import Schedule
from xstilts.stages.bench import Progress
from xstilts.stages.runner import StageRequest, seconds
from xstilts.tracking.records import StudyRecord, TrialRecord

LOOK_SECONDS = 0.5
"""How often delayed stages are looked at while nothing happens."""
BASE_MEMORY = 600 * 2**20
"""Bytes that a process with torch and MLflow needs before it loads a model."""
COPIES_OF_WEIGHTS = {
    "pretraining": 5,
    "data-scaling": 0,
    "intermediate-training": 5,
    "target-training": 5,
    "evaluation": 2,
}
"""Model sizes that a stage holds: weights, gradients, two moments, and a copy on the way to disk."""


class Listener(Protocol):
    """Watches a run."""

    def started(self, stage: PlannedStage) -> None: ...
    def progressed(self, stage: PlannedStage, progress: Progress) -> None: ...
    def finished(self, stage: PlannedStage, outcome: Outcome, retry: str | None) -> None: ...


@dataclass(kw_only=True)
class LocalEngine:
    """Runs the stages of one accepted plan."""

    study: Study
    plan: Plan
    schedule: Schedule
    logs: Path
    """Folder for what stages print."""
    model_bytes: int
    """Size of the base encoder's weights, to tell how many stages fit into memory."""
    publish_only: Collection[str] = ()
    """Addresses of evicted stages whose weights nobody needs."""
    lease_seconds: float = field(default_factory=lambda: seconds("LEASE", 10.0))
    checkpoint_seconds: float = field(default_factory=lambda: seconds("CHECKPOINT", 15.0))
    cores: int = field(default_factory=lambda: len(os.sched_getaffinity(0)))
    memory: int = field(default_factory=lambda: int(psutil.virtual_memory().available * 0.8))
    """Bytes that all stages together may take."""

    def run(self, listener: Listener) -> None:
        """Until every stage is done or can't be. Ctrl-C lets running stages save their progress, then re-raises."""
        children: dict[str, Child] = {}
        with _scratch() as scratch:
            try:
                while not self.schedule.is_finished:
                    self._start(children, scratch, listener)
                    self._collect(children, listener)
            finally:
                stop_all(children.values())

    def publish(self, records: Sequence[TrialRecord | StudyRecord]) -> list[Outcome]:
        """Publishes trials or the study, one after the other, in a process like that of a stage."""
        with _scratch() as scratch:
            log = self.logs / "publication.log"
            return [Child.spawn(self._job(record, scratch, log=log)).wait() for record in records]

    # ---- starting

    def _start(self, children: dict[str, Child], scratch: Path, listener: Listener) -> None:
        for stage in self.schedule.ready(time.monotonic()):
            if not self._fits(stage, [self.plan.stages[address] for address in children]):
                return
            job = self._job(self._request(stage), scratch, log=self.log_of(stage))
            children[stage.address] = Child.spawn(job)
            self.schedule.start(stage.address)
            listener.started(stage)

    def _fits(self, stage: PlannedStage, running: list[PlannedStage]) -> bool:
        """Whether cores, memory and the Study's parallelism allow one more; the first always may."""
        if not running:
            return True
        together = [*running, stage]
        return (
            len(together) <= self.study.spec.parallelism
            and sum(each.threads for each in together) <= self.cores
            and sum(self._memory_of(each) for each in together) <= self.memory
        )

    def _memory_of(self, stage: PlannedStage) -> int:
        return BASE_MEMORY + COPIES_OF_WEIGHTS[stage.kind] * self.model_bytes

    def _request(self, stage: PlannedStage) -> StageRequest:
        return StageRequest(
            kind=stage.kind,
            config=CONFIGS[stage.kind].model_validate(stage.config),
            inputs=stage.inputs,
            publication=publication_of(self.plan, stage),
            rebuild=stage.address not in self.publish_only,
        )

    def _job(self, work: Work, scratch: Path, *, log: Path) -> Job:
        return Job(
            work=work,
            store=self.study.spec.store,
            tracking=self.study.spec.tracking,
            experiment=self.plan.experiment,
            scratch=scratch,
            log=log,
            lease_seconds=self.lease_seconds,
            checkpoint_seconds=self.checkpoint_seconds,
        )

    def log_of(self, stage: PlannedStage) -> Path:
        """What the stage and its libraries print."""
        return self.logs / f"{stage.kind}-{stage.key}.log"

    # ---- watching

    def _collect(self, children: dict[str, Child], listener: Listener) -> None:
        """Waits for news of any child, a moment at most, and notes what has ended."""
        connection.wait([channel for child in children.values() for channel in child.signals], timeout=LOOK_SECONDS)
        for address, child in list(children.items()):
            stage = self.plan.stages[address]
            for progress in child.messages():
                listener.progressed(stage, progress)
            if child.has_ended:
                del children[address]
                outcome = child.ending
                retry = self.schedule.finish(address, outcome, time.monotonic())
                listener.finished(stage, outcome, retry)


@contextmanager
def _scratch() -> Iterator[Path]:
    """A folder for temporary files of this run; those of runs that were killed are removed."""
    root = Path(tempfile.gettempdir())
    for left in root.glob("xstilts-run-*"):
        pid = left.name.removeprefix("xstilts-run-")
        if pid.isdecimal() and not psutil.pid_exists(int(pid)):
            shutil.rmtree(left, ignore_errors=True)
    folder = root / f"xstilts-run-{os.getpid()}"
    folder.mkdir(exist_ok=True)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
