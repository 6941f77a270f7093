"""Before the first step: whether tasks, encoder and settings fit together, and the model that they make."""

from collections.abc import Sequence
from pathlib import Path

import torch
from transformers import PreTrainedModel

from xstilts.api.training import TrainingSettings, Tuning
from xstilts.core.catalogue import TaskKind
from xstilts.core.errors import UserError
from xstilts.training.development import TaskData
from xstilts.training.encoders import load_encoder
from xstilts.training.heads import HEADS, HeadSpec
from xstilts.training.model import MultiTaskModel
from xstilts.training.tokenizer import Tokenizer


def build_model(
    encoder: Path,
    tasks: Sequence[TaskData],
    tokenizer: Tokenizer,
    *,
    seed: int,
    settings: TrainingSettings,
    text: bool = False,
) -> MultiTaskModel:
    """The encoder with a fresh head a task; torch's generators are seeded before the heads are made.

    For `text` there is a head for masked language modelling too: the one of the encoder's file, else a fresh one.

    Raises UserError for tasks that cannot be trained, or an encoder too small for tokenizer or settings.
    """
    _check_tasks(tasks, text=text)
    dropout = float(settings.dropout)
    loaded, report = load_encoder(encoder, dropout=dropout)
    check_sizes(loaded, tokenizer, settings, folder=encoder)
    torch.manual_seed(seed)
    specs = [_spec(task, settings) for task in tasks]
    return MultiTaskModel(
        loaded,
        specs,
        dropout=dropout,
        language_model=report.language_model if text else None,
        prefix_length=settings.prefix_length if settings.tuning is Tuning.PREFIX else 0,
    )


def _spec(task: TaskData, settings: TrainingSettings) -> HeadSpec:
    return HeadSpec(
        task=task.name,
        kind=task.kind,
        labels=HEADS[task.kind].resolve_labels(task.name, task.train.facts.labels, task.labels),
        max_length=settings.max_length,
        doc_stride=settings.doc_stride,
        null_answers=task.train.facts.null_answers,
        parser=settings.parser if task.kind is TaskKind.SEMANTIC_PARSING else None,
    )


def _check_tasks(tasks: Sequence[TaskData], *, text: bool) -> None:
    names = [task.name for task in tasks]
    if not (tasks or text) or len(set(names)) < len(names):
        raise UserError(f"a training stage needs tasks of different names, not {names}")
    for task in tasks:
        if task.kind not in HEADS:
            raise UserError(f"task {task.name}: kind {task.kind} is not trained; take it as a target only")
        if not task.train:
            raise UserError(f"task {task.name} has no training rows; raise the size or leave the task out")


def check_sizes(encoder: PreTrainedModel, tokenizer: Tokenizer, settings: TrainingSettings, *, folder: Path) -> None:
    """Raises UserError where the encoder has too few positions for the settings, or too few tokens."""
    config = encoder.config
    longest = config.max_position_embeddings - config.pad_token_id - 1
    if settings.max_length > longest:
        raise UserError(f"maxLength {settings.max_length}: the encoder in {folder} takes at most {longest} tokens")
    if tokenizer.size > config.vocab_size:
        raise UserError(
            f"{folder}: tokenizer.json has {tokenizer.size} tokens, the encoder only {config.vocab_size}; "
            "take both from the same release"
        )
