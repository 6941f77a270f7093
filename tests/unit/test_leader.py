"""The lease of the operators: two never act at the same time, whatever their clocks and requests do."""

from hypothesis import given
from hypothesis import strategies as st

from xstilts.cluster.errors import ClusterUnavailable
from xstilts.cluster.memory import MemoryCluster
from xstilts.controller.leader import Leader


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


class Faults:
    """Lets every request through, refuses it, or loses its answer."""

    mode = "fine"

    def before(self, request: object) -> None:
        if self.mode == "refused":
            raise ClusterUnavailable("refused")

    def after(self, request: object) -> None:
        if self.mode == "lost":
            raise ClusterUnavailable("lost")


def leader(cluster: MemoryCluster, clock: Clock, name: str) -> Leader:
    return Leader(cluster, namespace="ns", name="lease", identity=name, seconds=9.0, clock=clock)


def test_the_first_one_acts_and_the_second_waits():
    cluster, clock = MemoryCluster(), Clock()
    a, b = leader(cluster, clock, "a"), leader(cluster, clock, "b")
    a.try_once()
    b.try_once()
    assert a.may_act()
    assert not b.may_act()


def test_a_silent_holder_stops_before_another_takes_over():
    cluster, clock = MemoryCluster(), Clock()
    a, b = leader(cluster, clock, "a"), leader(cluster, clock, "b")
    a.try_once()
    b.try_once()
    clock.now += 6.1
    assert not a.may_act()
    b.try_once()
    assert not b.may_act(), "it has seen the lease stand still for less than its duration"
    clock.now += 3
    b.try_once()
    assert b.may_act()
    a.try_once()
    assert not a.may_act()


def test_a_lease_that_was_given_back_is_taken_at_once():
    cluster, clock = MemoryCluster(), Clock()
    a, b = leader(cluster, clock, "a"), leader(cluster, clock, "b")
    a.try_once()
    a.release()
    b.try_once()
    assert not a.may_act()
    assert b.may_act()


def test_the_same_identity_goes_on_at_once_after_a_restart():
    cluster, clock = MemoryCluster(), Clock()
    leader(cluster, clock, "pod-0").try_once()
    again = leader(cluster, clock, "pod-0")
    again.try_once()
    assert again.may_act()


steps = st.lists(
    st.tuples(st.sampled_from("abc"), st.sampled_from(["fine", "refused", "lost"]), st.floats(0.0, 12.0)), max_size=60
)


@given(steps)
def test_never_do_two_act_at_the_same_time(taken):
    faults = Faults()
    cluster, clock = MemoryCluster(faults=faults), Clock()
    leaders = {name: leader(cluster, clock, name) for name in "abc"}
    for name, mode, seconds in taken:
        faults.mode = mode
        leaders[name].try_once()
        assert sum(each.may_act() for each in leaders.values()) <= 1
        clock.now += seconds
        assert sum(each.may_act() for each in leaders.values()) <= 1
