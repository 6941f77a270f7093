"""Means, intervals, paired differences and scaling curves of the scores of a study.

A summary is about one *scope* of a target: a single language, or a mean over languages (`xstilts.core.languages`).
Targets are never averaged over.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from statistics import median

from xstilts.core.conditions import Condition
from xstilts.core.curves import ScalingCurve, fit_curve
from xstilts.core.errors import UserError
from xstilts.core.languages import OTHER_LANGUAGES
from xstilts.core.statistics import (
    Estimate,
    PairedDifference,
    holm,
    mean_interval,
    paired_differences,
    seed_means,
)
from xstilts.report.scores import Score, runs


@dataclass(frozen=True, kw_only=True, slots=True)
class Summary:
    """One condition, target, metric, selection protocol and scope over all its trials so far."""

    condition: Condition
    target: str
    trained: bool
    metric: str
    protocol: str
    headline: bool
    """Whether metric and protocol are those of the study's headline scores."""
    scope: str
    """A language, `other-languages`, `all-languages` or `transfer-gap`."""
    values: dict[int, tuple[float, ...]]
    """One value a trial, by training seed."""
    estimate: Estimate
    """Over training seeds; a result that trials share counts once."""
    median: float
    minimum: float
    maximum: float
    difference: PairedDifference | None
    """To the baseline; None for the baseline itself, and where no training seed has both."""
    adjusted_p_value: float | None = None
    """p value of the difference after Holm's correction over all comparisons of a study: every condition and target,
    headline, mean over the other languages. None elsewhere."""

    @property
    def trials(self) -> int:
        return sum(len(values) for values in self.values.values())


@dataclass(frozen=True, kw_only=True, slots=True)
class Curve:
    """How the headline metric of a target, over the other languages, depends on the size of a recipe's data."""

    recipe: str
    budget: str
    target: str
    metric: str
    fit: ScalingCurve | None
    refusal: str | None
    """Why there is no fit."""


@dataclass(slots=True)
class _Series:
    """Values of one condition, target, metric and scope as they come in."""

    trained: bool
    headline: bool
    values: dict[int, list[float]] = field(default_factory=lambda: defaultdict(list))
    unique: dict[str, tuple[int, float]] = field(default_factory=dict)

    def add(self, *, seed: int, value: float, evaluation: str) -> None:
        self.values[seed].append(value)
        self.unique.setdefault(evaluation, (seed, value))

    def estimate(self) -> Estimate:
        """A retrieval baseline is one evaluation for all training seeds: one replicate, not several equal ones."""
        by_seed: dict[int, list[float]] = defaultdict(list)
        for seed, value in self.unique.values():
            by_seed[seed].append(value)
        return mean_interval(list(seed_means(by_seed).values()))


_Key = tuple[Condition, str, str, str, str]  # condition, target, metric, protocol, scope


def summarize(scores: Iterable[Score]) -> tuple[Summary, ...]:
    """One summary for each condition, target, metric, protocol and scope that has a value."""
    series = _collect_series(scores)
    baselines: dict[tuple[str, str, str, str], dict[int, float]] = {
        key[1:]: seed_means(entry.values) for key, entry in series.items() if key[0].is_baseline
    }
    return _adjusted([_summary(key, entry, baselines.get(key[1:], {})) for key, entry in series.items()])


def fit_curves(summaries: Iterable[Summary]) -> tuple[Curve, ...]:
    """A curve for each recipe, budget and target; each observation is one size and training seed."""
    groups: dict[tuple[str, str, str, str], list[Summary]] = defaultdict(list)
    for summary in summaries:
        condition = summary.condition
        if summary.headline and summary.scope == OTHER_LANGUAGES and not condition.is_baseline:
            groups[condition.recipe, condition.budget, summary.target, summary.metric].append(summary)
    return tuple(_curve(*key, members) for key, members in groups.items())


def _collect_series(scores: Iterable[Score]) -> dict[_Key, _Series]:
    series: dict[_Key, _Series] = {}
    for (first, *_), values in runs(scores):
        for scope, value in values.items():
            key = (first.condition, first.target, first.metric, first.protocol, scope)
            headline = first.headline and first.selected
            entry = series.setdefault(key, _Series(trained=first.trained, headline=headline))
            entry.add(seed=first.seed, value=value, evaluation=first.evaluation)
    return series


def _summary(key: _Key, series: _Series, baseline: Mapping[int, float]) -> Summary:
    condition, target, metric, protocol, scope = key
    measured = [value for _, value in series.unique.values()]
    return Summary(
        condition=condition,
        target=target,
        trained=series.trained,
        metric=metric,
        protocol=protocol,
        headline=series.headline,
        scope=scope,
        values={seed: tuple(values) for seed, values in sorted(series.values.items())},
        estimate=series.estimate(),
        median=median(measured),
        minimum=min(measured),
        maximum=max(measured),
        difference=None if condition.is_baseline else paired_differences(series.values, baseline),
    )


def _adjusted(summaries: list[Summary]) -> tuple[Summary, ...]:
    """With Holm's correction over the comparisons that a study is made for (protocol g)."""
    family = {
        index: summary.difference.p_value
        for index, summary in enumerate(summaries)
        if summary.headline and summary.scope == OTHER_LANGUAGES and summary.difference
    }
    tested = {index: p for index, p in family.items() if p is not None}
    adjusted = dict(zip(tested, holm(list(tested.values())), strict=True))
    return tuple(replace(s, adjusted_p_value=adjusted.get(i)) for i, s in enumerate(summaries))


def _curve(recipe: str, budget: str, target: str, metric: str, members: list[Summary]) -> Curve:
    observations = [(s.condition.rows, value) for s in members for value in seed_means(s.values).values()]
    fit, refusal = None, None
    try:
        fit = fit_curve([rows for rows, _ in observations], [value for _, value in observations])
    except UserError as error:
        refusal = str(error)
    return Curve(recipe=recipe, budget=budget, target=target, metric=metric, fit=fit, refusal=refusal)
