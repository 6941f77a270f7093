"""The flat table that everything else in a report is computed from: one row per number that an evaluation measured."""

import csv
import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace

from xstilts.core import zero_shot
from xstilts.core.conditions import Condition
from xstilts.core.errors import IntegrityError
from xstilts.core.languages import MEANS, by_scope, languages_in
from xstilts.core.plan import Plan, Trial
from xstilts.core.results import EvaluationFacts


@dataclass(frozen=True, kw_only=True, slots=True)
class Score:
    """One metric of one target in one language for one trial; its fields are the columns of results.csv.

    Rows of means.csv have the same columns; there `language` is the name of the mean, such as `other-languages`.
    """

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
    zero_shot: bool
    """Whether no label of the language was used to train the encoder, to select the checkpoint or to tune a threshold;
    of a mean, whether that holds for all its languages. Never of English where there is any training."""
    evaluation: str
    """Address of the stage that measured it; trials may share one."""

    @property
    def condition(self) -> Condition:
        return Condition(recipe=self.recipe, size=self.size, rows=self.rows, budget=self.budget)


COLUMNS = tuple(field.name for field in fields(Score))


def read_scores(plan: Plan, facts: Mapping[str, EvaluationFacts]) -> Iterator[Score]:
    """All measured numbers, in the order of the plan. Trials without facts give none.

    Raises IntegrityError for an evaluation that lacks its own headline metric.
    """
    for trial in plan.trials:
        for target, address in trial.evaluations.items():
            if address in facts:
                yield from _scores_of(plan, trial, target, address, facts[address])


def runs(scores: Iterable[Score]) -> Iterator[tuple[Sequence[Score], dict[str, float]]]:
    """The scores of one trial, target, metric and protocol, with their values by language and by scope."""
    found: dict[tuple[str, str, str, str], list[Score]] = {}
    for score in scores:
        found.setdefault((score.trial, score.target, score.metric, score.protocol), []).append(score)
    for run in found.values():
        yield run, by_scope({score.language: score.value for score in run})


def means(scores: Iterable[Score]) -> Iterator[Score]:
    """Each run's means over its languages."""
    for run, values in runs(scores):
        yield from (_mean(run, scope, values[scope]) for scope in MEANS if scope in values)


def scores_csv(scores: Iterable[Score]) -> str:
    """Comma-separated values with a header; None is empty."""
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(asdict(score) for score in scores)
    return text.getvalue()


def _mean(run: Sequence[Score], scope: str, value: float) -> Score:
    languages = languages_in(scope, [score.language for score in run])
    members = [score for score in run if score.language in languages]
    return replace(
        run[0],
        language=scope,
        value=value,
        examples=sum(score.examples for score in members),
        zero_shot=all(score.zero_shot for score in members),
    )


def _scores_of(plan: Plan, trial: Trial, target: str, address: str, facts: EvaluationFacts) -> Iterator[Score]:
    condition = Condition.of(trial.point)
    labelled = zero_shot.labelled(plan, trial, target)
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
                    zero_shot=zero_shot.holds(found, entry, labelled),
                    evaluation=address,
                )
