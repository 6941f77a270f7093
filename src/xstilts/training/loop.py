"""The training loop: an encoder, fresh heads, batches of tasks and of text, and looks at English dev sets.

A stage calls `fit` with data and a working folder; what comes out are model folders (`last`, `best` and `averaged`), a
history and warnings. Storing them, and checkpoints on the way, is the caller's business, through the callbacks.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple

import torch
from torch import nn
from torch.nn.utils import clip_grad_norm_

from xstilts.api.training import TrainingSettings
from xstilts.core.errors import DivergenceError, IntegrityError, Preempted
from xstilts.core.results import DevScores
from xstilts.training.assembly import build_model
from xstilts.training.batches import pack
from xstilts.training.checkpoints import Average, LoopState, Training, load_training, save_training
from xstilts.training.development import DevSet, TaskData
from xstilts.training.distributed import Processes, whole
from xstilts.training.execution import arithmetic, learning_rate, memory_of, parameter_groups, prepare
from xstilts.training.model import save_model
from xstilts.training.order import Turns, seed_of
from xstilts.training.streams import Stream, TaskStream, TextData, TextStream
from xstilts.training.tokenizer import Tokenizer
from xstilts.training.vocabulary import WORDS, OccurringWords, keep_occurring

LAST, BEST, AVERAGED = "last", "best", "averaged"
SNAPSHOTS = 10
"""Weights that are averaged, at equal distances from the first tenth of the steps to the last step: Schmidt et al.
2023, "Free Lunch", who take checkpoints at each tenth of the training."""
EXPLOSION = 10.0
"""A run whose mean loss grows to this many times that of its first look is lost."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Budget:
    """How long to train: whichever ends first, or `TrainingSettings.epochs` if neither is given."""

    epochs: Decimal | None = None
    steps: int | None = None

    def resolve(self, *, rows: int, size: Fraction, settings: TrainingSettings, text: Fraction = Fraction(0)) -> int:
        """Optimizer steps, at least one.

        Epochs are passes over `rows` training rows, of all tasks together, of which a step takes `size` in the mean;
        steps on text, which are that share of all, come on top. Steps are those of tasks and text.
        """
        epochs = self.epochs
        if epochs is None and self.steps is None:
            epochs = Decimal(settings.epochs)
        limits = [] if self.steps is None else [self.steps]
        if epochs is not None:
            limits.append(math.ceil(math.ceil(rows * Fraction(epochs) / size) / (1 - text)))
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
    """Training examples seen, lines of text and repeats counted."""
    trainable_parameters: int
    history: tuple[DevScores, ...]
    checkpoints: Mapping[str, SavedModel]
    """`last`; where there are tasks, `best`: the highest mean of their headline metrics, the earlier one on a tie (the
    last where no task has dev rows); and `averaged`: the mean of the weights at SNAPSHOTS steps. Of several processes
    the first has them."""
    degenerate: Mapping[str, str]
    """Task to the reason why its last dev answers are no better than a constant or chance; empty if all is well."""


def fit(
    *,
    encoder: Path,
    tasks: Sequence[TaskData],
    budget: Budget,
    seed: int,
    settings: TrainingSettings,
    workdir: Path,
    text: TextData | None = None,
    resume: Path | None = None,
    checkpoint_due: Callable[[int], bool] = lambda _: False,
    on_checkpoint: Callable[[Path, int], None] = lambda _, __: None,
    on_progress: Callable[[Progress], None] = lambda _: None,
    should_stop: Callable[[], bool] = lambda: False,
) -> FitResult:
    """Trains all tasks, and masked language modelling of text, on one encoder and writes model folders to `workdir`.

    `on_checkpoint` gets a training checkpoint's folder, which the next one replaces, and its step: when
    `checkpoint_due(step)`, and when `should_stop()`, after which Preempted is raised. `resume` is such a folder; the
    run then ends with the same bytes as one that never stopped. Of several processes (see `Processes.joined`) each
    calls this with the same arguments and a folder of its own; the first decides, writes and calls back.

    Raises UserError, CoverageError, DivergenceError, OutOfMemoryError, Preempted, IntegrityError.
    """
    processes = Processes.joined()
    run = Run(encoder, tasks, text, budget, seed=seed, settings=settings, workdir=workdir, processes=processes)
    if resume is not None:
        run.restore(resume)
    while run.state.step < run.state.steps:
        loss = run.train_step()
        step, steps = run.state.step, run.state.steps
        scores = run.look() if step % settings.evaluate_every_steps == 0 or step == steps else None
        on_progress(Progress(step, steps, loss, run.learning_rate(step - 1), scores))
        if step == steps:
            break
        stopping, due = processes.agree((should_stop(), checkpoint_due(step)))
        if stopping or due:
            folder = run.save()
            if processes.first:
                on_checkpoint(folder, step)
        if stopping:
            raise Preempted(f"stopped after step {step} of {steps}; the next attempt goes on from there")
    return run.finish()


class Run:
    """A training run between two steps: everything that `save` writes and `restore` brings back."""

    def __init__(
        self,
        encoder: Path,
        tasks: Sequence[TaskData],
        text: TextData | None,
        budget: Budget,
        *,
        seed: int,
        settings: TrainingSettings,
        workdir: Path,
        processes: Processes,
    ) -> None:
        self.processes = processes
        self.settings, self.workdir, self.seed, self.encoder_folder = settings, workdir, seed, encoder
        self.tasks = [task.name for task in tasks]
        self.device = prepare(settings)
        tokenizer = Tokenizer.load(encoder)
        self.model = build_model(encoder, tasks, tokenizer, text=text is not None, seed=seed, settings=settings)
        self.dev_sets = [
            DevSet(task, place, self.model, rows=settings.dev_rows) for place, task in enumerate(tasks) if task.dev
        ]
        self.streams: list[Stream] = [
            TaskStream(task, place, self.model.head(place), settings=settings, seed=seed)
            for place, task in enumerate(tasks)
        ]
        self.text = text and TextStream(text, len(tasks), tokenizer, settings=settings, seed=seed)
        self.trainable = sum(weight.numel() for _, weight in self._trained())
        self.words: OccurringWords | None = None
        if self.text:
            self.streams.append(self.text)  # its loss reaches every word
        elif self.model.prefix is None:
            tables = [*(task.train for task in tasks), *(dev.table for dev in self.dev_sets)]
            self.words = keep_occurring(self.model.encoder, tables)
        self.model.to(self.device)
        self.wrapped = processes.wrapped(self.model, self.model.encoder)
        shares, ratio = _shares(tasks), text.ratio if text else Fraction(0)
        size = sum((share * stream.size for share, stream in zip(shares, self.streams, strict=False)), Fraction(0))
        steps = budget.resolve(rows=sum(len(task.train) for task in tasks), size=size, settings=settings, text=ratio)
        self.state = LoopState(steps=steps)
        weights = [*(share * (1 - ratio) for share in shares), *([ratio] if text else [])]
        self.turns = Turns(steps=steps, seed=seed, weights=weights)
        groups = parameter_groups(self.model, weight_decay=float(settings.weight_decay))
        self.optimizer = torch.optim.AdamW(groups, lr=0.0, eps=float(settings.adam_epsilon), fused=True)
        self.average: Average = {}

    def learning_rate(self, step: int) -> float:
        return learning_rate(step, steps=self.state.steps, settings=self.settings)

    def train_step(self) -> float:
        """One optimizer step on one stream; its loss."""
        step = self.state.step
        rate = self.learning_rate(step)
        turn = self.turns[step]
        stream = self.streams[turn.stream]
        batch = stream.batch(turn.number)
        counts = self.model.scorer(stream.place).counts(batch)
        self.model.train()
        self.optimizer.zero_grad()
        total = torch.zeros((), device=self.device)
        with memory_of(self.device, self.settings):
            for number in range(stream.passes):
                # The numbers of dropout are a function of the step, so that no state of them must be kept.
                self._seed(seed_of("dropout", self.seed, step, number, *self.processes.name))
                examples, weight = self.processes.share(batch[number :: stream.passes])
                with self.processes.passing(self.wrapped, last=number == stream.passes - 1):
                    with arithmetic(self.device, self.settings):
                        loss = self.wrapped(pack(examples).to(self.device), stream.place, counts)
                    (loss * (weight * stream.loss_scale)).backward()
                total += loss.detach() * bool(weight)
            norm = whole(clip_grad_norm_(self.model.parameters(), float(self.settings.max_grad_norm)))
            # An accelerator is waited for once in a step, here.
            value, length = float(self.processes.sum(total)), float(norm)
            if not (math.isfinite(value) and math.isfinite(length)):
                raise DivergenceError(
                    f"step {step + 1} of {stream.name}: loss {value}, gradient norm {length} at learning rate "
                    f"{rate:.3g}; lower learningRate or raise warmupRatio"
                )
            for group in self.optimizer.param_groups:
                group["lr"] = rate
            self.optimizer.step()
        self._advance(step=step + 1, loss_sum=self.state.loss_sum + value, loss_count=self.state.loss_count + 1)
        if self.tasks and step + 1 in (taken := snapshots(self.state.steps)):
            self._average(taken.index(step + 1) + 1)
        return value

    def _seed(self, seed: int) -> None:
        """As torch.manual_seed, which notes the stack for accelerators that are not in use: 3 % of a small step."""
        torch.default_generator.manual_seed(seed)
        if self.device.type == "cuda":
            torch.cuda.manual_seed(seed)

    def look(self) -> Mapping[str, float]:
        """Scores on all dev sets; the model is kept if it is the best so far."""
        loss = self.state.loss_sum / self.state.loss_count
        now = DevScores(step=self.state.step, loss=loss, scores=self._scores())
        history = (*self.state.history, now)
        if now.loss > EXPLOSION * history[0].loss:
            raise DivergenceError(
                f"step {now.step}: the mean loss is {now.loss:.3g} after {history[0].loss:.3g} at the first look; "
                "lower learningRate or raise warmupRatio"
            )
        self._advance(loss_sum=0.0, loss_count=0, history=history)
        if self.dev_sets and (self.state.best is None or self._mean(now) > self._mean(self.state.best)):
            self._advance(best=now)
            self._save_model(BEST, [now.step])
        return now.scores

    def save(self) -> Path:
        """A training checkpoint."""
        folder = self.workdir / "checkpoint"
        training = Training(whole(self.model.state_dict()), whole(self.optimizer.state_dict()), whole(self.average))
        if self.processes.first:
            save_training(folder, training, self.state, best=self.workdir / BEST)
        return folder

    def restore(self, folder: Path) -> None:
        self.state, self.average = load_training(
            folder,
            model=self.model,
            optimizer=self.optimizer,
            best=self.workdir / BEST,
            steps=self.state.steps,
        )
        if self.state.step != (step := self.processes.agree(self.state.step)):
            raise IntegrityError(f"{folder} is from step {self.state.step}, but the first process goes on from {step}")

    def finish(self) -> FitResult:
        last, steps = self.state.history[-1], self.state.steps
        checkpoints = {LAST: SavedModel(self._save_model(LAST, [steps]), last.step, last.scores)}
        degenerate = {dev.name: reason for dev in self.dev_sets if (reason := dev.degenerate())}
        if self.tasks:
            best = self.state.best or last
            folder = self.workdir / BEST if self.state.best else self._save_model(BEST, [steps])
            checkpoints[BEST] = SavedModel(folder, best.step, best.scores)
            for name, weight in self._trained():
                weight.data.copy_(self.average[name])
            checkpoints[AVERAGED] = SavedModel(self._save_model(AVERAGED, snapshots(steps)), last.step, self._scores())
        return FitResult(
            steps=steps,
            examples=sum(count * stream.size for count, stream in zip(self.turns.counts(), self.streams, strict=False)),
            trainable_parameters=self.trainable,
            history=self.state.history,
            checkpoints=checkpoints if self.processes.first else {},
            degenerate=degenerate,
        )

    def _scores(self) -> dict[str, float]:
        scores: dict[str, float] = self.text.perplexities(self.model, self.settings) if self.text else {}
        for dev in self.dev_sets:
            scores |= dev.look(self.model, self.settings)
        return self.processes.agree(scores)

    def _mean(self, scores: DevScores) -> float:
        return sum(scores.scores[dev.headline] for dev in self.dev_sets) / len(self.dev_sets)

    def _trained(self) -> Iterator[tuple[str, nn.Parameter]]:
        return ((name, weight) for name, weight in self.model.named_parameters() if weight.requires_grad)

    def _average(self, number: int) -> None:
        """Takes the weights into their running mean, as the `number`-th."""
        for name, weight in self._trained():
            mean = self.average.setdefault(name, torch.zeros_like(weight))
            mean.lerp_(weight.detach(), 1 / number)

    def _save_model(self, name: str, steps: Sequence[int]) -> Path:
        """Writes the weights, which are those of that step, or the mean of those of several."""
        folder, weights = self.workdir / name, whole(self.model.state_dict())
        if self.processes.first:
            if self.words:
                decay = sum(map(self._decay, steps)) / len(steps)
                words = f"encoder.{WORDS}"
                weights[words] = self.words.whole(weights[words], decay=decay)
            save_model(self.model, weights, folder, tokenizer_from=self.encoder_folder)
        return folder

    def _decay(self, steps: int) -> float:
        """What is left by then of a weight that has no gradient."""
        rates = (self.learning_rate(step) for step in range(steps))
        return math.prod(1 - rate * float(self.settings.weight_decay) for rate in rates)

    def _advance(self, **changes: object) -> None:
        self.state = self.state.model_copy(update=changes)


def snapshots(steps: int) -> list[int]:
    """Steps after which the weights are taken into the average, ascending."""
    return sorted({math.ceil(steps * number / SNAPSHOTS) for number in range(1, SNAPSHOTS + 1)})


def _shares(tasks: Sequence[TaskData]) -> list[Fraction]:
    """Of the steps on tasks, each task's: by its weight, or else its rows."""
    weights = [task.weight or len(task.train) for task in tasks]
    return [Fraction(weight, sum(weights)) for weight in weights]
