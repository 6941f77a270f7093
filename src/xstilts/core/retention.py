"""Which checkpoints a study keeps when it has ended: the choice behind `spec.retention.checkpoints`. Pure.

What is chosen are training stages, with all their checkpoints. What protects weights beside the choice (other studies,
aliases, pins) is the matter of `xstilts.store.retention`.
"""

from collections.abc import Collection, Iterator, Mapping
from statistics import fmean

from xstilts.api.study import CheckpointRetention, StageKind
from xstilts.core.catalogue import ENGLISH
from xstilts.core.manifests import ArtifactManifest
from xstilts.core.missing import needed_weights
from xstilts.core.plan import Plan, Trial
from xstilts.core.results import EvaluationFacts

TRAININGS: frozenset[StageKind] = frozenset({"pretraining", "intermediate-training", "target-training"})
"""Stages that make weights."""


def trainings(plan: Plan) -> list[str]:
    """Addresses of the stages that have weights to evict, in the plan's order."""
    return [address for address, stage in plan.stages.items() if stage.kind in TRAININGS]


def measured(manifests: Mapping[str, ArtifactManifest]) -> dict[str, EvaluationFacts]:
    """What the evaluations among them say, by address."""
    return {
        address: EvaluationFacts.model_validate(manifest.facts)
        for address, manifest in manifests.items()
        if manifest.kind == "evaluation"
    }


def kept(
    plan: Plan, retention: CheckpointRetention, *, made: Collection[str], facts: Mapping[str, EvaluationFacts]
) -> set[str]:
    """Addresses of the training stages whose weights the study keeps.

    `made` are the stages that are there, `facts` what evaluations measured. Whatever missing work starts from is kept
    under any retention: evicting it would only make it run again.
    """
    if retention is CheckpointRetention.ALL:
        return set(trainings(plan))
    chosen = needed_weights(plan, made)
    if retention is CheckpointRetention.BEST_PER_RECIPE:
        chosen.update(address for trial, target in _best(plan, facts) for address in _weights(trial, target))
    return chosen & set(trainings(plan))


def _best(plan: Plan, facts: Mapping[str, EvaluationFacts]) -> Iterator[tuple[Trial, str]]:
    """By recipe and target the trial with the highest score, of equals the first."""
    best: dict[tuple[str, str], tuple[float, Trial]] = {}
    for trial in plan.trials:
        for target, address in trial.evaluations.items():
            score = _score(plan, target, facts[address]) if address in facts else None
            place = trial.point.recipe, target
            if score is not None and (place not in best or score > best[place][0]):
                best[place] = score, trial
    yield from ((trial, target) for (_, target), (_, trial) in best.items())


def _score(plan: Plan, target: str, facts: EvaluationFacts) -> float | None:
    """The headline score: mean over the languages other than English, or English where there is no other."""
    selected = facts.of(plan.selected[target])
    if selected is None:
        return None
    scores = {entry.language: entry.metrics[facts.metric] for entry in selected.languages}
    others = [score for language, score in scores.items() if language != ENGLISH]
    return fmean(others or scores.values()) if scores else None


def _weights(trial: Trial, target: str) -> list[str]:
    """What the trial's encoder for the target came from."""
    stages = trial.pretraining, trial.intermediate, trial.trainings.get(target)
    return [address for address in stages if address]
