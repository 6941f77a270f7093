"""Everything that a study makes is found in MLflow: runs, data sets, checkpoints, registered versions, scores."""

from xstilts.tracking.memory import MemoryTracker
from xstilts.tracking.mlflow_tracker import MlflowTracker
from xstilts.tracking.port import StagePublished, Tracker
from xstilts.tracking.records import (
    Checkpoint,
    CheckpointRef,
    DatasetUse,
    Point,
    Score,
    StageRecord,
    StudyRecord,
    TrialRecord,
)

__all__ = [
    "Checkpoint",
    "CheckpointRef",
    "DatasetUse",
    "MemoryTracker",
    "MlflowTracker",
    "Point",
    "Score",
    "StagePublished",
    "StageRecord",
    "StudyRecord",
    "Tracker",
    "TrialRecord",
    "open_tracker",
]


def open_tracker(uri: str, *, experiment: str) -> Tracker:
    """The tracker at `sqlite:///path` or `http(s)://host[:port]`; nothing is connected or imported yet.

    Raises `UserError` for any other address.
    """
    return MlflowTracker(uri, experiment=experiment)
