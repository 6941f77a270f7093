"""The proxy before the API server: each fault is what a client of a real one could see, and every request is counted."""

import signal
import threading
from collections.abc import Iterator

import pytest

from cluster.api import Api, Object, Refused, Unreachable
from cluster.api_faults import OF_WATCHES, Fault, Policy
from cluster.api_proxy import ApiProxy, api_proxy
from cluster.api_requests import Request
from cluster.kubernetes import ControlPlane, KubectlError
from cluster.polling import eventually

A_MAP: Object = {"metadata": {"name": "map"}, "data": {"key": "value"}}


@pytest.fixture
def proxy(control_plane: ControlPlane) -> Iterator[ApiProxy]:
    with api_proxy(control_plane) as proxy:
        yield proxy


@pytest.fixture
def api(proxy: ApiProxy) -> Iterator[Api]:
    """By way of the proxy."""
    with Api(proxy.kubeconfig()) as api:
        yield api


@pytest.fixture
def truth(control_plane: ControlPlane) -> Iterator[Api]:
    """Past the proxy."""
    with Api(control_plane.kubeconfig()) as api:
        yield api


@pytest.fixture
def maps(namespace: str) -> str:
    return f"/api/v1/namespaces/{namespace}/configmaps"


def names(api: Api, path: str) -> list[str]:
    return [item["metadata"]["name"] for item in api.get(path)["items"] if item["metadata"]["name"] == "map"]


def to_maps(request: Request) -> bool:
    return request.resource == "configmaps"


@pytest.mark.parametrize(
    ("fault", "status", "reason"),
    [
        (Fault.TOO_MANY, 429, "TooManyRequests"),
        (Fault.INTERNAL, 500, "InternalError"),
        (Fault.UNAVAILABLE, 503, "ServiceUnavailable"),
    ],
)
def test_a_refused_request_has_no_effect(
    proxy: ApiProxy, api: Api, truth: Api, maps: str, fault: Fault, status: int, reason: str
) -> None:
    proxy.inject(fault, when=to_maps)
    with pytest.raises(Refused, match=reason) as refusal:
        api.post(maps, A_MAP)
    assert refusal.value.status == status
    assert names(truth, maps) == []
    api.post(maps, A_MAP)
    assert [(request.status, request.fault) for request in proxy.requests] == [(status, fault), (201, "")]


def test_a_conflict_has_had_its_effect_when_creating_only(proxy: ApiProxy, api: Api, truth: Api, maps: str) -> None:
    proxy.inject(Fault.CONFLICT, times=2, when=to_maps)
    with pytest.raises(Refused, match="AlreadyExists"):
        api.post(maps, A_MAP)
    assert names(truth, maps) == ["map"]
    with pytest.raises(Refused, match="Conflict"):
        api.patch(f"{maps}/map", {"data": {"key": "other"}})
    assert truth.get(f"{maps}/map")["data"] == {"key": "value"}


@pytest.mark.parametrize(("fault", "exists"), [(Fault.CUT_BEFORE, []), (Fault.CUT_AFTER, ["map"])])
def test_a_connection_is_cut_before_or_after_the_effect(
    proxy: ApiProxy, api: Api, truth: Api, maps: str, fault: Fault, exists: list[str]
) -> None:
    proxy.inject(fault, when=to_maps)
    with pytest.raises(Unreachable):
        api.post(maps, A_MAP)
    assert names(truth, maps) == exists


@pytest.mark.parametrize("by_fault", [True, False], ids=["by a fault", "by the test"])
def test_a_watch_that_breaks_off_goes_on_where_it_was(
    proxy: ApiProxy, api: Api, truth: Api, maps: str, by_fault: bool
) -> None:
    version = truth.get(maps)["metadata"]["resourceVersion"]
    truth.post(maps, A_MAP)
    if by_fault:
        proxy.inject(Fault.CUT_WATCH)
    events = iter(api.watch(maps, resource_version=version))
    first = next(events)["object"]
    if not by_fault:
        proxy.cut_watches()
    with pytest.raises(Unreachable):
        next(events)
    truth.delete(f"{maps}/map")
    again = iter(api.watch(maps, resource_version=first["metadata"]["resourceVersion"]))
    assert next(again)["type"] == "DELETED"


def test_a_delayed_request_is_answered_all_the_same(proxy: ApiProxy, api: Api, maps: str) -> None:
    proxy.inject(Fault.DELAY)
    assert api.post(maps, A_MAP)["data"] == {"key": "value"}
    assert proxy.requests[-1].fault == Fault.DELAY


def test_what_is_asked_is_told_by_verb_and_resource_and_who_asks(
    control_plane: ControlPlane, proxy: ApiProxy, namespace: str
) -> None:
    nobody = proxy.kubeconfig(control_plane.service_account_token(namespace, "default"))
    control_plane.kubectl("create", "configmap", "map", "-n", namespace, kubeconfig=proxy.kubeconfig())
    with pytest.raises(KubectlError, match="forbidden"):
        control_plane.kubectl("get", "secret", "login", "-n", namespace, kubeconfig=nobody)
    assert proxy.counts(user_agent="kubectl")["create", "configmaps"] == 1
    (refused,) = proxy.forbidden
    assert (refused.verb, refused.resource, refused.namespace, refused.name) == ("get", "secrets", namespace, "login")


def test_an_api_server_that_is_away_is_away_behind_the_proxy(
    control_plane: ControlPlane, proxy: ApiProxy, api: Api, maps: str
) -> None:
    names(api, maps)
    broken = threading.Event()

    def watch() -> None:
        with pytest.raises(Unreachable):
            list(api.watch(maps, resource_version=api.get(maps)["metadata"]["resourceVersion"]))
        broken.set()

    watching = threading.Thread(target=watch)
    watching.start()
    eventually(lambda: ("watch", "configmaps") in proxy.counts())
    with control_plane.without_api_server(by=signal.SIGKILL):
        assert broken.wait(timeout=60)
        watching.join()
        with pytest.raises(Unreachable):
            names(api, maps)
    assert names(api, maps) == []


@pytest.mark.parametrize(
    ("method", "address", "verb", "resource", "namespace", "name"),
    [
        ("GET", "/api/v1/pods?watch=true", "watch", "pods", "", ""),
        ("GET", "/api/v1/namespaces/a", "get", "namespaces", "", "a"),
        ("PATCH", "/api/v1/namespaces/a/status", "patch", "namespaces/status", "", "a"),
        ("GET", "/api/v1/namespaces/a/pods/b/log?follow=true", "get", "pods/log", "a", "b"),
        ("GET", "/apis/xstilts.dev/v1alpha1/namespaces/a/studies", "list", "studies", "a", ""),
        ("PUT", "/apis/xstilts.dev/v1alpha1/namespaces/a/studies/b/status", "update", "studies/status", "a", "b"),
        ("DELETE", "/apis/batch/v1/namespaces/a/jobs", "deletecollection", "jobs", "a", ""),
        ("GET", "/apis/batch/v1", "get", "", "", ""),
    ],
)
def test_a_request_is_read_as_access_rules_name_it(
    method: str, address: str, verb: str, resource: str, namespace: str, name: str
) -> None:
    request = Request.to(method, address, "")
    assert (request.verb, request.resource, request.namespace, request.name) == (verb, resource, namespace, name)


def test_a_policy_decides_alike_for_the_same_seed_and_only_what_can_be() -> None:
    requests = [Request.to(method, "/api/v1/namespaces/a/pods/b", "") for method in ("GET", "PUT", "DELETE")]
    requests.append(Request.to("GET", "/api/v1/pods?watch=1", ""))

    def decisions(seed: int) -> list[Fault | None]:
        policy = Policy(seed=seed, rate=0.3)
        return [policy.decide(request, number).fault for request in requests for number in range(50)]

    assert decisions(1) == decisions(1) != decisions(2)
    assert 40 < sum(fault is not None for fault in decisions(1)) < 80
    assert set(decisions(1)[150:]) <= {None, *OF_WATCHES}
    assert Fault.CONFLICT not in decisions(1)[:50]
