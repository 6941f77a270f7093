"""What training stages share: data in, `fit`, checkpoints out. The two of fine-tuning differ in their rows alone."""

import shutil
import time
from array import array
from collections.abc import Callable, Iterable
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from xstilts.api.training import TrainingSettings
from xstilts.core.configs import TaskTraining, TextStream, TrainingConfig
from xstilts.core.errors import IntegrityError
from xstilts.core.manifests import SplitRef
from xstilts.core.results import CheckpointFacts, TrainingFacts
from xstilts.stages.bench import Bench, Progress
from xstilts.stages.tokens import tokens
from xstilts.tasks import registry
from xstilts.tasks.examples import Example

if TYPE_CHECKING:
    from xstilts.training import FitResult, TextData
    from xstilts.training.tables import TokenTable


class TrainingRows(NamedTuple):
    """What a task is trained on: a split, or some of its rows."""

    examples: Iterable[Example]
    """All of the split; read only where nobody has tokenized them before."""
    rows: "array[int] | None" = None
    of: int | None = None
    """Rows that the split had when `rows` were drawn from it."""


def fine_tune(
    config: TrainingConfig, *, encoder: str, data: Callable[[TaskTraining], TrainingRows], bench: Bench
) -> TrainingFacts:
    """Trains the config's tasks on the encoder at that address, from the newest training checkpoint if there is one.

    Writes `checkpoints/last`, `best` and `averaged`, each an encoder in the hub's format with its tokenizer and heads.
    """
    from xstilts.training.development import TaskData
    from xstilts.training.loop import Budget

    folder = bench.fetch_encoder(encoder, config.checkpoint).folder

    def table(task: TaskTraining, ref: SplitRef, rows: TrainingRows) -> "TokenTable":
        known = registry.get(task.task)
        whole = tokens(bench, ref, rows.examples, task=known, tokenizer=folder, settings=config.settings)
        if rows.of not in (None, len(whole)):
            raise IntegrityError(f"{ref} has {len(whole)} rows, but had {rows.of} when the subset was drawn")
        return whole if rows.rows is None else whole.select(rows.rows)

    tasks = [
        TaskData(
            name=task.name,
            kind=known.spec.kind,
            labels=known.spec.labels,
            metric=known.spec.metric,
            rules=known.rules,
            weight=task.weight,
            loss_scale=float(task.loss_scale),
            gradient_accumulation=task.gradient_accumulation,
            train=table(task, task.train, data(task)),
            dev=table(task, task.dev, TrainingRows(bench.english(task.dev))),
        )
        for task, known in ((task, registry.get(task.task)) for task in config.tasks)
    ]
    budget = config.budget
    return train(
        bench,
        encoder=folder,
        tasks=tasks,
        text=text_of(config.text, config.settings, encoder=folder, bench=bench) if config.text else None,
        budget=Budget(epochs=Decimal(budget.epochs) if budget.epochs else None, steps=budget.steps),
        seed=config.seed,
        settings=config.settings,
    )


def text_of(stream: TextStream, settings: TrainingSettings, *, encoder: Path, bench: Bench) -> "TextData":
    """The lines that the stream names, as tokens of the encoder in that folder."""
    from xstilts.training import TextData

    return TextData(
        lines={
            ref.language: tokens(bench, ref, bench.text(ref), task=None, tokenizer=encoder, settings=settings)
            for ref in stream.data
        },
        ratio=Fraction(stream.ratio),
        smoothing=float(stream.smoothing),
        mask_probability=float(stream.mask_probability),
    )


def train(bench: Bench, **work: Any) -> TrainingFacts:
    """`fit` with that work, on the bench: resumed, watched, stopped and kept."""
    from xstilts.training.loop import fit

    result = fit(
        **work,
        workdir=bench.scratch / "training",
        resume=bench.resume_point(),
        checkpoint_due=_every(bench.checkpoint_seconds),
        on_checkpoint=bench.save_checkpoint,
        on_progress=lambda at: bench.report(Progress(at.step, at.steps, f"loss {at.loss:.3f}")),
        should_stop=bench.should_stop,
    )
    return _keep(result, bench)


def _every(seconds: float) -> Callable[[int], bool]:
    """True once in so many seconds; when it falls changes nothing in the result."""
    due = time.monotonic() + seconds

    def is_due(_: int) -> bool:
        nonlocal due
        now = time.monotonic()
        if now < due:
            return False
        due = now + seconds
        return True

    return is_due


def _keep(result: "FitResult", bench: Bench) -> TrainingFacts:
    """Puts the checkpoints into the artifact, and says what is to be known of them."""
    checkpoints = []
    for name, saved in sorted(result.checkpoints.items()):
        path = f"checkpoints/{name}"
        shutil.copytree(saved.folder, bench.folder / path)
        checkpoints.append(CheckpointFacts(name=name, path=path, step=saved.step, scores=dict(saved.scores)))
    return TrainingFacts(
        steps=result.steps,
        examples=result.examples,
        trainable_parameters=result.trainable_parameters,
        history=result.history,
        checkpoints=tuple(checkpoints),
        degenerate=dict(result.degenerate),
    )
