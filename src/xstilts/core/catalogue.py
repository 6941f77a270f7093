"""What the planner must know of a task: pure facts, no readers. The tasks themselves live in `xstilts.tasks`."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple

from xstilts.api.training import TrainingSettings

ENGLISH = "en"
TEXT_SPLIT = "train"
"""The split of data sets of plain text."""


def name_in(task: str, language: str) -> str:
    """A task's name where it is trained in a language: `mnli`, or `mnli.de` on a translation."""
    return task if language == ENGLISH else f"{task}.{language}"


class TaskKind(StrEnum):
    """The shape of examples, head, prediction and metric."""

    CLASSIFICATION = "classification"
    SPAN_EXTRACTION = "span-extraction"
    MULTIPLE_CHOICE = "multiple-choice"
    TAGGING = "tagging"
    INTENT_AND_SLOTS = "intent-and-slots"
    SEMANTIC_PARSING = "semantic-parsing"
    RETRIEVAL = "retrieval"
    BITEXT_MINING = "bitext-mining"


class Source(NamedTuple):
    """A split of a data set, in some language."""

    dataset: str
    split: str

    def __str__(self) -> str:
        return f"{self.dataset}/{self.split}"


@dataclass(frozen=True, kw_only=True, slots=True)
class TaskSpec:
    """One task, as intermediate task, as target, or both."""

    name: str
    version: int
    """Raised when the meaning of examples, head or metric of this task changes; part of stage keys."""
    kind: TaskKind
    description: str
    train: Source | None = None
    """English training data; None for retrieval, which is not trained."""
    dev: Source | None = None
    """English data on which checkpoints are selected; for bitext mining the data of each language that its threshold is
    tuned on."""
    test: Source | None = None
    """Data to evaluate on, in every language; None for a task that is only ever intermediate."""
    languages: tuple[str, ...] = (ENGLISH,)
    """Languages of `test`, as they are named in its data set."""
    labels: tuple[str, ...] | None = None
    """The label set where it is fixed; else it is read from the training data."""
    metric: str = "accuracy"
    """The headline metric: selects checkpoints and is plotted. Others of the same task stand beside it."""
    settings: TrainingSettings = field(default_factory=TrainingSettings)
    """The published recipe."""
    published_rows: Mapping[Source, int] = field(default_factory=dict)
    """Rows as published, for plans made before the data is there."""
    licence: str = ""
    reference: str = ""
    """Where the task, its sizes and its recipe come from."""
