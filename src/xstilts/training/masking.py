"""Masked-language-model batches: which lines a step sees, which of their tokens are hidden, and by what.

Both are functions of the seed and the step alone, so a resumed run needs no state of them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Self

import numpy as np
import numpy.typing as npt

from xstilts.core.errors import UserError
from xstilts.training.batches import Feature
from xstilts.training.heads.language_model import HiddenTokens
from xstilts.training.order import generator
from xstilts.training.tokenizer import Tokenizer, tokens_of

MASK = "<mask>"
MASKED, RANDOM = 0.8, 0.1
"""Of the tokens to predict 80 % become `<mask>`, 10 % another one, and 10 % stay (Devlin et al. 2019, section 3.1)."""

Ids = npt.NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class Masking:
    """Hides tokens, never special ones: neither `<s>`, `</s>` and padding, nor `<unk>`, which nobody can guess."""

    probability: float
    mask: int
    ordinary: Ids
    """Ids of all tokens that are not special."""

    @classmethod
    def of(cls, tokenizer: Tokenizer, probability: float) -> Self:
        """Raises UserError where the tokenizer has no `<mask>`."""
        mask = tokenizer.backend.token_to_id(MASK)
        if mask is None:
            raise UserError(f"tokenizer.json has no {MASK}: training on text needs that of a masked language model")
        special = (tokenizer.start, tokenizer.pad, tokenizer.end, tokenizer.unknown, mask)
        return cls(probability=probability, mask=mask, ordinary=np.setdiff1d(np.arange(tokenizer.size), special))

    def __call__(self, lines: Sequence[Feature], *, stream: Sequence[str | int]) -> list[Feature]:
        """The lines, a sequence each, with some tokens hidden; `stream` names the random numbers."""
        random = generator(*stream)
        lengths = [len(line.sequences[0]) for line in lines]
        tokens = np.concatenate([line.sequences[0] for line in lines]).astype(np.int64)
        places = np.isin(tokens, self.ordinary) & (random.random(tokens.shape) < self.probability)
        shown = self._hidden(tokens, places, random)
        ends = np.cumsum(lengths)
        return [
            _feature(tokens[begin:end], shown[begin:end], places[begin:end])
            for begin, end in zip(ends - lengths, ends, strict=True)
        ]

    def _hidden(self, tokens: Ids, places: npt.NDArray[np.bool_], random: np.random.Generator) -> Ids:
        targets = tokens[places]
        fate = random.random(targets.shape)
        others = random.choice(self.ordinary, size=targets.shape)
        shown = np.where(fate < MASKED, self.mask, np.where(fate < MASKED + RANDOM, others, targets))
        hidden = tokens.copy()
        hidden[places] = shown
        return hidden


def _feature(tokens: Ids, shown: Ids, places: npt.NDArray[np.bool_]) -> Feature:
    return Feature((tokens_of(shown.tolist()),), HiddenTokens(np.flatnonzero(places), tokens[places]))


class Line(NamedTuple):
    """One line of one language, by number."""

    language: int
    row: int


class LineOrder:
    """The lines of each step, drawn with replacement.

    A language of n lines is drawn with a probability in proportion to n ** smoothing (Conneau et al. 2020, section 3.1:
    0.3), so that small languages are heard more often than their size would have it.
    """

    def __init__(self, *, rows: Sequence[int], batch_size: int, smoothing: float, seed: int) -> None:
        """`rows`: lines of each language, at least 1."""
        self._rows, self._batch_size, self._seed = np.asarray(rows), batch_size, seed
        weights = self._rows.astype(np.float64) ** smoothing
        self.shares: npt.NDArray[Any] = weights / weights.sum()

    def __getitem__(self, step: int) -> list[Line]:
        """The batch that leads from `step` to `step + 1`."""
        random = generator("lines", self._seed, step)
        languages = random.choice(len(self._rows), size=self._batch_size, p=self.shares)
        rows = random.integers(self._rows[languages])
        return [Line(int(language), int(row)) for language, row in zip(languages, rows, strict=True)]
