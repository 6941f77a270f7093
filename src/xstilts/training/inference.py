"""Answers of a trained model: the dev looks of a training stage, and the predictions of an evaluation stage."""

from collections.abc import Hashable, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import torch

from xstilts.api.training import TrainingSettings
from xstilts.core.errors import UserError
from xstilts.tasks.examples import Example, inputs
from xstilts.tasks.gold import gold
from xstilts.training.batches import Feature, filled, pack
from xstilts.training.execution import arithmetic, memory_of, prepare
from xstilts.training.heads import Prediction
from xstilts.training.linear import ROWS
from xstilts.training.model import MultiTaskModel, load_model
from xstilts.training.tokenizer import Tokenizer

TOKENS = {"cpu": 2048, "cuda": 16384}
"""Of a batch: on the CPU its states stay in the caches, an accelerator wants more to be busy."""
CHUNK = 8192
"""Examples that are tokenized, sorted and answered before the next: memory does not grow with the data."""


class PredictionRow(NamedTuple):
    """One line of a predictions file: gold in the form of `xstilts.tasks.gold`, prediction as by `Head.answers`."""

    id: str
    gold: Prediction
    prediction: Prediction


@torch.inference_mode()
def predict(
    *, checkpoint: Path, task: str, examples: Mapping[str, Sequence[Example]], settings: TrainingSettings
) -> dict[str, list[PredictionRow]]:
    """Answers by language, in the order of the examples; all languages go through the model in one pass.

    What occurs several times, in whatever language, is read once. Lengths are those that the checkpoint was trained
    with; of `settings` precision and threads count. Raises UserError where it has no head for the task.
    """
    device = prepare(settings)
    model = load_model(checkpoint).to(device)
    place = _place(model, task, checkpoint)
    tokenizer = Tokenizer.load(checkpoint)
    distinct = {inputs(example): example for rows in examples.values() for example in rows}
    found: dict[Hashable, Prediction] = {}
    left = iter(distinct.values())
    while chunk := list(islice(left, CHUNK)):
        features = model.head(place).encode(tokenizer, chunk)
        predictions = answers(model, place, features, settings=settings)
        found.update(zip(map(inputs, chunk), predictions, strict=True))
    return {
        language: [PredictionRow(example.id, gold(example), found[inputs(example)]) for example in rows]
        for language, rows in examples.items()
    }


@torch.no_grad()
def answers(
    model: MultiTaskModel, task: int, features: Sequence[Feature], *, settings: TrainingSettings
) -> list[Prediction]:
    """One answer a feature, in order, whatever else is among the features; the model is left in evaluation mode."""
    model.eval()
    head, device = model.head(task), next(model.parameters()).device
    tokens = TOKENS[device.type]
    found: list[Prediction] = [None] * len(features)
    # Within one context weights become bfloat16 once, not once a batch.
    with memory_of(device, settings, tokens=tokens), arithmetic(device, settings):
        for indices in filled(features, tokens):
            batch = pack([features[index] for index in indices], multiple=ROWS).to(device)
            for index, answer in zip(indices, head.answers(model.states(batch, task), batch.features), strict=True):
                found[index] = answer
    return found


def _place(model: MultiTaskModel, task: str, checkpoint: Path) -> int:
    names = [model.head(place).spec.task for place in range(len(model.heads))]
    if task not in names:
        raise UserError(f"{checkpoint} has no head for task {task!r}, only for {', '.join(names)}")
    return names.index(task)
