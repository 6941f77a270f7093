"""What a study compares: the ways to train, each with the trials that repeat it under other seeds."""

from dataclasses import dataclass

from xstilts.api.study import BASELINE, Budget
from xstilts.api.trial import Point


@dataclass(frozen=True, kw_only=True, slots=True)
class Condition:
    """One way to train. The trials of a condition differ by their seeds alone."""

    recipe: str
    size: str
    rows: int
    budget: str
    """`3 epochs`, `1000 steps`; empty for the baseline and for a task's published epochs."""

    @classmethod
    def of(cls, point: Point) -> "Condition":
        return cls(recipe=point.recipe, size=point.size, rows=point.rows, budget=budget_label(point.budget))

    @property
    def is_baseline(self) -> bool:
        return self.recipe == BASELINE


def budget_label(budget: Budget | None) -> str:
    if budget is None:
        return ""
    return f"{budget.steps} steps" if budget.steps else f"{budget.epochs} epochs"
