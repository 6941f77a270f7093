"""Each stage's own section of a study, resolved: exactly what its numbers depend on, and nothing else.

These documents are hashed into stage keys, so a setting belongs to the first stage that it changes. Data appear as
references with digests; recipes, trials and studies do not appear at all: equal work has equal keys.
"""

from xstilts.api.base import Model
from xstilts.api.study import Budget, StageKind
from xstilts.api.training import Precision, RetrievalSettings, TrainingSettings
from xstilts.core.manifests import SplitRef

BASE_CHECKPOINT = "base"
"""Checkpoint name of an encoder that no stage trained."""


class SubsetRequest(Model):
    """Take this many rows of an English training split."""

    task: str
    task_version: int
    data: SplitRef
    rows: int


class PretrainingConfig(Model):
    """Config of `pretraining` (input: encoder, the base model)."""

    data: tuple[SplitRef, ...]
    """Plain text, one split a language."""
    steps: int
    smoothing: str
    mask_probability: str
    seed: int
    settings: TrainingSettings


class ScalingConfig(Model):
    """Config of `data-scaling`. No inputs."""

    subsets: tuple[SubsetRequest, ...]
    seed: int | None
    """Subset seed; None where every subset is the full data."""


class TaskTraining(Model):
    """One task of a training stage."""

    task: str
    task_version: int
    train: SplitRef
    dev: SplitRef
    weight: int = 1
    """Relative frequency of its batches in a mixture."""


class TrainingConfig(Model):
    """Config of `intermediate-training` (inputs: encoder, subset) and `target-training` (input: encoder)."""

    tasks: tuple[TaskTraining, ...]
    checkpoint: str
    """Which checkpoint of the encoder input to start from."""
    budget: Budget
    seed: int
    settings: TrainingSettings


class InferenceSettings(Model):
    """What changes predictions of a given model."""

    max_length: int
    doc_stride: int
    precision: Precision
    threads: int


class EvaluationConfig(Model):
    """Config of `evaluation` (input: encoder, with heads unless the task is retrieval)."""

    task: str
    task_version: int
    data: tuple[SplitRef, ...]
    """One split a language."""
    checkpoint: str
    settings: InferenceSettings
    retrieval: RetrievalSettings | None = None


StageConfig = PretrainingConfig | ScalingConfig | TrainingConfig | EvaluationConfig

CONFIGS: dict[
    StageKind, type[PretrainingConfig] | type[ScalingConfig] | type[TrainingConfig] | type[EvaluationConfig]
] = {
    "pretraining": PretrainingConfig,
    "data-scaling": ScalingConfig,
    "intermediate-training": TrainingConfig,
    "target-training": TrainingConfig,
    "evaluation": EvaluationConfig,
}
