"""Nested, stratified subsets of a data set: which rows belong to size n of subset seed s.

The order of a subset seed is fixed by example ids alone, so it depends neither on the order of the file nor on the
sizes of the study: strata share each prefix by Webster's method (see `sampling.apportion`), and within a stratum the
examples with the smallest hash of (seed, id) come first. Two passes over a stream suffice, and memory is bounded by
the subset: the first counts the strata, the second keeps per stratum the smallest hashes.
"""

import hashlib
import heapq
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from decimal import ROUND_HALF_UP, Decimal
from typing import NamedTuple

from xstilts.api.study import FULL
from xstilts.core.sampling import apportion


class Row(NamedTuple):
    """What scaling needs of an example."""

    number: int
    """Position in the parent split, from 0."""
    id: str
    """Upstream id; for data without ids the hash of the content, which duplicates share."""
    stratum: str


class SubsetRow(NamedTuple):
    number: int
    id: str
    """Unique: the n-th duplicate of a content has `#n` appended (from the second on)."""
    stratum: str


def resolve_size(size: str, *, available: int) -> int:
    """Rows that a size of the Study means for a data set; may exceed `available` (then it does not apply).

    Percentages are rounded to the nearest row, and are never 0 unless the percentage is.
    """
    if size == FULL:
        return available
    if not size.endswith("%"):
        return int(size)
    exact = Decimal(size[:-1]) * available / 100
    return max(int(exact.to_integral_value(ROUND_HALF_UP)), 1 if exact else 0)


def quotas(strata: Mapping[str, int], *, rows: int) -> dict[str, int]:
    """Rows that each stratum contributes to a subset of `rows`; `strata` counts the whole data set."""
    names = sorted(strata)
    sizes = [strata[name] for name in names]
    return dict(zip(names, apportion(rows, weights=sizes, capacities=sizes), strict=True))


def select(stream: Iterable[Row], *, strata: Mapping[str, int], rows: int, seed: int) -> list[SubsetRow]:
    """The first `rows` of the subset order of `seed`: a smaller size is a prefix of a larger one.

    `strata` counts the whole data set. Memory is bounded by the subset. Rows with the same content are
    interchangeable; they are told apart by the order in which they are kept, so the result does not depend on the
    order of the file.
    """
    quota = quotas(strata, rows=rows)
    kept: dict[str, list[_Kept]] = {stratum: [] for stratum in quota}
    copies: Counter[str] = Counter()
    for row in stream:
        heap, limit = kept[row.stratum], quota[row.stratum]
        # A max-heap by negation. What was pushed out can never come back, because the bound only falls: so counting
        # the copies that are kept numbers duplicates exactly as counting all of them would.
        entry = _Kept(-_rank(seed, row.id), -copies[row.id], row.number, row.id)
        if len(heap) < limit:
            heapq.heappush(heap, entry)
        elif limit and entry > heap[0]:
            _forget(copies, heapq.heapreplace(heap, entry).id)
        else:
            continue
        copies[row.id] += 1
    return list(_interleaved(kept, strata))


class _Kept(NamedTuple):
    negative_rank: int
    negative_occurrence: int
    number: int
    id: str


def _forget(copies: Counter[str], id_: str) -> None:
    copies[id_] -= 1
    if not copies[id_]:
        del copies[id_]


def _interleaved(kept: Mapping[str, list[_Kept]], strata: Mapping[str, int]) -> Iterator[SubsetRow]:
    """In the order in which Webster's method hands out seats: by (rank + 1/2) / stratum size, then by name."""
    seats = (
        [
            # Exact: fractions with denominators below 2**31 differ by more than 2**-62.
            (((2 * rank + 1) << 64) // strata[stratum], stratum, entry)
            for rank, entry in enumerate(sorted(kept[stratum], reverse=True))
        ]
        for stratum in sorted(kept)
    )
    for _, stratum, entry in heapq.merge(*seats, key=lambda seat: seat[:2]):
        copy = f"#{1 - entry.negative_occurrence}" if entry.negative_occurrence else ""
        yield SubsetRow(entry.number, entry.id + copy, stratum)


def _rank(seed: int, id_: str) -> int:
    return int.from_bytes(hashlib.sha256(f"{seed}\0{id_}".encode()).digest()[:16])


def ids_digest(rows: Iterable[SubsetRow]) -> str:
    """sha256 over the ids in subset order."""
    total = hashlib.sha256()
    for row in rows:
        total.update(row.id.encode() + b"\n")
    return total.hexdigest()
