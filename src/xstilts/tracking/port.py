"""The port: what stages and engines ask of a tracking server.

Every call is an upsert by key. It may be repeated, interrupted anywhere and repeated, or made by several processes at
once, and leaves one run, one LoggedModel a checkpoint and one registered version a checkpoint.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Protocol

from xstilts.tracking.records import Leftover, Needed, StageRecord, StudyRecord, TrialRecord


@dataclass(frozen=True)
class StagePublished:
    """Where a stage is found on the server."""

    run_id: str
    models: Mapping[str, str]
    """Checkpoint name to the id of its LoggedModel."""
    versions: Mapping[str, int]
    """Checkpoint name to the version of the recipe's registered model."""


class Tracker(Protocol):
    """A tracking server, or something that behaves like one.

    All methods raise `TrackingUnavailable` when the same call may succeed later, and `TrackingError` when it won't.
    """

    @property
    def identity(self) -> str:
        """Which server this is: its normalised address without credentials. Receipts are kept by it."""
        ...

    def check(self) -> None:
        """Preflight: the server answers, is recent enough, and lets us write."""
        ...

    def experiment_url(self) -> str | None:
        """Address of the experiment in the server's web interface; None for a file, which has none."""
        ...

    def publish_stage(self, record: StageRecord) -> StagePublished:
        """Bring the stage's run, LoggedModels, versions and scores into place.

        A score of a checkpoint whose own stage is not published on this server yet raises `TrackingUnavailable`.
        """
        ...

    def publish_trial(self, record: TrialRecord) -> str:
        """Bring the trial's run into place, below its study's, and return its id."""
        ...

    def publish_study(self, record: StudyRecord) -> str:
        """Bring the study's run and its artifacts into place, and return its id."""
        ...

    def kept_stages(self) -> Mapping[str, str]:
        """Keys of the stages whose weights a person wants, and why: a version has an alias or a pin, or was copied."""
        ...

    def set_evicted(self, stage_keys: Collection[str], *, evicted: bool) -> None:
        """Mark all versions of the stages' checkpoints as evicted, or take the mark away."""
        ...

    def known_runs(self, run_ids: Collection[str]) -> Collection[str]:
        """Those of the ids, as publications returned them, whose runs are still there."""
        ...

    def leftovers(self, needed: Needed) -> list[Leftover]:
        """Runs that nobody ended, models and versions of stages that are gone, and duplicates.

        What people keep by an alias or a pin is none, nor is what another store has.
        """
        ...

    def remove_leftovers(self, needed: Needed) -> list[Leftover]:
        """Ends or deletes all that `leftovers` finds now, and says what it was."""
        ...
