"""Answers of a trained model: the dev looks of a training stage, and the predictions of an evaluation stage."""

from collections.abc import Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import torch

from xstilts.api.training import TrainingSettings
from xstilts.core.errors import UserError
from xstilts.tasks.examples import Example
from xstilts.tasks.gold import gold
from xstilts.training.batches import Feature, bucketed, pack
from xstilts.training.execution import arithmetic, memory_of, prepare
from xstilts.training.heads import Prediction
from xstilts.training.model import MultiTaskModel, load_model
from xstilts.training.tokenizer import Tokenizer


class PredictionRow(NamedTuple):
    """One line of a predictions file: gold in the form of `xstilts.tasks.gold`, prediction as by `Head.answers`."""

    id: str
    gold: Prediction
    prediction: Prediction


def predict(
    *, checkpoint: Path, task: str, examples: Mapping[str, Sequence[Example]], settings: TrainingSettings
) -> dict[str, list[PredictionRow]]:
    """Answers by language, in the order of the examples; all languages go through the model in one pass.

    Lengths are those that the checkpoint was trained with. Raises UserError where it has no head for the task.
    """
    device = prepare(settings)
    model = load_model(checkpoint).to(device)
    place = _place(model, task, checkpoint)
    everything = [example for rows in examples.values() for example in rows]
    features = model.head(place).encode(Tokenizer.load(checkpoint), everything)
    predictions = iter(answers(model, place, features, settings=settings))
    return {
        language: [
            PredictionRow(example.id, gold(example), prediction)
            for example, prediction in zip(rows, islice(predictions, len(rows)), strict=True)
        ]
        for language, rows in examples.items()
    }


@torch.no_grad()
def answers(
    model: MultiTaskModel, task: int, features: Sequence[Feature], *, settings: TrainingSettings
) -> list[Prediction]:
    """One answer a feature, in order; the model is left in evaluation mode."""
    model.eval()
    device = next(model.parameters()).device
    found: dict[int, Prediction] = {}
    for indices in bucketed(features, settings.batch_size):
        batch = pack([features[index] for index in indices]).to(device)
        with memory_of(device, settings), arithmetic(device, settings):
            found.update(zip(indices, model.head(task).answers(model.states(batch, task), batch.features), strict=True))
    return [found[index] for index in range(len(features))]


def _place(model: MultiTaskModel, task: str, checkpoint: Path) -> int:
    names = [model.head(place).spec.task for place in range(len(model.heads))]
    if task not in names:
        raise UserError(f"{checkpoint} has no head for task {task!r}, only for {', '.join(names)}")
    return names.index(task)
