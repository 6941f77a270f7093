"""Fair shares of the operator's limit."""

from hypothesis import given
from hypothesis import strategies as st

from xstilts.controller.shares import fair_shares

demands = st.dictionaries(st.text(min_size=1, max_size=3), st.integers(0, 40), max_size=8)


def test_what_one_does_not_need_goes_to_the_others():
    assert fair_shares({"a": 1, "b": 10, "c": 10}, 9) == {"a": 1, "b": 4, "c": 4}


def test_of_fewer_places_than_studies_the_first_get_one_each():
    assert fair_shares({"a": 5, "b": 5, "c": 5}, 2) == {"a": 1, "b": 1, "c": 0}


@given(demands, st.integers(0, 60))
def test_shares_are_within_demand_and_limit_and_nothing_is_left_over(demand, limit):
    shares = fair_shares(demand, limit)
    assert all(0 <= shares[name] <= demand[name] for name in demand)
    assert sum(shares.values()) == min(limit, sum(demand.values()))


@given(demands, st.integers(0, 60))
def test_nobody_has_two_more_than_another_that_wants_more(demand, limit):
    shares = fair_shares(demand, limit)
    for name in demand:
        if shares[name] < demand[name]:
            assert all(shares[other] <= shares[name] + 1 for other in demand)
