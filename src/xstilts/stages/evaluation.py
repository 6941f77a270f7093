"""`evaluation`: zero-shot scores of one target in every language, with the predictions that they come from."""

import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from xstilts import metrics
from xstilts.api.training import TrainingSettings
from xstilts.core.configs import EvaluationConfig
from xstilts.core.manifests import SplitRef
from xstilts.core.results import CheckpointScores, EvaluationFacts, LanguageScores
from xstilts.stages.bench import Bench, Progress
from xstilts.tasks import registry
from xstilts.tasks.definitions import Task

if TYPE_CHECKING:
    from xstilts.training.inference import PredictionRow

VERSION = 3


def run(config: EvaluationConfig, inputs: Mapping[str, str], bench: Bench) -> EvaluationFacts:
    """`inputs`: `encoder`, the address of a training stage, or of a model where the target is retrieval."""
    work = _Evaluation(config, registry.get(config.task), bench)
    checkpoints = []
    for number, name in enumerate(config.checkpoints, 1):
        checkpoints.append(work.scores(name, encoder=inputs["encoder"]))
        bench.report(Progress(number, len(config.checkpoints), name))
    return EvaluationFacts(task=work.task.name, metric=work.task.spec.metric, checkpoints=tuple(checkpoints))


@dataclass
class _Evaluation:
    """The target, and what was found so far."""

    config: EvaluationConfig
    task: Task
    bench: Bench
    known: dict[str, CheckpointScores] = field(default_factory=dict)
    """By the digest of an encoder: the best checkpoint often is the last one too."""

    def scores(self, checkpoint: str, *, encoder: str) -> CheckpointScores:
        found = self.bench.fetch_encoder(encoder, checkpoint)
        if known := self.known.get(found.digest):
            return known.model_copy(update={"checkpoint": checkpoint, "step": found.step})
        predicted = self._predict(found.folder)
        shutil.rmtree(found.folder)  # of a large encoder it is 2 GB
        scored = {
            address: self._scored(ref, predicted[address], f"predictions/{checkpoint}")
            for address, ref in self._splits.items()
        }
        self.known[found.digest] = CheckpointScores(
            checkpoint=checkpoint,
            step=found.step,
            languages=tuple(scored[ref.address] for ref in self.config.data),
            dev=tuple(scored[ref.address] for ref in self._dev),
        )
        return self.known[found.digest]

    @property
    def _dev(self) -> tuple[SplitRef, ...]:
        return self.config.dev if self.config.oracle else ()

    @property
    def _splits(self) -> dict[str, SplitRef]:
        """All that is predicted, by address; a test split may stand for a dev split that is not there."""
        return {ref.address: ref for ref in (*self.config.data, *self._dev)}

    def _predict(self, model: Path) -> Mapping[str, Sequence["PredictionRow"]]:
        from xstilts.training.inference import predict
        from xstilts.training.retrieval import retrieve

        examples: dict[str, list[Any]] = {
            address: list(self.bench.examples(ref)) for address, ref in self._splits.items()
        }
        settings = TrainingSettings(**self.config.settings.model_dump())
        if self.config.retrieval:
            return retrieve(checkpoint=model, examples=examples, retrieval=self.config.retrieval, settings=settings)
        return predict(checkpoint=model, task=self.config.task, examples=examples, settings=settings)

    def _scored(self, ref: SplitRef, rows: Sequence["PredictionRow"], folder: str) -> LanguageScores:
        path = f"{folder}/{ref.split}.{ref.language}.jsonl"
        _write(self.bench.folder / path, rows)
        gold, predictions = [row.gold for row in rows], [row.prediction for row in rows]
        scores = metrics.score(self.task.kind, gold, predictions, rules=self.task.rules, language=ref.language)
        return LanguageScores(language=ref.language, data=ref, rows=len(rows), metrics=scores, predictions=path)


def _write(file: Path, rows: Sequence["PredictionRow"]) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("w", encoding="utf-8", newline="\n") as out:
        for row in rows:
            out.write(json.dumps(row._asdict(), ensure_ascii=False) + "\n")
