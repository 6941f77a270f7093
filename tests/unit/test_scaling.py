"""Subsets are nested, stratified at every prefix, exact, and independent of the order of the file."""

import random
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xstilts.api.study import Sampling
from xstilts.core import scaling
from xstilts.core.sampling import MIXTURE_PARTS, apportion, mixture_weights
from xstilts.core.scaling import Row, SubsetRow, resolve_size, select

DATASETS = st.lists(st.tuples(st.sampled_from(["a", "b", "c", "d"]), st.integers(0, 30)), min_size=1, max_size=120).map(
    lambda rows: [Row(i, f"id{content}-{stratum}", stratum) for i, (stratum, content) in enumerate(rows)]
)


def subset(rows: list[Row], *, size: int, seed: int = 1) -> list[SubsetRow]:
    return select(rows, strata=Counter(row.stratum for row in rows), rows=size, seed=seed)


@given(DATASETS, st.data())
def test_a_smaller_subset_is_a_prefix_of_a_larger_one(rows: list[Row], data: st.DataObject) -> None:
    large = data.draw(st.integers(0, len(rows)))
    small = data.draw(st.integers(0, large))
    taken = subset(rows, size=large)
    assert len(taken) == len({row.number for row in taken}) == len({row.id for row in taken}) == large
    assert [row.id for row in subset(rows, size=small)] == [row.id for row in taken][:small]


@given(DATASETS, st.randoms(use_true_random=False), st.data())
def test_the_order_of_the_file_does_not_matter(rows: list[Row], shuffler: random.Random, data: st.DataObject) -> None:
    size = data.draw(st.integers(0, len(rows)))
    shuffled = list(rows)
    shuffler.shuffle(shuffled)
    assert [row.id for row in subset(rows, size=size)] == [row.id for row in subset(shuffled, size=size)]


@given(DATASETS, st.data())
def test_every_prefix_is_stratified_within_one_row_a_stratum(rows: list[Row], data: st.DataObject) -> None:
    size = data.draw(st.integers(0, len(rows)))
    whole = Counter(row.stratum for row in rows)
    part = Counter(row.stratum for row in subset(rows, size=size))
    # Webster's method stays within half a seat of a common multiple of the strata, here at most four of them.
    for stratum, count in whole.items():
        assert abs(part[stratum] - size * count / len(rows)) < 0.5 + len(whole) / 2


def test_another_seed_draws_other_rows() -> None:
    rows = [Row(i, f"id{i}", "x") for i in range(1000)]
    first, second = ({row.id for row in subset(rows, size=100, seed=seed)} for seed in (1, 2))
    assert 0 < len(first & second) < 30


def test_memory_is_bounded_by_the_subset() -> None:
    """The stream is never held: of 200,000 rows in 3 strata at most the subset's 30 are alive at once."""
    alive = peak = 0

    class Counted(str):
        def __new__(cls, value: str) -> "Counted":
            nonlocal alive, peak
            alive += 1
            peak = max(peak, alive)
            return super().__new__(cls, value)

        def __del__(self) -> None:
            nonlocal alive
            alive -= 1

    total = 200_000
    strata = {"0": 66_667, "1": 66_667, "2": 66_666}
    stream = (Row(i, Counted(f"id{i}"), str(i % 3)) for i in range(total))
    assert len(select(stream, strata=strata, rows=30, seed=3)) == 30
    assert peak < 100


def test_duplicates_are_told_apart_and_kept_once_each() -> None:
    rows = [Row(i, "same", "x") for i in range(5)]
    assert [row.id for row in subset(rows, size=3)] == ["same", "same#2", "same#3"]


@pytest.mark.parametrize(
    ("size", "available", "rows"),
    [("full", 7, 7), ("10%", 1000, 100), ("0.1%", 10, 1), ("50%", 5, 3), ("100", 7, 100), ("0", 7, 0), ("100%", 9, 9)],
)
def test_sizes_mean_rows(size: str, available: int, rows: int) -> None:
    assert resolve_size(size, available=available) == rows


@given(st.lists(st.integers(1, 10**6), min_size=1, max_size=12), st.data())
def test_apportionment_is_exact_monotone_and_within_capacity(weights: list[int], data: st.DataObject) -> None:
    capacities = [data.draw(st.integers(0, 50)) for _ in weights]
    total = data.draw(st.integers(0, sum(capacities)))
    shares = apportion(total, weights=weights, capacities=capacities)
    assert sum(shares) == total
    assert all(0 <= share <= capacity for share, capacity in zip(shares, capacities, strict=True))
    if total:
        fewer = apportion(total - 1, weights=weights, capacities=capacities)
        assert all(a <= b for a, b in zip(fewer, shares, strict=True))


@given(st.lists(st.integers(1, 2000), min_size=1, max_size=8), st.integers(0, 500))
def test_apportionment_equals_handing_out_seats_one_by_one(weights: list[int], total: int) -> None:
    shares = [0] * len(weights)
    for _ in range(total):
        winner = min(range(len(weights)), key=lambda i: ((2 * shares[i] + 1) / weights[i], i))
        shares[winner] += 1
    assert sum(shares) == total
    ours = apportion(total, weights=weights, capacities=[total] * len(weights))
    assert max((2 * s - 1) / w for s, w in zip(ours, weights, strict=True)) == pytest.approx(
        max((2 * s - 1) / w for s, w in zip(shares, weights, strict=True))
    )


def test_more_than_there_is_cannot_be_apportioned() -> None:
    with pytest.raises(ValueError, match="exceeds"):
        apportion(11, weights=[1, 1], capacities=[5, 5])


@pytest.mark.parametrize(
    ("sampling", "expected"),
    [
        ({"strategy": "Proportional"}, [100_000, 900_000]),
        ({"strategy": "Proportional", "cap": 100}, [500_000, 500_000]),
        ({"strategy": "Temperature", "temperature": "2"}, [250_000, 750_000]),
        ({"strategy": "Uniform"}, [500_000, 500_000]),
        ({"strategy": "Specified", "weights": ["0.2", "0.8"]}, [200_000, 800_000]),
    ],
)
def test_mixture_weights_follow_the_strategy(sampling: dict[str, object], expected: list[int]) -> None:
    weights = mixture_weights(Sampling.model_validate(sampling), [1000, 9000])
    assert weights == expected
    assert sum(weights) == MIXTURE_PARTS


def test_the_digest_of_ids_depends_on_their_order() -> None:
    rows = [SubsetRow(0, "a", "x"), SubsetRow(1, "b", "x")]
    assert scaling.ids_digest(rows) != scaling.ids_digest(reversed(rows))
