"""The flat table that everything else in a report is computed from: one row a number that an evaluation measured."""

import csv
import io
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, fields

from xstilts.api.study import BASELINE, Budget
from xstilts.api.trial import Point
from xstilts.core.errors import IntegrityError
from xstilts.core.plan import Plan, Trial
from xstilts.core.results import EvaluationFacts


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


@dataclass(frozen=True, kw_only=True, slots=True)
class Score:
    """One metric of one target in one language for one trial; its fields are the columns of results.csv."""

    trial: str
    recipe: str
    size: str
    rows: int
    """Rows of intermediate data."""
    subset_seed: int | None
    seed: int
    budget: str
    target: str
    trained: bool
    """False for retrieval, which has no target training: never to be averaged with the others."""
    language: str
    metric: str
    headline: bool
    value: float
    """A percentage."""
    examples: int
    """Evaluated examples."""
    protocol: str
    """How the checkpoint was selected: `last`, `best` (on English dev data), `averaged`, or `oracle`, which knows
    labels of the language and is no result of zero-shot transfer."""
    selected: bool
    """Whether the study's headline scores are of this protocol."""
    checkpoint: str
    """`last`, `best`, `averaged`, or `base` for an encoder that no stage trained, which has the same scores under all
    protocols; `oracle` where each language has its own."""
    evaluation: str
    """Address of the stage that measured it; trials may share one."""

    @property
    def condition(self) -> Condition:
        return Condition(recipe=self.recipe, size=self.size, rows=self.rows, budget=self.budget)


COLUMNS = tuple(field.name for field in fields(Score))


def budget_label(budget: Budget | None) -> str:
    if budget is None:
        return ""
    return f"{budget.steps} steps" if budget.steps else f"{budget.epochs} epochs"


def read_scores(plan: Plan, facts: Mapping[str, EvaluationFacts]) -> Iterator[Score]:
    """All measured numbers, in the order of the plan. Trials without facts give none.

    Raises IntegrityError for an evaluation that lacks its own headline metric.
    """
    for trial in plan.trials:
        for target, address in trial.evaluations.items():
            if address in facts:
                yield from _scores_of(plan, trial, target, address, facts[address])


def scores_csv(scores: tuple[Score, ...]) -> str:
    """Comma-separated values with a header; None is empty."""
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(asdict(score) for score in scores)
    return text.getvalue()


def _scores_of(plan: Plan, trial: Trial, target: str, address: str, facts: EvaluationFacts) -> Iterator[Score]:
    condition = Condition.of(trial.point)
    for protocol in plan.protocols:
        if (found := facts.of(protocol)) is None:
            continue
        for entry in found.languages:
            if facts.metric not in entry.metrics:
                raise IntegrityError(
                    f"{address}: language {entry.language!r} has no metric {facts.metric!r}, only "
                    f"{sorted(entry.metrics)}; delete the stage's manifest and evaluate again"
                )
            for metric, value in entry.metrics.items():
                yield Score(
                    trial=trial.name,
                    **asdict(condition),
                    subset_seed=trial.point.subset_seed,
                    seed=trial.point.seed,
                    target=target,
                    trained=target in trial.trainings,
                    language=entry.language,
                    metric=metric,
                    headline=metric == facts.metric,
                    value=value,
                    examples=entry.rows,
                    protocol=protocol,
                    selected=protocol == plan.selected[target],
                    checkpoint=found.checkpoint,
                    evaluation=address,
                )
