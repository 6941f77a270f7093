"""What a run trains on: a stream of batches for each task, and one of text with hidden tokens."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Protocol

import numpy as np
import torch

from xstilts.api.training import TrainingSettings
from xstilts.core.errors import UserError
from xstilts.training.batches import Feature, bucketed, pack
from xstilts.training.development import TaskData
from xstilts.training.execution import arithmetic, memory_of
from xstilts.training.heads import Head
from xstilts.training.masking import LineOrder, Masking
from xstilts.training.model import MultiTaskModel
from xstilts.training.order import Walk, sample
from xstilts.training.tables import TokenTable
from xstilts.training.tokenizer import Tokenizer

HELD_OUT_SHARE = 0.02
"""Of the lines of a language: never trained on, for its perplexity."""
LARGEST_LOSS = 50.0
"""Above it a perplexity is written as that of this loss, to stay a finite number."""


class Stream(Protocol):
    """Batches for one head of the model."""

    @property
    def name(self) -> str: ...

    @property
    def place(self) -> int:
        """Of the head."""
        ...

    @property
    def loss_scale(self) -> float:
        """Factor of the loss before its gradient is taken."""
        ...

    @property
    def passes(self) -> int:
        """Forward and backward passes that make one optimizer step."""
        ...

    @property
    def size(self) -> int:
        """Examples of one optimizer step."""
        ...

    def batch(self, number: int) -> Sequence[Feature]:
        """All examples of the stream's own `number`-th step."""
        ...


class TaskStream:
    """A task's examples, pass after pass."""

    def __init__(self, data: TaskData, place: int, head: Head, *, settings: TrainingSettings, seed: int) -> None:
        self.name, self.place, self.loss_scale = data.name, place, data.loss_scale
        self.passes = data.gradient_accumulation or settings.gradient_accumulation
        self.size = settings.batch_size * self.passes
        self._table, self._head = data.train, head
        self._walk = Walk(rows=len(data.train), size=self.size, seed=seed, task=place)

    def batch(self, number: int) -> Sequence[Feature]:
        return [self._head.readable(self._table[row]) for row in self._walk[number]]


@dataclass(frozen=True, kw_only=True, slots=True)
class TextData:
    """Plain text whose tokens are hidden and guessed."""

    lines: Mapping[str, TokenTable]
    """By language; written for a language model."""
    ratio: Fraction = Fraction(1)
    """Share of the optimizer steps that train on text; 1 where there are no tasks."""
    smoothing: float = 0.3
    """Exponent alpha: a language of n lines is drawn in proportion to n ** alpha."""
    mask_probability: float = 0.15


class TextStream:
    """Lines of several languages, drawn with replacement, with other tokens hidden each time."""

    name = "text"
    loss_scale = 1.0

    def __init__(
        self, data: TextData, place: int, tokenizer: Tokenizer, *, settings: TrainingSettings, seed: int
    ) -> None:
        self.place, self.passes = place, settings.gradient_accumulation
        self.size = settings.batch_size * self.passes
        self._seed = seed
        self.masking = Masking.of(tokenizer, data.mask_probability)
        self.held_out: dict[str, list[Feature]] = {}
        self._lines: list[TokenTable] = []
        for language, lines in data.lines.items():
            train, held_out = _divided(language, lines, settings.dev_rows)
            self._lines.append(train)
            self.held_out[language] = list(held_out)
        rows = [len(lines) for lines in self._lines]
        self._order = LineOrder(rows=rows, batch_size=self.size, smoothing=data.smoothing, seed=seed)

    def batch(self, number: int) -> Sequence[Feature]:
        lines = [self._lines[line.language][line.row] for line in self._order[number]]
        return self.masking(lines, stream=("mask", self._seed, number))

    @torch.no_grad()
    def perplexities(self, model: MultiTaskModel, settings: TrainingSettings) -> dict[str, float]:
        """Perplexity of hidden tokens in each language's held-out lines; the masks are the same each time."""
        return {f"perplexity/{language}": self._perplexity(language, model, settings) for language in self.held_out}

    def _perplexity(self, language: str, model: MultiTaskModel, settings: TrainingSettings) -> float:
        model.eval()
        device = next(model.parameters()).device
        total, tokens = torch.zeros((), device=device), 0
        lines = self.held_out[language]
        for number, indices in enumerate(bucketed(lines, settings.batch_size)):
            features = self.masking([lines[index] for index in indices], stream=("held-out", language, number))
            with memory_of(device, settings), arithmetic(device, settings):
                total += model(pack(features).to(device), self.place, (1,))
            tokens += sum(len(feature.target.tokens) for feature in features)
        return float(torch.exp((total / max(1, tokens)).clamp(max=LARGEST_LOSS)))


def _divided(language: str, lines: TokenTable, most: int) -> tuple[TokenTable, TokenTable]:
    """Lines to train on and lines held out: at most `most`, and the same for every seed."""
    size = min(most, int(len(lines) * HELD_OUT_SHARE))
    held_out = sample(f"held-out/{language}", rows=len(lines), size=size) if size else []
    if not len(lines):
        raise UserError(f"language {language!r} has no line of text; leave it out of languages")
    return lines.select(np.setdiff1d(np.arange(len(lines)), held_out)), lines.select(held_out)
