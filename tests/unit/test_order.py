"""The order of training data: a function of seed and step that shows every row once a pass."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from xstilts.training.order import Order, sample


@given(rows=st.integers(1, 40), batch_size=st.integers(1, 9), seed=st.integers(0, 5))
def test_every_pass_shows_every_row_once(rows: int, batch_size: int, seed: int) -> None:
    order = Order(rows=[rows], batch_size=batch_size, steps=2 * rows, seed=seed)
    shown = [row for step in range(2 * rows) for row in order[step].rows]
    for epoch in range(2):
        assert sorted(shown[epoch * rows : (epoch + 1) * rows]) == list(range(rows))


def test_a_step_can_be_asked_for_without_those_before_it() -> None:
    one, other = (Order(rows=[50, 9], batch_size=4, steps=60, seed=3) for _ in range(2))
    straight = [one[step] for step in range(60)]
    assert [other[step] for step in reversed(range(60))] == straight[::-1]


def test_seeds_differ() -> None:
    assert Order(rows=[50], batch_size=4, steps=5, seed=0)[0] != Order(rows=[50], batch_size=4, steps=5, seed=1)[0]


def test_tasks_are_drawn_in_proportion_to_their_rows() -> None:
    order = Order(rows=[900, 100], batch_size=1, steps=4000, seed=0)
    drawn = Counter(order[step].task for step in range(4000))
    assert abs(drawn[1] - 400) < 4 * 19  # four standard deviations of a binomial


def test_weights_take_the_place_of_rows_in_drawing() -> None:
    order = Order(rows=[900, 100], batch_size=1, steps=4000, seed=0, weights=[1, 1])
    drawn = Counter(order[step].task for step in range(4000))
    assert abs(drawn[1] - 2000) < 4 * 32


def test_each_task_of_a_mixture_walks_its_own_passes() -> None:
    order = Order(rows=[6, 4], batch_size=2, steps=40, seed=1)
    shown: dict[int, list[int]] = {0: [], 1: []}
    for step in range(40):
        shown[order[step].task] += order[step].rows
    assert sorted(shown[0][:6]) == list(range(6))
    assert sorted(shown[1][:4]) == list(range(4))


def test_dev_sample_is_fixed_random_and_not_the_head() -> None:
    rows = sample("mnli", rows=5000, size=500)
    assert rows == sample("mnli", rows=5000, size=500)
    assert len(set(rows)) == 500
    assert max(rows) > 4000
    assert rows != sample("qqp", rows=5000, size=500)


def test_small_dev_set_is_used_whole() -> None:
    assert sample("mnli", rows=3, size=500) == [0, 1, 2]
