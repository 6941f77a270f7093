"""Everything that a study makes is found in MLflow: runs, data sets, checkpoints, registered versions, scores."""

import importlib
from collections.abc import Callable

from xstilts.tracking.memory import MemoryTracker
from xstilts.tracking.mlflow_tracker import MlflowTracker
from xstilts.tracking.port import StagePublished, Tracker
from xstilts.tracking.records import (
    Checkpoint,
    CheckpointRef,
    DatasetUse,
    Leftover,
    Needed,
    Point,
    Score,
    StageRecord,
    StudyRecord,
    TrialRecord,
    zero_shot_tags,
)

__all__ = [
    "Checkpoint",
    "CheckpointRef",
    "DatasetUse",
    "Leftover",
    "MemoryTracker",
    "MlflowTracker",
    "Needed",
    "Point",
    "Score",
    "StagePublished",
    "StageRecord",
    "StudyRecord",
    "Tracker",
    "TrialRecord",
    "open_tracker",
    "preload",
    "zero_shot_tags",
]

_LOADED_LATE = (
    "mlflow.tracking.client",
    "mlflow.genai",
    "mlflow.store.tracking.sqlalchemy_store",
    "mlflow.store.model_registry.sqlalchemy_store",
    "sqlalchemy.dialects.sqlite",
)
"""What MLflow imports when it is used first: 1.7 of the 2 seconds that a first publication takes."""


def preload() -> None:
    """Imports all that a publication needs: for a process that others are forked from."""
    for module in _LOADED_LATE:
        importlib.import_module(module)


def open_tracker(
    uri: str, *, experiment: str, store: str, takes_artifacts: Callable[[str], bool] | None = None
) -> Tracker:
    """The tracker at `sqlite:///path` or `http(s)://host[:port]`; nothing is connected or imported yet.

    `store` is the URI of the store whose stages are published: what others publish to the same server is not touched.
    `takes_artifacts` says whether this process's own identity may write to a place that the server names for
    artifacts, such as `s3://…`; what goes through the server is never asked for. Without it any place will do.
    Raises `UserError` for any other address.
    """
    return MlflowTracker(uri, experiment=experiment, store=store, takes_artifacts=takes_artifacts)
