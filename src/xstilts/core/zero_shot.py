"""Whose labels went into a score: what may be called zero-shot, and what not. Read from what the plan trains.

A score is zero-shot in a language if no row with labels in that language trained the encoder, no label of it selected
the checkpoint (the oracle does that), and none tuned a threshold (bitext mining does). Plain text has no labels.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from xstilts.core.catalogue import ENGLISH, TaskKind, TaskSpec
from xstilts.core.plan import Plan, Trial
from xstilts.core.results import ORACLE, CheckpointScores, LanguageScores

NAMED = 4
"""Of more languages than these only the number is shown."""

Labelled = Mapping[str, tuple[str, ...]]
"""By language the tasks whose rows with labels in it are trained on: `{"en": ("mnli",), "de": ("mnli",)}`."""


def labelled(plan: Plan, trial: Trial, target: str) -> Labelled:
    """Of the encoder that the trial evaluates on the target."""
    found: dict[str, tuple[str, ...]] = {}
    for address in (trial.intermediate, trial.trainings.get(target)):
        if address:
            for language, tasks in labelled_by(plan.stages[address].config).items():
                found[language] = tuple(dict.fromkeys((*found.get(language, ()), *tasks)))
    return found


def labelled_by(config: Mapping[str, Any]) -> Labelled:
    """Of one stage; `config` is the document of a `TrainingConfig`, or of a stage that trains no task."""
    found: dict[str, tuple[str, ...]] = {}
    for task in config.get("tasks", ()):  # not validated again: a plan may have thousands
        language = task["train"]["language"]
        found[language] = (*found.get(language, ()), task["task"])
    return found


def foreign(found: Labelled) -> tuple[str, ...]:
    """Languages other than English, sorted: scores in them are not zero-shot."""
    return tuple(sorted(found.keys() - {ENGLISH}))


def foreign_to(plan: Plan, trial: Trial) -> tuple[str, ...]:
    """Languages other than English whose labels the trial trains on, for any of its targets."""
    return tuple(sorted({name for target in trial.evaluations for name in foreign(labelled(plan, trial, target))}))


def marked(name: str, languages: Sequence[str]) -> str:
    """`mnli-de (labels: de)`: a recipe or trial with the languages other than English whose labels it trains on."""
    if not languages:
        return name
    few = ", ".join(languages) if len(languages) <= NAMED else f"{len(languages)} languages"
    return f"{name} (labels: {few})"


def holds(checkpoint: CheckpointScores, entry: LanguageScores, found: Collection[str]) -> bool:
    """Whether a checkpoint's scores in a language are zero-shot where labels of the languages `found` trained it."""
    return checkpoint.checkpoint != ORACLE and entry.threshold is None and entry.language not in found


def is_same_task(one: TaskSpec, other: TaskSpec) -> bool:
    """Whether rows of one task teach the answers of the other.

    So it is for tasks of one name or one training data set, and of one kind with the same fixed labels (MNLI, XNLI)
    or with spans of a text as answers (SQuAD, MLQA).
    """
    if one.name == other.name or (one.train and other.train and one.train.dataset == other.train.dataset):
        return True
    same_labels = one.kind is TaskKind.SPAN_EXTRACTION or one.labels is not None
    return one.kind is other.kind and same_labels and one.labels == other.labels
