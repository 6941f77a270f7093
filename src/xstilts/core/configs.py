"""Each stage's own section of a study, resolved: exactly what its numbers depend on, and nothing else.

These documents are hashed into stage keys, so a setting belongs to the first stage that it changes. Data appear as
references with digests; recipes, trials and studies do not appear at all: equal work has equal keys.
"""

from collections.abc import Collection

from xstilts.api.base import Model
from xstilts.api.study import Budget, StageKind
from xstilts.api.training import Precision, RetrievalSettings, Similarity, TrainingSettings, Tuning
from xstilts.core.catalogue import TaskKind, name_in
from xstilts.core.manifests import SplitRef

BASE_CHECKPOINT = "base"
"""Checkpoint name of an encoder that no stage trained."""


class SubsetRequest(Model):
    """Take this many rows of an English training split."""

    task: str
    task_version: int
    data: SplitRef
    translation: SplitRef | None = None
    """The same rows in another language, which are to be trained on instead."""
    rows: int


class TextStream(Model):
    """Masked language modelling of plain text, alone or in steps between those of tasks."""

    data: tuple[SplitRef, ...]
    """One split a language."""
    ratio: str
    """Share of the optimizer steps, a decimal; 1 where there are no tasks."""
    smoothing: str
    mask_probability: str


class PretrainingConfig(Model):
    """Config of `pretraining` (input: encoder, the base model)."""

    text: TextStream
    steps: int
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
    """English, or the translation that the subset names."""
    dev: SplitRef
    weight: int = 1
    """Relative frequency of its batches in a mixture."""
    loss_scale: str = "1"
    """Factor of the task's loss, a decimal."""
    gradient_accumulation: int = 1
    """Batches whose gradients make one optimizer step of this task."""

    @property
    def name(self) -> str:
        """Unique in a recipe, which may train a task in several languages: `mnli`, or `mnli.de` on a translation."""
        return name_in(self.task, self.train.language)


class TrainingConfig(Model):
    """Config of `intermediate-training` (inputs: encoder, subset) and `target-training` (input: encoder)."""

    tasks: tuple[TaskTraining, ...]
    text: TextStream | None = None
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
    checkpoints: tuple[str, ...]
    """Which of the encoder input, sorted."""
    dev: tuple[SplitRef, ...] = ()
    """Labels of the languages of `data`, one split each in the same order, which nothing but this stage may read: what
    the oracle selects by, and what the threshold of bitext mining is tuned on. Empty where neither is wanted."""
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


def unused_settings(kinds: Collection[TaskKind], *, tuning: Tuning, text: bool) -> frozenset[str]:
    """Fields of `TrainingSettings` that have no part in a training on tasks of these kinds: not in its key, not shown.

    The budget says how many epochs, and who uses the checkpoints selects among them. `text` says whether there is a
    stream of plain text: without one, gradient accumulation is each task's own.
    """
    parts = {
        "epochs": False,
        "selection": False,
        "prefix_length": tuning is Tuning.PREFIX,
        "parser": TaskKind.SEMANTIC_PARSING in kinds,
        "doc_stride": TaskKind.SPAN_EXTRACTION in kinds,
        "gradient_accumulation": text,
    }
    return frozenset(name for name, has_part in parts.items() if not has_part)


def similarity_of(kind: TaskKind, retrieval: RetrievalSettings) -> Similarity:
    """The one that is used where the settings leave it open: that of the target's reference."""
    default = Similarity.MARGIN if kind is TaskKind.BITEXT_MINING else Similarity.COSINE
    return retrieval.similarity or default
