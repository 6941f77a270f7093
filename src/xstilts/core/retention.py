"""Which checkpoints a study keeps when it has ended: the choice behind `spec.retention.checkpoints`. Pure.

What is chosen are training stages, with all their checkpoints. What protects weights beside the choice (other studies,
aliases, pins) is the matter of `xstilts.store.retention`.
"""

from collections.abc import Collection, Iterator, Mapping
from typing import Any

from xstilts.api.study import CheckpointRetention, StageKind
from xstilts.core import selection
from xstilts.core.manifests import ArtifactManifest
from xstilts.core.missing import needed_weights
from xstilts.core.plan import Plan, Trial
from xstilts.core.results import EvaluationFacts, TrainingFacts
from xstilts.core.selection import Measured

TRAININGS: frozenset[StageKind] = frozenset({"pretraining", "intermediate-training", "target-training"})
"""Stages that make weights."""
DEV_SCORES: tuple[StageKind, ...] = ("intermediate-training", "target-training")
"""Stages that have scores on English dev data."""
CHOSEN_BY: frozenset[StageKind] = frozenset({"evaluation", *DEV_SCORES})
"""Stages whose manifests `measured` reads."""


def trainings(plan: Plan) -> list[str]:
    """Addresses of the stages that have weights to evict, in the plan's order."""
    return [address for address, stage in plan.stages.items() if stage.kind in TRAININGS]


def measured(manifests: Mapping[str, ArtifactManifest]) -> Measured:
    """What evaluations and training stages among them say."""

    def of(*kinds: StageKind) -> dict[str, Mapping[str, Any]]:
        return {address: manifest.facts for address, manifest in manifests.items() if manifest.kind in kinds}

    return Measured(
        evaluations={address: EvaluationFacts.model_validate(facts) for address, facts in of("evaluation").items()},
        trainings={address: TrainingFacts.model_validate(facts) for address, facts in of(*DEV_SCORES).items()},
    )


def kept(plan: Plan, retention: CheckpointRetention, *, made: Collection[str], facts: Measured) -> set[str]:
    """Addresses of the training stages whose weights the study keeps.

    `made` are the stages that are there, `facts` what they measured. Whatever missing work starts from is kept
    under any retention: evicting it would only make it run again.
    """
    if retention is CheckpointRetention.ALL:
        return set(trainings(plan))
    chosen = needed_weights(plan, made)
    if retention is CheckpointRetention.BEST_PER_RECIPE:
        chosen.update(address for trial, target in _best(plan, facts) for address in _weights(trial, target))
    return chosen & set(trainings(plan))


def _best(plan: Plan, facts: Measured) -> Iterator[tuple[Trial, str]]:
    """By recipe and target the trial that English dev data choose; all where there are none to choose by."""
    for recipe in dict.fromkeys(trial.point.recipe for trial in plan.trials):
        trials = [trial for trial in plan.trials if trial.point.recipe == recipe]
        for target in trials[0].evaluations:
            if choice := selection.best_of_recipe(plan, target, facts, recipe=recipe):
                yield choice.trial, target
            else:
                yield from ((trial, target) for trial in trials if trial.evaluations[target] in facts.evaluations)


def _weights(trial: Trial, target: str) -> list[str]:
    """What the trial's encoder for the target came from."""
    stages = trial.pretraining, trial.intermediate, trial.trainings.get(target)
    return [address for address in stages if address]
