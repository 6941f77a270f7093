"""Features and batches: what an example becomes for an encoder, and how several are put side by side.

Features hold token ids without padding; only a batch is padded, to its longest sequence. One example may need several
sequences (a choice each, or a window each of a long text), and all of them go into the same batch.
"""

from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor


@dataclass(frozen=True, slots=True)
class Feature:
    """One example as its head wants it."""

    sequences: "tuple[array[int], ...]"
    """Token ids with special tokens; the longest is at most `max_length`."""
    target: Any
    """What the head should say, in a form that only the head knows."""

    @property
    def length(self) -> int:
        return max(len(sequence) for sequence in self.sequences)


class Batch(NamedTuple):
    """The sequences of all features, in order, as rows of a rectangle."""

    features: Sequence[Feature]
    ids: Tensor
    """[sequences, tokens] int64, padded at the end."""
    mask: Tensor
    """[sequences, tokens] int64: 1 for a token, 0 for padding."""

    def to(self, device: torch.device) -> "Batch":
        return Batch(self.features, self.ids.to(device), self.mask.to(device))


def collate(features: Sequence[Feature], *, pad: int) -> Batch:
    sequences = [sequence for feature in features for sequence in feature.sequences]
    shape = (len(sequences), max(len(sequence) for sequence in sequences))
    ids, mask = np.full(shape, pad, np.int64), np.zeros(shape, np.int64)
    for row, sequence in enumerate(sequences):
        ids[row, : len(sequence)] = sequence
        mask[row, : len(sequence)] = 1
    return Batch(features, torch.from_numpy(ids), torch.from_numpy(mask))


def bucketed(features: Sequence[Feature], size: int) -> Iterator[list[int]]:
    """Indices in batches of like length, longest first, so that memory runs out at once or never."""
    order = sorted(range(len(features)), key=lambda index: -features[index].length)
    for begin in range(0, len(order), size):
        yield order[begin : begin + size]
