"""What tests may do to a cluster in memory, beside what every cluster promises."""

from datetime import UTC, datetime

import pytest

from xstilts.cluster.answers import Request
from xstilts.cluster.errors import ClusterUnavailable, Forbidden
from xstilts.cluster.memory import Event, MemoryCluster
from xstilts.cluster.port import JOBS, PODS, SECRETS, TRIALS, Object


def trial(name: str = "one") -> Object:
    return {"metadata": {"name": name, "namespace": "ns"}, "spec": {}}


class Outage:
    """Fails each write, before or after it is done."""

    def __init__(self, *, lost_answers: bool) -> None:
        self.lost_answers = lost_answers

    def before(self, request: Request) -> None:
        if not self.lost_answers and request.verb != "get":
            raise ClusterUnavailable("before")

    def after(self, request: Request) -> None:
        if self.lost_answers and request.verb != "get":
            raise ClusterUnavailable("after")


def test_a_request_that_fails_before_it_arrives_does_nothing() -> None:
    cluster = MemoryCluster(faults=Outage(lost_answers=False))
    with pytest.raises(ClusterUnavailable, match="before"):
        cluster.create(TRIALS, trial())
    assert cluster.get(TRIALS, "ns", "one") is None


def test_a_request_whose_answer_is_lost_is_done() -> None:
    cluster = MemoryCluster(faults=Outage(lost_answers=True))
    with pytest.raises(ClusterUnavailable, match="after"):
        cluster.create(TRIALS, trial())
    assert cluster.get(TRIALS, "ns", "one") is not None


def test_what_is_not_allowed_is_forbidden_and_can_be_asked() -> None:
    cluster = MemoryCluster(allows=lambda request: request.resource != SECRETS)
    with pytest.raises(Forbidden, match=r"list secrets in namespace ns"):
        list(cluster.list(SECRETS, "ns"))
    assert not cluster.can_i("get", SECRETS, "ns", "s3")
    assert cluster.can_i("get", PODS, "ns")


def test_requests_are_counted_a_page_each() -> None:
    cluster = MemoryCluster(page=2)
    for name in "abc":
        cluster.create(TRIALS, trial(name))
    cluster.requests.clear()
    assert len(list(cluster.list(TRIALS, "ns"))) == 3
    cluster.patch(TRIALS, "ns", "a", {"status": {}}, subresource="status")
    assert [str(request) for request in cluster.requests] == [
        "list trials.xstilts.dev in namespace ns",
        "list trials.xstilts.dev in namespace ns",
        "patch trials.xstilts.dev/status a in namespace ns",
    ]


def test_a_subscriber_hears_of_every_change_in_order_and_of_nothing_else() -> None:
    cluster, heard = MemoryCluster(), list[Event]()
    stop = cluster.subscribe(heard.append)
    cluster.create(TRIALS, trial())
    cluster.patch(TRIALS, "ns", "one", {"metadata": {"finalizers": ["x/y"]}})
    cluster.patch(TRIALS, "ns", "one", {"metadata": {"finalizers": ["x/y"]}})
    cluster.delete(TRIALS, "ns", "one")
    cluster.patch(TRIALS, "ns", "one", {"metadata": {"finalizers": None}})
    stop()
    cluster.create(TRIALS, trial())
    assert [event.type for event in heard] == ["ADDED", "MODIFIED", "MODIFIED", "DELETED"]
    versions = [int(event.obj["metadata"]["resourceVersion"]) for event in heard]
    assert versions == sorted(set(versions))


def test_times_are_of_the_clock_that_is_given() -> None:
    cluster = MemoryCluster(clock=lambda: datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC))
    assert cluster.create(JOBS, trial())["metadata"]["creationTimestamp"] == "2026-01-02T03:04:05Z"


def test_a_log_may_be_cut_to_its_last_lines() -> None:
    cluster = MemoryCluster()
    cluster.create(PODS, trial())
    cluster.write_log("ns", "one", b"a\nb\n")
    cluster.write_log("ns", "one", b"c\nd")
    assert cluster.pod_log("ns", "one") == b"a\nb\nc\nd"
    assert cluster.pod_log("ns", "one", tail_lines=2) == b"c\nd"
    assert cluster.pod_log("ns", "one", tail_lines=0) == b""
    assert cluster.pod_log("ns", "one", tail_lines=9, limit_bytes=3) == b"a\nb"
