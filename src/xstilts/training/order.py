"""Which examples a step trains on: a pure function of the seed and the step, so that resuming needs no state.

Each step draws one stream (a task, or text) with a probability proportional to its weight; a task walks its own
permutations of its rows, one after the other. Weights are the rows by default (jiant's
`ProportionalMultiTaskSampler`, the paper's choice).
"""

import hashlib
from collections.abc import Sequence
from fractions import Fraction
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Rows = npt.NDArray[np.int64]


def generator(*parts: str | int) -> np.random.Generator:
    """An independent stream of random numbers for each name."""
    return np.random.Generator(np.random.PCG64(int.from_bytes(_hash(parts), "big")))


def seed_of(*parts: str | int) -> int:
    """A seed of 63 bits for each name, for torch's generators."""
    return int.from_bytes(_hash(parts)[:8], "big") >> 1


def _hash(parts: Sequence[str | int]) -> bytes:
    return hashlib.sha256("\0".join(str(part) for part in parts).encode()).digest()


def sample(name: str, *, rows: int, size: int) -> list[int]:
    """At most `size` of `rows` row numbers, ascending: a random sample that depends on nothing but the name."""
    if rows <= size:
        return list(range(rows))
    return sorted(generator("sample", name).permutation(rows)[:size].tolist())


class Turn(NamedTuple):
    """Whose step it is, and how many that stream has had before."""

    stream: int
    number: int


class Turns:
    """The streams of all steps of a run."""

    def __init__(self, *, steps: int, seed: int, weights: Sequence[int | Fraction]) -> None:
        """`weights` has one number a stream, at least one of them above 0."""
        shares = np.array([float(Fraction(weight) / sum(map(Fraction, weights))) for weight in weights])
        self._streams = generator("tasks", seed).choice(len(shares), size=steps, p=shares).astype(np.int32)
        self._numbers = np.empty(steps, dtype=np.int32)
        for stream in range(len(shares)):
            own = self._streams == stream
            self._numbers[own] = np.arange(own.sum())

    def __getitem__(self, step: int) -> Turn:
        """Of the step that leads from `step` to `step + 1`."""
        return Turn(int(self._streams[step]), int(self._numbers[step]))

    def counts(self) -> list[int]:
        """Steps of each stream in the whole run."""
        return [int(count) for count in np.bincount(self._streams)]


class Walk:
    """The batches of one task: always full, across the ends of passes."""

    def __init__(self, *, rows: int, size: int, seed: int, task: int) -> None:
        """`size` rows a batch out of `rows`, at least 1; `task` tells the tasks of a mixture apart."""
        self._rows, self._size, self._seed, self._task = rows, size, seed, task
        self._permutation = lru_cache(maxsize=2)(self._shuffled)

    def __getitem__(self, number: int) -> list[int]:
        begin = number * self._size
        return [self._row(place) for place in range(begin, begin + self._size)]

    def _row(self, place: int) -> int:
        epoch, position = divmod(place, self._rows)
        return int(self._permutation(epoch)[position])

    def _shuffled(self, epoch: int) -> Rows:
        return generator("rows", self._seed, self._task, epoch).permutation(self._rows)
