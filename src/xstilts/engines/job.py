"""What the Local engine sends to a child process. Light: the engine itself never loads torch or MLflow."""

from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path

from xstilts.api.access import StoreSpec, TrackingSpec
from xstilts.stages.runner import StageRequest
from xstilts.tracking.records import StudyRecord, TrialRecord

WORKER = "xstilts.engines.worker"
"""Module that the fork server preloads."""

Work = StageRequest | TrialRecord | StudyRecord
"""A stage to run, or a trial or study to publish."""


@dataclass(frozen=True, kw_only=True)
class Job:
    """One thing to do, and all that a process needs to do it."""

    work: Work
    store: StoreSpec
    tracking: TrackingSpec
    experiment: str
    scratch: Path
    log: Path
    lease_seconds: float
    checkpoint_seconds: float


def run_job(job: Job, parent: Connection) -> None:
    """Entry of a child, which has the worker loaded already."""
    from xstilts.engines import worker

    worker.run_job(job, parent)
