"""What a Study's status shows of its results: the best point of each target, and the curves. Decimals as text."""

from collections.abc import Iterator, Mapping

from xstilts.api.status import LABELLED, BestScore, CurveFit
from xstilts.core.languages import OTHER_LANGUAGES
from xstilts.core.plan import Plan, Trial
from xstilts.core.results import EvaluationFacts
from xstilts.core.statistics import Interval
from xstilts.report import Results


def best_scores(results: Results) -> Iterator[BestScore]:
    """By target the recipe and size that English dev data choose, with their test score."""
    for best in results.best:
        yield BestScore(
            target=best.target,
            metric=best.metric,
            recipe=best.condition.recipe,
            size=best.condition.size,
            budget=best.condition.budget,
            dev_score=f"{best.dev:.2f}",
            score=f"{best.estimate.mean:.2f}",
            interval=_half_width(best.estimate.interval),
            labelled_languages=_shown(results, best.condition.recipe),
        )


def curve_fits(results: Results) -> Iterator[CurveFit]:
    """The best family of each curve that could be fitted."""
    for curve in results.curves:
        if curve.fit:
            best = curve.fit.best
            yield CurveFit(
                recipe=curve.recipe,
                budget=curve.budget,
                target=curve.target,
                model=best.family,
                parameters={parameter.name: f"{parameter.value:.6g}" for parameter in best.parameters},
                interval="; ".join(
                    f"{parameter.name} {parameter.interval.low:.6g} to {parameter.interval.high:.6g}"
                    for parameter in best.parameters
                    if parameter.interval
                ),
                n=curve.fit.observations,
                labelled_languages=_shown(results, curve.recipe),
            )


def trial_scores(plan: Plan, trial: Trial, facts: Mapping[str, EvaluationFacts]) -> dict[str, str]:
    """By target the mean of the headline metric over the languages other than English; none without such a language."""
    headlines = {
        target: facts[address].headline(plan.selected[target])
        for target, address in trial.evaluations.items()
        if address in facts
    }
    return {target: f"{found[OTHER_LANGUAGES]:.2f}" for target, found in headlines.items() if OTHER_LANGUAGES in found}


def _shown(results: Results, recipe: str) -> tuple[str, ...]:
    return results.labelled.get(recipe, ())[:LABELLED]


def _half_width(interval: Interval | None) -> str:
    return f"{(interval.high - interval.low) / 2:.2f}" if interval else ""
