"""Which examples a step trains on: a pure function of the seed and the step, so that resuming needs no state.

Every task walks its own permutations of its rows, one after the other; with several tasks each step draws one of them
with a probability proportional to its weight, which is its rows by default (jiant's `ProportionalMultiTaskSampler`,
the paper's choice).
"""

import hashlib
from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np


def generator(*parts: str | int) -> np.random.Generator:
    """An independent stream of random numbers for each name."""
    seed = hashlib.sha256("\0".join(str(part) for part in parts).encode()).digest()
    return np.random.Generator(np.random.PCG64(int.from_bytes(seed, "big")))


def sample(name: str, *, rows: int, size: int) -> list[int]:
    """At most `size` of `rows` row numbers, ascending: a random sample that depends on nothing but the name."""
    if rows <= size:
        return list(range(rows))
    return sorted(generator("sample", name).permutation(rows)[:size].tolist())


class Draw(NamedTuple):
    """The batch of one step."""

    task: int
    rows: list[int]


class Order:
    """The batches of a training run."""

    def __init__(
        self, *, rows: Sequence[int], batch_size: int, steps: int, seed: int, weights: Sequence[int] | None = None
    ) -> None:
        """`rows` and `weights` (the rows by default) have one number a task, each at least 1."""
        self._rows, self._batch_size, self._seed = rows, batch_size, seed
        shares = np.asarray(weights or rows) / sum(weights or rows)
        self._tasks = generator("tasks", seed).choice(len(rows), size=steps, p=shares)
        self._permutation = lru_cache(maxsize=2 * len(rows))(self._shuffled)

    def __getitem__(self, step: int) -> Draw:
        """The batch that leads from `step` to `step + 1`; always full, across the ends of passes."""
        task = int(self._tasks[step])
        turn = int(np.count_nonzero(self._tasks[:step] == task))
        begin = turn * self._batch_size
        return Draw(task, [self._row(task, place) for place in range(begin, begin + self._batch_size)])

    def _row(self, task: int, place: int) -> int:
        epoch, position = divmod(place, self._rows[task])
        return int(self._permutation(task, epoch)[position])

    def _shuffled(self, task: int, epoch: int) -> "np.ndarray[tuple[int], np.dtype[np.int64]]":
        return generator("rows", self._seed, task, epoch).permutation(self._rows[task])
