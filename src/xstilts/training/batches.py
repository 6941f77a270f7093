"""Features and batches: what an example becomes for an encoder, and how several are laid end to end.

Neither features nor batches hold padding: a batch is one row of tokens, sequence after sequence. Only attention, which
must not look across sequences, puts them side by side, in rectangles of sequences of like length. One example may need
several sequences (a choice each, or a window each of a long text), and all of them go into the same batch.
"""

from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

LIKE_LENGTH = 0.75
"""The shortest sequence of a rectangle as a share of its longest: less makes fewer rectangles, with more padding."""


@dataclass(frozen=True, slots=True)
class Feature:
    """One example as its head wants it."""

    sequences: "tuple[array[int] | npt.NDArray[np.int32], ...]"
    """Token ids with special tokens; the longest is at most `max_length`."""
    target: Any
    """What the head should say, in a form that only the head knows."""

    @property
    def length(self) -> int:
        return max(len(sequence) for sequence in self.sequences)


class Rectangle(NamedTuple):
    """Sequences of like length side by side, for attention: `rows * width` cells in a row."""

    rows: int
    width: int
    mask: Tensor | None
    """[rows, 1, 1, width]: True where a cell holds a token; None where all do."""


class Batch(NamedTuple):
    """The sequences of all features, in order and end to end."""

    features: Sequence[Feature]
    lengths: list[int]
    """Of each sequence."""
    ids: Tensor
    """[tokens] int64; after those of the sequences may be idle ones, which nobody reads."""
    positions: Tensor
    """[tokens] int64: each token's place in its sequence, from 0."""
    rectangles: Sequence[Rectangle]
    tokens: Tensor
    """[cells] int64: the token in each cell of all rectangles; where there is none, any."""
    cells: Tensor
    """[tokens] int64: the cell of each token."""

    @property
    def starts(self) -> list[int]:
        """Where each sequence begins: the place of its `<s>`."""
        return list(accumulate(self.lengths[:-1], initial=0))

    def to(self, device: torch.device) -> "Batch":
        return self._replace(
            ids=self.ids.to(device),
            positions=self.positions.to(device),
            tokens=self.tokens.to(device),
            cells=self.cells.to(device),
            rectangles=[r._replace(mask=None if r.mask is None else r.mask.to(device)) for r in self.rectangles],
        )


def pack(features: Sequence[Feature], *, multiple: int = 1) -> Batch:
    """Idle tokens make their number a multiple."""
    sequences = [sequence for feature in features for sequence in feature.sequences]
    lengths = np.array([len(sequence) for sequence in sequences])
    starts = np.cumsum(lengths) - lengths
    positions = np.arange(lengths.sum()) - np.repeat(starts, lengths)
    idle = np.zeros(-lengths.sum() % multiple, dtype=np.int64)
    rectangles, tokens, corners, size = [], [], np.empty_like(starts), 0
    for group in like_lengths(lengths):
        columns = np.arange(lengths[group[0]])
        inside = columns < lengths[group, None]
        tokens.append(np.where(inside, starts[group, None] + columns, 0).ravel())
        corners[group] = size + columns.size * np.arange(len(group))
        size += inside.size
        mask = None if inside.all() else torch.from_numpy(inside[:, None, None])
        rectangles.append(Rectangle(len(group), columns.size, mask))
    return Batch(
        features=features,
        lengths=lengths.tolist(),
        ids=torch.from_numpy(np.concatenate([*sequences, idle]).astype(np.int64)),
        positions=torch.from_numpy(np.concatenate([positions, idle])),
        rectangles=rectangles,
        tokens=torch.from_numpy(np.concatenate(tokens)),
        cells=torch.from_numpy(np.concatenate([np.repeat(corners, lengths) + positions, idle])),
    )


def like_lengths(lengths: "np.ndarray[tuple[int], np.dtype[np.int64]]") -> Iterator[list[int]]:
    """Indices of sequences in groups, longest first, in which the shortest has `LIKE_LENGTH` of the longest."""
    group: list[int] = []
    for index in np.argsort(-lengths, kind="stable").tolist():
        if group and lengths[index] < LIKE_LENGTH * lengths[group[0]]:
            yield group
            group = []
        group.append(index)
    yield group


def bucketed(features: Sequence[Feature], size: int) -> Iterator[list[int]]:
    """Indices in batches of like length, longest first, so that memory runs out at once or never."""
    order = sorted(range(len(features)), key=lambda index: -features[index].length)
    for begin in range(0, len(order), size):
        yield order[begin : begin + size]


def filled(features: Sequence[Feature], tokens: int) -> Iterator[list[int]]:
    """Indices in batches of like length and at most so many tokens, longest first; a feature may be more by itself."""
    sizes = [sum(len(sequence) for sequence in feature.sequences) for feature in features]
    batch, used = list[int](), 0
    for index in sorted(range(len(features)), key=lambda index: -features[index].length):
        if batch and used + sizes[index] > tokens:
            yield batch
            batch, used = [], 0
        batch.append(index)
        used += sizes[index]
    if batch:
        yield batch
