"""`evaluation`: zero-shot scores of one target in every language, with the predictions that they come from."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from xstilts import metrics
from xstilts.api.training import TrainingSettings
from xstilts.core.configs import EvaluationConfig
from xstilts.core.manifests import SplitRef
from xstilts.core.results import EvaluationFacts, LanguageScores
from xstilts.stages.bench import Bench, Progress
from xstilts.tasks import registry
from xstilts.tasks.definitions import Task

if TYPE_CHECKING:
    from xstilts.training.inference import PredictionRow

VERSION = 2


def run(config: EvaluationConfig, inputs: Mapping[str, str], bench: Bench) -> EvaluationFacts:
    """`inputs`: `encoder`, the address of a training stage, or of a model where the target is retrieval."""
    task = registry.get(config.task)
    encoder = bench.fetch_encoder(inputs["encoder"], config.checkpoint)
    predicted = _predict(config, encoder.folder, bench)
    languages = tuple(_scored(task, ref, predicted[ref.language], bench.folder) for ref in config.data)
    bench.report(Progress(len(languages), len(languages)))
    return EvaluationFacts(
        task=task.name, metric=task.spec.metric, checkpoint=config.checkpoint, step=encoder.step, languages=languages
    )


def _predict(config: EvaluationConfig, model: Path, bench: Bench) -> Mapping[str, Sequence["PredictionRow"]]:
    from xstilts.training.inference import predict
    from xstilts.training.retrieval import retrieve

    examples: dict[str, list[Any]] = {ref.language: list(bench.examples(ref)) for ref in config.data}
    settings = TrainingSettings(**config.settings.model_dump())
    if config.retrieval:
        return retrieve(checkpoint=model, examples=examples, retrieval=config.retrieval, settings=settings)
    return predict(checkpoint=model, task=config.task, examples=examples, settings=settings)


def _scored(task: Task, ref: SplitRef, rows: Sequence["PredictionRow"], folder: Path) -> LanguageScores:
    path = f"predictions/{ref.language}.jsonl"
    _write(folder / path, rows)
    scores = metrics.score(
        task.kind, [row.gold for row in rows], [row.prediction for row in rows], rules=task.rules, language=ref.language
    )
    return LanguageScores(language=ref.language, data=ref, rows=len(rows), metrics=scores, predictions=path)


def _write(file: Path, rows: Sequence["PredictionRow"]) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("w", encoding="utf-8", newline="\n") as out:
        for row in rows:
            out.write(json.dumps(row._asdict(), ensure_ascii=False) + "\n")
