"""`evaluation`: zero-shot scores of one target in every language, with the predictions that they come from."""

import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from xstilts import metrics
from xstilts.api.training import RetrievalSettings, TrainingSettings
from xstilts.core.catalogue import TaskKind
from xstilts.core.configs import EvaluationConfig
from xstilts.core.manifests import SplitRef
from xstilts.core.results import CheckpointScores, EvaluationFacts, LanguageScores
from xstilts.stages.bench import Bench, Progress
from xstilts.tasks import registry
from xstilts.tasks.definitions import Task

if TYPE_CHECKING:
    from xstilts.training.inference import PredictionRow

VERSION = 6


def run(config: EvaluationConfig, inputs: Mapping[str, str], bench: Bench) -> EvaluationFacts:
    """`inputs`: `encoder`, the address of a training stage, or of a model where the target is retrieval."""
    work = _Evaluation(config, registry.get(config.task), bench)
    checkpoints = []
    for number, name in enumerate(config.checkpoints, 1):
        checkpoints.append(work.scores(name, encoder=inputs["encoder"]))
        bench.report(Progress(number, len(config.checkpoints), name))
    return EvaluationFacts(
        task=work.task.name, metric=work.task.spec.metric, layer=work.layer, checkpoints=tuple(checkpoints)
    )


class _Predicted(NamedTuple):
    rows: Sequence["PredictionRow"]
    threshold: float | None = None
    """Of bitext mining."""


@dataclass
class _Evaluation:
    """The target, and what was found so far."""

    config: EvaluationConfig
    task: Task
    bench: Bench
    layer: int | None = None
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
            dev=tuple(scored[ref.address] for ref in self.config.dev),
        )
        return self.known[found.digest]

    @property
    def _splits(self) -> dict[str, SplitRef]:
        """All that is predicted, by address; a test split may stand for a dev split that is not there."""
        return {ref.address: ref for ref in (*self.config.data, *self.config.dev)}

    def _predict(self, model: Path) -> Mapping[str, _Predicted]:
        """By address."""
        from xstilts.training.inference import predict
        from xstilts.training.retrieval import layer_of, retrieve

        settings = TrainingSettings(**self.config.settings.model_dump())
        if not (retrieval := self.config.retrieval):
            found = predict(checkpoint=model, task=self.config.task, examples=self._examples(), settings=settings)
            return {address: _Predicted(rows) for address, rows in found.items()}
        self.layer = layer_of(model, retrieval)
        if self.task.kind is TaskKind.BITEXT_MINING:
            return self._mined(model, retrieval, settings)
        found = retrieve(checkpoint=model, examples=self._examples(), retrieval=retrieval, settings=settings)
        return {address: _Predicted(rows) for address, rows in found.items()}

    def _mined(self, model: Path, retrieval: RetrievalSettings, settings: TrainingSettings) -> dict[str, _Predicted]:
        from xstilts.training.retrieval import mine

        examples, predicted = self._examples(), dict[str, _Predicted]()
        pairs = list(zip(self.config.dev, self.config.data, strict=True))
        mined = mine(
            checkpoint=model,
            dev={test.language: examples[dev.address] for dev, test in pairs},
            test={test.language: examples[test.address] for _, test in pairs},
            retrieval=retrieval,
            settings=settings,
        )
        for dev, test in pairs:
            found = mined[test.language]
            predicted[dev.address] = _Predicted(found.dev, found.threshold)
            predicted[test.address] = _Predicted(found.test, found.threshold)
        return predicted

    def _examples(self) -> dict[str, list[Any]]:
        return {address: list(self.bench.examples(ref)) for address, ref in self._splits.items()}

    def _scored(self, ref: SplitRef, predicted: _Predicted, folder: str) -> LanguageScores:
        path, rows = f"{folder}/{ref.split}.{ref.language}.jsonl", predicted.rows
        _write(self.bench.folder / path, rows)
        gold, predictions = [row.gold for row in rows], [row.prediction for row in rows]
        return LanguageScores(
            language=ref.language,
            data=ref,
            rows=len(rows),
            metrics=metrics.score(self.task.kind, gold, predictions, rules=self.task.rules, language=ref.language),
            threshold=predicted.threshold,
            predictions=path,
        )


def _write(file: Path, rows: Sequence["PredictionRow"]) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("w", encoding="utf-8", newline="\n") as out:
        for row in rows:
            out.write(json.dumps(row._asdict(), ensure_ascii=False) + "\n")
