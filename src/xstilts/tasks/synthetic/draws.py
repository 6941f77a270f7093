"""Drawing rows: reproducible random streams, rows without repetition, and splits that share no sentence."""

from collections.abc import Callable, Collection
from random import Random
from typing import Protocol, TypeVar

from xstilts.core.errors import UserError

ATTEMPTS_PER_ROW = 200
"""Draws before a row is given up: far more than a grammar with room left ever needs."""


class Row(Protocol):
    """An abstract row of a task."""

    @property
    def sentences(self) -> Collection[object]:
        """What must not occur in another split: hashable meanings or texts."""


RowType = TypeVar("RowType", bound=Row)


def stream(seed: int, name: str) -> Random:
    """The random numbers of one split: what other splits draw does not change them."""
    return Random(f"{seed}/{name}")  # noqa: S311  (nothing here is secret)


def distinct_rows(draw: Callable[[int], RowType], num_rows: int, *, taken: set[object], what: str) -> list[RowType]:
    """`num_rows` rows `draw(position)` whose sentences are not taken by splits drawn before, nor all seen in this one.

    Adds the sentences of the new rows to `taken`. Raises UserError where the grammar runs out of new sentences.
    """
    rows: list[RowType] = []
    seen: set[frozenset[object]] = set()
    for position in range(num_rows):
        row = _new_row(draw, position, taken, seen, what)
        seen.add(frozenset(row.sentences))
        rows.append(row)
    taken.update(sentence for row in rows for sentence in row.sentences)
    return rows


def _new_row(
    draw: Callable[[int], RowType], position: int, taken: set[object], seen: set[frozenset[object]], what: str
) -> RowType:
    for _ in range(ATTEMPTS_PER_ROW):
        row = draw(position)
        sentences = frozenset(row.sentences)
        if sentences not in seen and taken.isdisjoint(sentences):
            return row
    raise UserError(
        f"{what}: the grammar has no more than about {position} different rows; ask for fewer (rows, scale)"
    )
