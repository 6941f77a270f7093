"""The order of training data: a function of seed and step that shows every row once a pass."""

import math
from collections import Counter
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xstilts.training.order import Turns, Walk, sample, seed_of


@given(rows=st.integers(1, 40), size=st.integers(1, 9), seed=st.integers(0, 5))
def test_every_pass_shows_every_row_once(rows: int, size: int, seed: int) -> None:
    walk = Walk(rows=rows, size=size, seed=seed, task=0)
    shown = [row for number in range(2 * rows) for row in walk[number]]
    for epoch in range(2):
        assert sorted(shown[epoch * rows : (epoch + 1) * rows]) == list(range(rows))


def test_a_batch_can_be_asked_for_without_those_before_it() -> None:
    one, other = (Walk(rows=50, size=4, seed=3, task=1) for _ in range(2))
    straight = [one[number] for number in range(60)]
    assert [other[number] for number in reversed(range(60))] == straight[::-1]


def test_seeds_and_tasks_differ() -> None:
    walks = [Walk(rows=50, size=4, seed=seed, task=task)[0] for seed, task in ((0, 0), (1, 0), (0, 1))]
    assert walks[0] != walks[1]
    assert walks[0] != walks[2]


@pytest.mark.parametrize(
    "weights",
    [
        pytest.param([900, 100], id="in proportion to rows"),
        pytest.param([1, 1], id="alike"),
        pytest.param([Fraction(7, 30), Fraction(14, 30), Fraction(3, 10)], id="two tasks and text"),
    ],
)
def test_streams_are_drawn_by_their_weights(weights: list[int | Fraction]) -> None:
    """Within five standard deviations of a binomial count."""
    steps = 4000
    turns = Turns(steps=steps, seed=0, weights=weights)
    drawn = Counter(turns[step].stream for step in range(steps))
    assert turns.counts() == [drawn[stream] for stream in range(len(weights))]
    for stream, weight in enumerate(weights):
        share = float(Fraction(weight) / sum(map(Fraction, weights)))
        assert abs(drawn[stream] - steps * share) <= 5 * math.sqrt(steps * share * (1 - share))


def test_turns_are_numbered_within_each_stream() -> None:
    turns = Turns(steps=200, seed=1, weights=[3, 1])
    for stream in (0, 1):
        own = [turns[step].number for step in range(200) if turns[step].stream == stream]
        assert own == list(range(turns.counts()[stream]))


def test_draws_depend_on_the_seed_alone() -> None:
    one, again, other = (Turns(steps=50, seed=seed, weights=[2, 3]) for seed in (1, 1, 2))
    drawn = [[turns[step] for step in range(50)] for turns in (one, again, other)]
    assert drawn[0] == drawn[1] != drawn[2]


def test_seeds_are_numbers_that_torch_takes() -> None:
    assert seed_of("dropout", 1, 2) == seed_of("dropout", 1, 2) != seed_of("dropout", 1, 3)
    assert all(0 <= seed_of("dropout", step) < 2**63 for step in range(100))


def test_dev_sample_is_fixed_random_and_not_the_head() -> None:
    rows = sample("mnli", rows=5000, size=500)
    assert rows == sample("mnli", rows=5000, size=500)
    assert len(set(rows)) == 500
    assert max(rows) > 4000
    assert rows != sample("qqp", rows=5000, size=500)


def test_small_dev_set_is_used_whole() -> None:
    assert sample("mnli", rows=3, size=500) == [0, 1, 2]
