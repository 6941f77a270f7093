"""From a plan and what its evaluations measured to everything that a report shows. Nothing missing is made up."""

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

from xstilts.core import selection
from xstilts.core.catalogue import ENGLISH
from xstilts.core.conditions import Condition
from xstilts.core.languages import OTHER_LANGUAGES
from xstilts.core.plan import Plan, Trial
from xstilts.core.results import EvaluationFacts, TrainingFacts
from xstilts.core.statistics import Estimate
from xstilts.report.scores import Score, read_scores
from xstilts.report.summaries import Curve, Summary, fit_curves, summarize
from xstilts.report.zero_shot import LabelUse, label_uses, labelled_recipes

NO_RESULT = "no result yet"


@dataclass(frozen=True, kw_only=True, slots=True)
class Target:
    """One target of the study."""

    name: str
    trained: bool
    """False for retrieval."""
    metric: str | None
    """The headline metric; None as long as nothing was evaluated."""
    metrics: tuple[str, ...]
    """All metrics, the headline first."""
    languages: tuple[str, ...]
    """English first where it is evaluated."""
    protocol: str
    """How the checkpoints of the headline scores were selected."""
    protocols: tuple[str, ...]
    """All selections that were evaluated, in the order of the plan."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Best:
    """The condition that English dev data choose for a target (see `xstilts.core.selection`)."""

    target: str
    metric: str
    condition: Condition
    dev: float
    """English dev score that it was chosen by, percent, mean over seeds."""
    estimate: Estimate
    """Test score: mean over the other languages, and over training seeds."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Missing:
    """A planned result that is not there."""

    trial: str
    target: str
    evaluation: str
    state: str
    """What is known of the trial, such as `running` or `failed: out of memory`."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Degenerate:
    """A training run that ended no better than a constant answer or chance. Its scores count like any other's."""

    trials: tuple[str, ...]
    stage: str
    task: str
    reason: str


@dataclass(frozen=True, kw_only=True)
class Results:
    """Scores of a study, and what follows from them. Made by `collect`."""

    plan: Plan
    targets: tuple[Target, ...]
    """Trained targets first, then retrieval."""
    scores: tuple[Score, ...]
    summaries: tuple[Summary, ...]
    curves: tuple[Curve, ...]
    best: tuple[Best, ...]
    """For each target with English dev data."""
    label_uses: tuple[LabelUse, ...]
    """Labels of languages other than English that were used: where scores are not zero-shot, and why."""
    missing: tuple[Missing, ...]
    degenerate: tuple[Degenerate, ...]

    @cached_property
    def planned(self) -> Mapping[Condition, int]:
        """Trials by condition, in the order of the plan."""
        return Counter(Condition.of(trial.point) for trial in self.plan.trials)

    @cached_property
    def labelled(self) -> Mapping[str, tuple[str, ...]]:
        """By recipe the languages other than English whose labels it trains on; recipes without any are left out."""
        return labelled_recipes(self.plan)

    def zero_shot_languages(self, target: str) -> tuple[str, ...]:
        """Languages other than English in which the headline scores of every recipe are zero-shot."""
        own = [score for score in self.scores if score.target == target and score.selected]
        used = {score.language for score in own if not score.zero_shot}
        return tuple(sorted({score.language for score in own} - used - {ENGLISH}))

    @property
    def complete_trials(self) -> int:
        """Trials with all their results."""
        return len(self.plan.trials) - len({missing.trial for missing in self.missing})

    def find(
        self, condition: Condition, *, target: str, metric: str | None, scope: str, protocol: str | None = None
    ) -> Summary | None:
        """The summary, of the headline's protocol unless another is named; None where nothing was measured."""
        return self._index.get((condition, target, metric, protocol or self.plan.selected[target], scope))

    @cached_property
    def _index(self) -> Mapping[tuple[Condition, str, str | None, str, str], Summary]:
        return {(s.condition, s.target, s.metric, s.protocol, s.scope): s for s in self.summaries}


def collect(
    plan: Plan,
    facts: Mapping[str, EvaluationFacts],
    *,
    states: Mapping[str, str] | None = None,
    training: Mapping[str, TrainingFacts] | None = None,
) -> Results:
    """All results of a plan. `facts` maps the address of an evaluation stage to what it measured.

    `states` says by trial name why results are missing; `training` maps the addresses of training stages to their
    facts, by which the best are chosen and degenerate runs are listed.
    """
    scores = tuple(read_scores(plan, facts))
    summaries = summarize(scores)
    measured = selection.Measured(evaluations=facts, trainings=training or {})
    return Results(
        plan=plan,
        targets=_targets(plan, scores),
        scores=scores,
        summaries=summaries,
        curves=fit_curves(summaries),
        best=tuple(_best(plan, measured, summaries)),
        label_uses=tuple(label_uses(plan, facts)),
        missing=tuple(
            Missing(
                trial=trial.name, target=target, evaluation=address, state=(states or {}).get(trial.name, NO_RESULT)
            )
            for trial in plan.trials
            for target, address in trial.evaluations.items()
            if address not in facts
        ),
        degenerate=_degenerate(plan, training or {}),
    )


def summary_json(results: Results) -> str:
    """Everything but the single scores, as JSON: sorted keys, percentages unrounded."""
    plan = results.plan
    document: dict[str, Any] = {
        "format": 1,
        "study": plan.study,
        "model": plan.model,
        "plan": plan.digest,
        "trials": {"planned": len(plan.trials), "complete": results.complete_trials},
        "stages": {"planned": len(plan.stages), "unshared": plan.naive_stages},
        "targets": _documents(results.targets),
        "summaries": _documents(results.summaries),
        "curves": _documents(results.curves),
        "best": _documents(results.best),
        "label_uses": _documents(results.label_uses),
        "missing": _documents(results.missing),
        "degenerate": _documents(results.degenerate),
        "not_applicable": [entry.model_dump(mode="json", by_alias=False) for entry in plan.not_applicable],
    }
    return json.dumps(document, indent=1, sort_keys=True, allow_nan=False) + "\n"


def _documents(entries: Sequence[Any]) -> list[dict[str, Any]]:
    return [asdict(entry) for entry in entries]


def _best(plan: Plan, measured: selection.Measured, summaries: Sequence[Summary]) -> Iterator[Best]:
    tested = {(s.target, s.condition): s for s in summaries if s.headline and s.scope == OTHER_LANGUAGES}
    for target in plan.selected:
        choice = selection.best(plan, target, measured)
        if choice and (summary := tested.get((target, choice.condition))):
            yield Best(
                target=target,
                metric=summary.metric,
                condition=choice.condition,
                dev=choice.dev,
                estimate=summary.estimate,
            )


def _targets(plan: Plan, scores: tuple[Score, ...]) -> tuple[Target, ...]:
    trained = {name: name in trial.trainings for trial in plan.trials for name in trial.evaluations}
    targets = [_target(plan, name, trained[name], [s for s in scores if s.target == name]) for name in trained]
    return tuple(sorted(targets, key=lambda target: not target.trained))


def _target(plan: Plan, name: str, trained: bool, scores: list[Score]) -> Target:
    headline = next((score.metric for score in scores if score.headline), None)
    metrics = dict.fromkeys(score.metric for score in scores)
    languages = dict.fromkeys(score.language for score in scores)
    return Target(
        name=name,
        trained=trained,
        metric=headline,
        metrics=tuple(sorted(metrics, key=lambda metric: metric != headline)),
        languages=tuple(sorted(languages, key=lambda language: language != ENGLISH)),
        protocol=plan.selected[name],
        protocols=tuple(dict.fromkeys(score.protocol for score in scores)),
    )


def _degenerate(plan: Plan, training: Mapping[str, TrainingFacts]) -> tuple[Degenerate, ...]:
    """One entry a stage and task, with all trials that build on it."""
    return tuple(
        Degenerate(trials=_users(plan.trials, address), stage=address, task=task, reason=reason)
        for address in plan.stages
        if address in training
        for task, reason in training[address].degenerate.items()
    )


def _users(trials: tuple[Trial, ...], address: str) -> tuple[str, ...]:
    return tuple(trial.name for trial in trials if address in trial.stages)
