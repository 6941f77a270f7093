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
from xstilts.core.results import CheckpointScores, EvaluationFacts, LanguageScores, OracleChoice
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
    return EvaluationFacts(
        task=work.task.name,
        metric=work.task.spec.metric,
        checkpoints=tuple(checkpoints),
        oracle=tuple(work.choice(language) for language in work.dev),
    )


@dataclass
class _Evaluation:
    """The target's examples, and what was found with them so far."""

    config: EvaluationConfig
    task: Task
    bench: Bench
    dev: dict[str, SplitRef] = field(default_factory=dict)
    """By language, what the oracle selects by; empty without one."""
    dev_scores: dict[str, dict[str, float]] = field(default_factory=dict)
    """By language and checkpoint, the headline metric there."""
    known: dict[str, CheckpointScores] = field(default_factory=dict)
    """Scores by the digest of an encoder: the best checkpoint often is the last one too."""

    def __post_init__(self) -> None:
        if self.config.oracle:
            self.dev = {ref.language: ref for ref in self.config.dev}

    def scores(self, checkpoint: str, *, encoder: str) -> CheckpointScores:
        found = self.bench.fetch_encoder(encoder, checkpoint)
        if known := self.known.get(found.digest):
            for scores in self.dev_scores.values():
                scores[checkpoint] = scores[known.checkpoint]
            return known.model_copy(update={"checkpoint": checkpoint, "step": found.step})
        predicted = self._predict(found.folder)
        shutil.rmtree(found.folder)  # of a large encoder it is 2 GB
        languages = tuple(self._scored(ref, predicted[ref.address], checkpoint) for ref in self.config.data)
        for language, ref in self.dev.items():
            self.dev_scores.setdefault(language, {})[checkpoint] = self._metrics(ref, predicted[ref.address])[
                self.task.spec.metric
            ]
        self.known[found.digest] = CheckpointScores(checkpoint=checkpoint, step=found.step, languages=languages)
        return self.known[found.digest]

    def choice(self, language: str) -> OracleChoice:
        scores = self.dev_scores[language]
        best = max(sorted(scores), key=lambda checkpoint: scores[checkpoint])
        return OracleChoice(language=language, data=self.dev[language], scores=scores, checkpoint=best)

    def _predict(self, model: Path) -> Mapping[str, Sequence["PredictionRow"]]:
        """By the address of the split: those of `data`, and those of the oracle."""
        from xstilts.training.inference import predict
        from xstilts.training.retrieval import retrieve

        refs = {ref.address: ref for ref in (*self.config.data, *self.dev.values())}
        examples: dict[str, list[Any]] = {address: list(self.bench.examples(ref)) for address, ref in refs.items()}
        settings = TrainingSettings(**self.config.settings.model_dump())
        if self.config.retrieval:
            return retrieve(checkpoint=model, examples=examples, retrieval=self.config.retrieval, settings=settings)
        return predict(checkpoint=model, task=self.config.task, examples=examples, settings=settings)

    def _scored(self, ref: SplitRef, rows: Sequence["PredictionRow"], checkpoint: str) -> LanguageScores:
        path = f"predictions/{checkpoint}/{ref.language}.jsonl"
        _write(self.bench.folder / path, rows)
        return LanguageScores(
            language=ref.language, data=ref, rows=len(rows), metrics=self._metrics(ref, rows), predictions=path
        )

    def _metrics(self, ref: SplitRef, rows: Sequence["PredictionRow"]) -> dict[str, float]:
        gold, predictions = [row.gold for row in rows], [row.prediction for row in rows]
        return metrics.score(self.task.kind, gold, predictions, rules=self.task.rules, language=ref.language)


def _write(file: Path, rows: Sequence["PredictionRow"]) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("w", encoding="utf-8", newline="\n") as out:
        for row in rows:
            out.write(json.dumps(row._asdict(), ensure_ascii=False) + "\n")
