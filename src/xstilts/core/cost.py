"""What planned stages cost, from the number of tokens that pass through the encoder."""

from collections.abc import Iterable, Sequence
from fractions import Fraction

from xstilts.api.study import Budget
from xstilts.api.training import TrainingSettings
from xstilts.core.configs import TaskTraining, TextStream
from xstilts.core.plan import PlannedStage

FORWARD_SHARE = 1 / 3
"""Of a training step: forward costs 2 operations a weight and token, backward 4 (Kaplan et al. 2020, section 2.1)."""


def device_hours(stages: Iterable[PlannedStage], tokens_per_second: float) -> float:
    """Upper bound of the hours of one device that trains so many tokens a second; sequences count with full length."""
    shares = {"evaluation": FORWARD_SHARE}
    tokens = sum(stage.tokens * shares.get(stage.kind, 1.0) for stage in stages)
    return tokens / tokens_per_second / 3600


def examples(
    budget: Budget,
    *,
    rows: int,
    tasks: Sequence[TaskTraining],
    settings: TrainingSettings,
    text: TextStream | None = None,
) -> int:
    """Examples of a training stage, lines of text among them, as expected over the draws of its streams.

    Steps on text come on top of the tasks' epochs, and are a part of a budget of steps.
    """
    weights = sum(task.weight for task in tasks)
    batches = Fraction(sum(task.weight * task.gradient_accumulation for task in tasks), weights)
    of_task, of_text = settings.batch_size * batches, settings.batch_size * settings.gradient_accumulation
    ratio = Fraction(text.ratio) if text else Fraction(0)
    steps = budget.steps * (1 - ratio) if budget.steps else rows * Fraction(budget.epochs or 0) / of_task
    return round(steps * (of_task + of_text * ratio / (1 - ratio)))
