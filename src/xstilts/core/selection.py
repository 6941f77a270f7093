"""The best of a study, chosen on English dev data alone. Pure.

Of conditions that do not differ, the highest mean of test scores is too high: by 0.67 standard deviations of a run for
the best of five means of three seeds (the expected maximum of five normal deviates is 1.163). It would be a choice by
labels of the target languages, too. So points are compared by English dev scores of the target, and what is
reported of the chosen one is its test score, which had no part in the choice.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from statistics import fmean

from xstilts.core.conditions import Condition
from xstilts.core.configs import TrainingConfig
from xstilts.core.plan import Plan, Trial
from xstilts.core.results import EvaluationFacts, TrainingFacts
from xstilts.core.statistics import seed_means


@dataclass(frozen=True, kw_only=True, slots=True)
class Choice:
    """A condition that was chosen for a target."""

    condition: Condition
    dev: float
    """English dev score, percent: mean over training seeds of the means over subset seeds."""
    trial: Trial
    """Of its trials the one with the highest English dev score."""


@dataclass(frozen=True, kw_only=True)
class Measured:
    """What was measured of a plan, by the addresses of stages."""

    evaluations: Mapping[str, EvaluationFacts]
    trainings: Mapping[str, TrainingFacts]


def best(plan: Plan, target: str, measured: Measured) -> Choice | None:
    """The condition with the highest English dev score of the target, of equals the first.

    Trials that are not evaluated are left out. None where there is no such score to choose by: for retrieval, which has
    no English dev data, and for targets without dev rows. English dev scores of intermediate tasks would not do, as
    different recipes have different ones.
    """
    return _choose((trial, _of_target(plan, trial, target, measured)) for trial in plan.trials)


def best_of_recipe(plan: Plan, target: str, measured: Measured, *, recipe: str) -> Choice | None:
    """The same among the trials of one recipe.

    For retrieval they are compared by the mean of the English dev scores of their intermediate training, whose tasks
    are the same in all of them.
    """
    trials = [trial for trial in plan.trials if trial.point.recipe == recipe]
    score = _of_target if any(target in trial.trainings for trial in trials) else _of_intermediate
    return _choose((trial, score(plan, trial, target, measured)) for trial in trials)


def _choose(scores: Iterable[tuple[Trial, float | None]]) -> Choice | None:
    known = [(trial, score) for trial, score in scores if score is not None]
    by_condition: dict[Condition, dict[int, list[float]]] = defaultdict(lambda: defaultdict(list))
    for trial, score in known:
        by_condition[Condition.of(trial.point)][trial.point.seed].append(score)
    if not by_condition:
        return None
    # a mean over fewer seeds than others have is more often the highest by luck
    most = max(map(len, by_condition.values()))
    complete = {condition: values for condition, values in by_condition.items() if len(values) == most}
    means = {condition: fmean(seed_means(values).values()) for condition, values in complete.items()}
    chosen = max(means, key=means.__getitem__)
    own = [(trial, score) for trial, score in known if Condition.of(trial.point) == chosen]
    return Choice(condition=chosen, dev=means[chosen], trial=max(own, key=lambda entry: entry[1])[0])


def _of_target(plan: Plan, trial: Trial, target: str, measured: Measured) -> float | None:
    """The headline metric, of the checkpoint that the headline scores come from."""
    evaluation = measured.evaluations.get(trial.evaluations[target])
    scores = _scores(plan, trial.trainings.get(target), target, measured)
    return scores.get(f"{target}/{evaluation.metric}") if evaluation else None


def _of_intermediate(plan: Plan, trial: Trial, target: str, measured: Measured) -> float | None:
    if trial.intermediate is None or trial.evaluations[target] not in measured.evaluations:
        return None
    config = TrainingConfig.model_validate(plan.stages[trial.intermediate].config)
    tasks = {task.name for task in config.tasks}  # beside them stand perplexities of plain text
    scores = _scores(plan, trial.intermediate, target, measured)
    by_task: dict[str, list[float]] = defaultdict(list)
    for name, value in scores.items():
        if (task := name.partition("/")[0]) in tasks:
            by_task[task].append(value)
    return fmean(map(fmean, by_task.values())) if by_task else None


def _scores(plan: Plan, address: str | None, target: str, measured: Measured) -> Mapping[str, float]:
    """`<task>/<metric>` on English dev rows, of the checkpoint of a training that is evaluated on the target."""
    training = measured.trainings.get(address or "")
    if training is None:
        return {}
    by_name = {checkpoint.name: checkpoint.scores for checkpoint in training.checkpoints}
    return by_name.get(plan.selected[target], {})
