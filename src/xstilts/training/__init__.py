"""Training and inference: the only place with torch and transformers.

Stages call `fit` with tables of tokens, `predict` and `retrieve` with examples, and all with folders on disk; nothing
here knows of stores, tracking or the network. Reading order: `loop`, `streams`, `model`, `heads`, `tables`, `encoders`.
"""

from xstilts.training.development import TaskData
from xstilts.training.encoders import LoadReport, load_encoder
from xstilts.training.inference import PredictionRow, predict
from xstilts.training.initialization import init_model
from xstilts.training.loop import Budget, FitResult, Progress, SavedModel, fit
from xstilts.training.retrieval import retrieve
from xstilts.training.streams import TextData

__all__ = [
    "Budget",
    "FitResult",
    "LoadReport",
    "PredictionRow",
    "Progress",
    "SavedModel",
    "TaskData",
    "TextData",
    "fit",
    "init_model",
    "load_encoder",
    "predict",
    "retrieve",
]
