"""What a stage leaves in the store, without having run: a manifest with facts of its kind, and its receipt.

Numbers are made up. The receipt stands for what the stage would have shown in MLflow by itself.
"""

import threading
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from xstilts import acceptance
from xstilts.acceptance import publication_of
from xstilts.api.base import Model
from xstilts.core.configs import CONFIGS, EvaluationConfig, ScalingConfig
from xstilts.core.keys import canonical_json, stage_address
from xstilts.core.manifests import ArtifactManifest
from xstilts.core.plan import Plan, PlannedStage
from xstilts.core.results import (
    CheckpointFacts,
    CheckpointScores,
    DevScores,
    EvaluationFacts,
    LanguageScores,
    ScalingFacts,
    SubsetFacts,
    TrainingFacts,
)
from xstilts.stages.publication import receipt_key
from xstilts.store import artifacts
from xstilts.store.port import ObjectStore
from xstilts.tasks import registry
from xstilts.tracking import StudyRecord, open_tracker


@dataclass
class Results:
    """One store and one tracking server. Safe under threads."""

    store: ObjectStore
    tracking: str
    _plans: dict[str, Plan] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def put(self, study: str, kind: str, key: str) -> None:
        """The result of a stage of a Study that was accepted."""
        with self._lock:
            plan = self._plans.get(study) or self._plans.setdefault(study, acceptance.load_plan(self.store, study))
        stage = plan.stages[stage_address(kind, key)]
        manifest = ArtifactManifest(
            kind=stage.kind,
            key=stage.key,
            version=stage.version,
            config=dict(stage.config),
            inputs=stage.inputs,
            facts=_facts(stage).document(),
        )
        artifacts.publish_manifest(self.store, stage.address, manifest)
        server = open_tracker(self.tracking, experiment=plan.experiment, store=self.store.uri).identity
        receipt = receipt_key(stage.address, server=server, publication=publication_of(plan, stage))
        self.store.put(receipt, canonical_json({"runId": self._run}).encode())

    @cached_property
    def _run(self) -> str:
        """The one run that stands for those of all stages: MLflow is not what is measured."""
        tracker = open_tracker(self.tracking, experiment="benchmark", store=self.store.uri)
        return tracker.publish_study(StudyRecord(study="benchmark", state="Running"))


def _facts(stage: PlannedStage) -> Model:
    config: Any = CONFIGS[stage.kind].model_validate(stage.config)
    match config:
        case ScalingConfig():
            return ScalingFacts(subsets=tuple(_subset(request) for request in config.subsets))
        case EvaluationConfig():
            return _evaluation(config, score=40 + int(stage.key[:2], 16) / 10)
        case _:
            scores = {f"{task.name}/{registry.get(task.task).spec.metric}": 50.0 for task in config.tasks}
            return TrainingFacts(
                steps=100,
                examples=3200,
                trainable_parameters=1_000_000,
                history=(DevScores(step=100, loss=0.5, scores=scores),),
                checkpoints=(CheckpointFacts(name="last", path="last", step=100, scores=scores),),
                degenerate={},
            )


def _subset(request: Any) -> SubsetFacts:
    return SubsetFacts(
        task=request.task,
        parent=request.data,
        rows=request.rows,
        parent_rows=request.rows,
        ids_digest="0" * 64,
        histogram={},
        path=f"{request.task}.tsv",
    )


def _evaluation(config: EvaluationConfig, *, score: float) -> EvaluationFacts:
    metric = registry.get(config.task).spec.metric
    languages = tuple(
        LanguageScores(language=ref.language, data=ref, rows=20, metrics={metric: score}, predictions="none.jsonl")
        for ref in config.data
    )
    checkpoints = tuple(CheckpointScores(checkpoint=name, languages=languages) for name in config.checkpoints)
    return EvaluationFacts(task=config.task, metric=metric, checkpoints=checkpoints)
