"""What a Study's status shows of its results: the best point of each target, and the curves. Decimals as text."""

from collections.abc import Iterator, Mapping
from statistics import fmean

from xstilts.api.status import BestScore, CurveFit
from xstilts.core.catalogue import ENGLISH
from xstilts.core.plan import Plan, Trial
from xstilts.core.results import EvaluationFacts
from xstilts.core.statistics import Interval
from xstilts.report import Results
from xstilts.report.summaries import OTHER_LANGUAGES


def best_scores(results: Results) -> Iterator[BestScore]:
    """By target the recipe and size with the highest mean over the other languages, and over seeds."""
    headline = [found for found in results.summaries if found.headline and found.scope == OTHER_LANGUAGES]
    for target in results.targets:
        summaries = [found for found in headline if found.target == target.name]
        if summaries:
            best = max(summaries, key=lambda found: found.estimate.mean)
            yield BestScore(
                target=target.name,
                metric=best.metric,
                recipe=best.condition.recipe,
                size=best.condition.size,
                score=f"{best.estimate.mean:.2f}",
                interval=_half_width(best.estimate.interval),
            )


def curve_fits(results: Results) -> Iterator[CurveFit]:
    """The best family of each curve that could be fitted."""
    for curve in results.curves:
        if curve.fit:
            best = curve.fit.best
            yield CurveFit(
                recipe=curve.recipe,
                target=curve.target,
                model=best.family,
                parameters={parameter.name: f"{parameter.value:.6g}" for parameter in best.parameters},
                interval="; ".join(
                    f"{parameter.name} {parameter.interval.low:.6g} to {parameter.interval.high:.6g}"
                    for parameter in best.parameters
                    if parameter.interval
                ),
                n=curve.fit.observations,
            )


def trial_scores(plan: Plan, trial: Trial, facts: Mapping[str, EvaluationFacts]) -> dict[str, str]:
    """By target the mean of the headline metric over the languages other than English, or over all without others."""
    scores: dict[str, str] = {}
    for target, address in trial.evaluations.items():
        found = facts.get(address)
        if found and (selected := found.of(plan.selected[target])):
            by_language = {entry.language: entry.metrics[found.metric] for entry in selected.languages}
            others = [value for language, value in by_language.items() if language != ENGLISH]
            scores[target] = f"{fmean(others or by_language.values()):.2f}"
    return scores


def _half_width(interval: Interval | None) -> str:
    return f"{(interval.high - interval.low) / 2:.2f}" if interval else ""
