"""The training loop: an encoder, fresh heads, batches of one task or of several, and looks at English dev sets.

A stage calls `fit` with examples in memory and a working folder; what comes out are model folders (`last` and `best`),
a history and warnings. Storing them, and checkpoints on the way, is the caller's business, through the callbacks.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from itertools import chain
from pathlib import Path
from typing import NamedTuple

import torch
from torch.nn.utils import clip_grad_norm_

from xstilts.api.training import TrainingSettings
from xstilts.core.errors import DivergenceError, Preempted
from xstilts.core.results import DevScores
from xstilts.training.assembly import build_model
from xstilts.training.batches import Feature, pack
from xstilts.training.checkpoints import LoopState, load_training, save_training
from xstilts.training.development import DevSet, TaskData
from xstilts.training.execution import arithmetic, learning_rate, memory_of, parameter_groups, prepare
from xstilts.training.model import save_model
from xstilts.training.order import Order
from xstilts.training.tokenizer import Tokenizer
from xstilts.training.vocabulary import WORDS, keep_occurring

LAST, BEST = "last", "best"


@dataclass(frozen=True, kw_only=True, slots=True)
class Budget:
    """How long to train: whichever ends first, or `TrainingSettings.epochs` if neither is given."""

    epochs: Decimal | None = None
    steps: int | None = None

    def resolve(self, *, rows: int, settings: TrainingSettings) -> int:
        """Optimizer steps for that many training rows, of all tasks together; at least one."""
        epochs = self.epochs
        if epochs is None and self.steps is None:
            epochs = Decimal(settings.epochs)
        limits = [] if self.steps is None else [self.steps]
        if epochs is not None:
            limits.append(math.ceil(rows * epochs / settings.batch_size))
        return max(1, min(limits))


class Progress(NamedTuple):
    """After each optimizer step."""

    step: int
    steps: int
    loss: float
    learning_rate: float
    scores: Mapping[str, float] | None
    """Of the dev sets, where this step looked at them."""


class SavedModel(NamedTuple):
    """A model folder that the stage keeps (see `model.save_model`)."""

    folder: Path
    step: int
    scores: Mapping[str, float]
    """On the dev sets at that step."""


@dataclass(frozen=True, kw_only=True, slots=True)
class FitResult:
    steps: int
    examples: int
    """Training examples seen, repeats counted."""
    history: tuple[DevScores, ...]
    checkpoints: Mapping[str, SavedModel]
    """`last`, and `best`: the highest mean of the tasks' headline metrics, the earlier one on a tie."""
    degenerate: Mapping[str, str]
    """Task to the reason why its last dev answers are no better than a constant; empty if all is well."""


def fit(
    *,
    encoder: Path,
    tasks: Sequence[TaskData],
    budget: Budget,
    seed: int,
    settings: TrainingSettings,
    workdir: Path,
    resume: Path | None = None,
    checkpoint_due: Callable[[int], bool] = lambda _: False,
    on_checkpoint: Callable[[Path, int], None] = lambda _, __: None,
    on_progress: Callable[[Progress], None] = lambda _: None,
    should_stop: Callable[[], bool] = lambda: False,
) -> FitResult:
    """Trains all tasks on one encoder and writes `workdir/last` and `workdir/best`.

    `on_checkpoint` gets a training checkpoint's folder, which the next one replaces, and its step: when
    `checkpoint_due(step)`, and when `should_stop()`, after which Preempted is raised. `resume` is such a folder; the
    run then ends with the same bytes as one that never stopped.

    Raises UserError, CoverageError, DivergenceError, OutOfMemoryError, Preempted, IntegrityError.
    """
    run = Run(encoder, tasks, budget, seed=seed, settings=settings, workdir=workdir)
    if resume is not None:
        run.restore(resume)
    while run.state.step < run.state.steps:
        loss = run.train_step()
        step, steps = run.state.step, run.state.steps
        scores = run.look() if step % settings.evaluate_every_steps == 0 or step == steps else None
        on_progress(Progress(step, steps, loss, run.learning_rate(step - 1), scores))
        stopping = step < steps and should_stop()
        if step < steps and (stopping or checkpoint_due(step)):
            on_checkpoint(run.save(), step)
        if stopping:
            raise Preempted(f"stopped after step {step} of {steps}; the next attempt goes on from there")
    return run.finish()


class Run:
    """A training run between two steps: everything that `save` writes and `restore` brings back."""

    def __init__(
        self,
        encoder: Path,
        tasks: Sequence[TaskData],
        budget: Budget,
        *,
        seed: int,
        settings: TrainingSettings,
        workdir: Path,
    ) -> None:
        self.settings, self.workdir, self.tasks, self.encoder_folder = settings, workdir, tasks, encoder
        self.device = prepare(settings)
        self.tokenizer = Tokenizer.load(encoder)
        self.model = build_model(encoder, tasks, self.tokenizer, seed=seed, settings=settings)
        self.features: list[list[Feature]] = [
            self.model.head(place).encode(self.tokenizer, task.train) for place, task in enumerate(tasks)
        ]
        self.dev_sets = [
            DevSet(task, place, self.model, self.tokenizer, rows=settings.dev_rows)
            for place, task in enumerate(tasks)
            if task.dev
        ]
        self.words = keep_occurring(self.model.encoder, chain(*self.features, *(dev.features for dev in self.dev_sets)))
        self.model.to(self.device)
        rows = [len(task.train) for task in tasks]
        self.state = LoopState(steps=budget.resolve(rows=sum(rows), settings=settings))
        weights = [task.weight or len(task.train) for task in tasks]
        self.order = Order(
            rows=rows, batch_size=settings.batch_size, steps=self.state.steps, seed=seed, weights=weights
        )
        groups = parameter_groups(self.model, weight_decay=float(settings.weight_decay))
        self.optimizer = torch.optim.AdamW(groups, lr=0.0, eps=float(settings.adam_epsilon), fused=True)

    def learning_rate(self, step: int) -> float:
        return learning_rate(step, steps=self.state.steps, settings=self.settings)

    def train_step(self) -> float:
        """One batch of one task; its loss."""
        step = self.state.step
        rate = self.learning_rate(step)
        task, rows = self.order[step]
        batch = pack([self.features[task][row] for row in rows]).to(self.device)
        self.model.train()
        self.optimizer.zero_grad()
        with memory_of(self.device, self.settings):
            with arithmetic(self.device, self.settings):
                loss = self.model(batch, task)
            loss.backward()
            norm = clip_grad_norm_(self.model.parameters(), float(self.settings.max_grad_norm))
            # An accelerator is waited for once in a step, here.
            value, size = (float(number) for number in torch.stack((loss.detach(), norm)).cpu())
            if not (math.isfinite(value) and math.isfinite(size)):
                raise DivergenceError(
                    f"step {step + 1} of task {self.tasks[task].name}: loss {value}, gradient norm {size} at "
                    f"learning rate {rate:.3g}; lower learningRate or raise warmupRatio"
                )
            for group in self.optimizer.param_groups:
                group["lr"] = rate
            self.optimizer.step()
        self._advance(step=step + 1, loss_sum=self.state.loss_sum + value, loss_count=self.state.loss_count + 1)
        return value

    def look(self) -> dict[str, float]:
        """Scores on all dev sets; the model is kept if it is the best so far."""
        scores: dict[str, float] = {}
        for dev in self.dev_sets:
            scores |= dev.look(self.model, self.settings)
        now = DevScores(step=self.state.step, loss=self.state.loss_sum / self.state.loss_count, scores=scores)
        self._advance(loss_sum=0.0, loss_count=0, history=(*self.state.history, now))
        if self.dev_sets and (self.state.best is None or self._mean(now) > self._mean(self.state.best)):
            self._advance(best=now)
            self._save_model(BEST)
        return scores

    def save(self) -> Path:
        """A training checkpoint."""
        folder = self.workdir / "checkpoint"
        save_training(folder, model=self.model, optimizer=self.optimizer, state=self.state, best=self.workdir / BEST)
        return folder

    def restore(self, folder: Path) -> None:
        self.state = load_training(
            folder,
            model=self.model,
            optimizer=self.optimizer,
            best=self.workdir / BEST,
            steps=self.state.steps,
        )

    def finish(self) -> FitResult:
        last = self.state.history[-1]
        if not self.dev_sets:
            self._advance(best=last)
            self._save_model(BEST)
        best = self.state.best or last
        return FitResult(
            steps=self.state.steps,
            examples=self.state.steps * self.settings.batch_size,
            history=self.state.history,
            checkpoints={
                LAST: SavedModel(self._save_model(LAST), last.step, last.scores),
                BEST: SavedModel(self.workdir / BEST, best.step, best.scores),
            },
            degenerate={dev.name: reason for dev in self.dev_sets if (reason := dev.degenerate())},
        )

    def _mean(self, scores: DevScores) -> float:
        return sum(scores.scores[dev.headline] for dev in self.dev_sets) / len(self.dev_sets)

    def _save_model(self, name: str) -> Path:
        rates = (self.learning_rate(step) for step in range(self.state.step))
        decay = math.prod(1 - rate * float(self.settings.weight_decay) for rate in rates)
        words = {WORDS: self.words.whole(decay=decay)}
        save_model(self.model, self.workdir / name, tokenizer_from=self.encoder_folder, instead=words)
        return self.workdir / name

    def _advance(self, **changes: object) -> None:
        self.state = self.state.model_copy(update=changes)
