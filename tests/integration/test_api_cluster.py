"""`ApiCluster` where a real API server, its permissions, its pods or the way to it show another side than memory can."""

import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cluster.api_faults import Fault
from cluster.api_proxy import ApiProxy, api_proxy
from cluster.api_requests import Request
from cluster.kubelet import PodRunner
from cluster.kubernetes import ControlPlane
from cluster.polling import eventually
from resources import SAMPLES
from xstilts.api.load import load_documents
from xstilts.cluster import Object, Resource
from xstilts.cluster.api import ApiCluster, connect
from xstilts.cluster.errors import (
    AlreadyExists,
    ClusterError,
    ClusterUnavailable,
    Forbidden,
    Invalid,
    NotFound,
    NotInstalled,
    Unauthorized,
)
from xstilts.cluster.port import JOBS, PODS, SECRETS, STUDIES

A_SECRET: Object = {"metadata": {"name": "one"}, "stringData": {"key": "value"}}


@pytest.fixture
def cluster(control_plane: ControlPlane) -> ApiCluster:
    return connect(kubeconfig=control_plane.kubeconfig())


@pytest.fixture
def proxy(control_plane: ControlPlane) -> Iterator[ApiProxy]:
    with api_proxy(control_plane) as proxy:
        yield proxy


@pytest.fixture
def far(proxy: ApiProxy) -> ApiCluster:
    """The cluster by way of the proxy."""
    return connect(kubeconfig=proxy.kubeconfig())


def to_secrets(request: Request) -> bool:
    return request.resource == "secrets"


def secret(namespace: str) -> Object:
    return A_SECRET | {"metadata": {"name": "one", "namespace": namespace}}


def asked(proxy: ApiProxy) -> list[tuple[str, str]]:
    """Who asked is told by its name."""
    return [(request.verb, request.fault) for request in proxy.requests if request.user_agent.startswith("xstilts/")]


# ---- the way to it


def test_a_read_is_repeated_once_where_the_connection_is_cut(proxy: ApiProxy, far: ApiCluster, namespace: str) -> None:
    proxy.inject(Fault.CUT_BEFORE, when=to_secrets)
    assert far.get(SECRETS, namespace, "nothing") is None
    assert asked(proxy) == [("get", Fault.CUT_BEFORE), ("get", "")]
    proxy.inject(Fault.CUT_BEFORE, times=2, when=to_secrets)
    with pytest.raises(ClusterUnavailable, match="no answer from https://"):
        far.get(SECRETS, namespace, "nothing")


@pytest.mark.parametrize(("fault", "exists"), [(Fault.CUT_BEFORE, False), (Fault.CUT_AFTER, True)])
def test_a_write_is_never_repeated_in_secret(
    proxy: ApiProxy, far: ApiCluster, cluster: ApiCluster, namespace: str, fault: Fault, exists: bool
) -> None:
    proxy.inject(fault, when=to_secrets)
    with pytest.raises(ClusterUnavailable):
        far.create(SECRETS, secret(namespace))
    assert asked(proxy) == [("create", fault)]
    assert (cluster.get(SECRETS, namespace, "one") is not None) is exists


def test_deletions_and_replacements_are_not_repeated_either(
    proxy: ApiProxy, far: ApiCluster, cluster: ApiCluster, namespace: str
) -> None:
    made = cluster.create(SECRETS, secret(namespace))
    proxy.inject(Fault.CUT_AFTER, times=2, when=to_secrets)
    with pytest.raises(ClusterUnavailable):
        far.replace(SECRETS, made | {"type": "Opaque", "data": {}})
    with pytest.raises(ClusterUnavailable):
        far.delete(SECRETS, namespace, "one")
    assert [verb for verb, _ in asked(proxy)] == ["update", "delete"]
    far.delete(SECRETS, namespace, "one")


@pytest.mark.parametrize("fault", [Fault.TOO_MANY, Fault.INTERNAL, Fault.UNAVAILABLE])
def test_a_server_that_is_not_able_to_now_is_asked_once(
    proxy: ApiProxy, far: ApiCluster, namespace: str, fault: Fault
) -> None:
    proxy.inject(fault, when=to_secrets)
    with pytest.raises(ClusterUnavailable, match="is not able to now"):
        far.get(SECRETS, namespace, "one")
    assert len(asked(proxy)) == 1


def test_a_server_that_is_not_there_does_not_answer(tmp_path: Path) -> None:
    with pytest.raises(ClusterUnavailable, match=r"no answer from https://127\.0\.0\.1:1"):
        connect(kubeconfig=kubeconfig(tmp_path, "https://127.0.0.1:1")).get(SECRETS, "default", "one")


def test_a_certificate_of_another_authority_is_no_outage(control_plane: ControlPlane, tmp_path: Path) -> None:
    stranger = connect(kubeconfig=kubeconfig(tmp_path, control_plane.access.server))
    with pytest.raises(ClusterError, match="a certificate that is not trusted"):
        stranger.get(SECRETS, "default", "one")


def kubeconfig(folder: Path, server: str) -> Path:
    """Of a server that is trusted by the usual authorities alone."""
    config = {
        "clusters": [{"name": "c", "cluster": {"server": server}}],
        "users": [],
        "contexts": [{"name": "c", "context": {"cluster": "c", "user": ""}}],
        "current-context": "c",
    }
    file = folder / "kubeconfig"
    file.write_text(json.dumps(config), encoding="utf-8")
    return file


# ---- who may do what


def test_an_unknown_token_is_not_accepted(control_plane: ControlPlane) -> None:
    with pytest.raises(Unauthorized, match="does not accept the credentials"):
        connect(kubeconfig=control_plane.kubeconfig("nobody")).get(SECRETS, "default", "one")


def test_a_service_account_may_do_what_its_role_says(
    control_plane: ControlPlane, cluster: ApiCluster, namespace: str
) -> None:
    mine = connect(kubeconfig=control_plane.kubeconfig_for(namespace, "default"))
    assert not mine.can_i("create", JOBS, namespace)
    with pytest.raises(Forbidden, match="ask for a Role with verb get on secrets, check by: kubectl auth can-i get"):
        mine.get(SECRETS, namespace, "one")
    control_plane.kubectl(
        "create", "role", "r", "--verb=get", "--resource=secrets", "--resource-name=one", "-n", namespace
    )
    account = f"--serviceaccount={namespace}:default"
    control_plane.kubectl("create", "rolebinding", "r", "--role=r", account, "-n", namespace)
    eventually(lambda: mine.can_i("get", SECRETS, namespace, "one"))
    assert mine.get(SECRETS, namespace, "one") is None
    assert not mine.can_i("get", SECRETS, namespace, "two")
    assert not mine.can_i("get", SECRETS, namespace)
    assert not mine.can_i("update", STUDIES, namespace, "one", subresource="status")


# ---- what it refuses


def test_a_kind_that_is_not_installed_is_named(cluster: ApiCluster, namespace: str) -> None:
    unknown = Resource("nowhere.example", "v1", "toys", "Toy")
    for ask in (
        lambda: cluster.get(unknown, namespace, "one"),
        lambda: list(cluster.list(unknown, None)),
        lambda: cluster.create(unknown, {"metadata": {"name": "one", "namespace": namespace}}),
    ):
        with pytest.raises(NotInstalled, match=r"does not know the kind Toy \(nowhere\.example/v1\)"):
            ask()


def test_a_namespace_that_is_missing_is_named(cluster: ApiCluster) -> None:
    with pytest.raises(NotFound, match='namespaces "nowhere" not found'):
        cluster.create(SECRETS, secret("nowhere"))


@pytest.fixture
def study(crds: ControlPlane, namespace: str) -> Object:
    """A Study as people write it."""
    (document,) = load_documents(next(file for file in SAMPLES if file.stem == "minimal-study"))
    return {**document.content, "metadata": {"name": "minimal", "namespace": namespace}}


@pytest.mark.parametrize("strict", [False, True])
def test_an_unknown_field_is_refused_by_its_name(cluster: ApiCluster, study: Object, strict: bool) -> None:
    """Even where it is not asked to be strict, unlike `kubectl apply` without --server-side."""
    wrong = study | {"spec": study["spec"] | {"paralelism": 1}}
    with pytest.raises(Invalid, match=r"\.spec\.paralelism: field not declared in schema"):
        cluster.apply(STUDIES, wrong, strict=strict)


def test_values_that_break_the_schema_or_a_rule_are_refused_by_their_fields(cluster: ApiCluster, study: Object) -> None:
    wrong = study | {"spec": study["spec"] | {"parallelism": 0, "failurePolicy": {"retries": -1}}}
    with pytest.raises(Invalid) as caught:
        cluster.apply(STUDIES, wrong, strict=True)
    assert "  spec.parallelism: Invalid value: 0" in str(caught.value)
    assert "  spec.failurePolicy.retries: Invalid value: -1" in str(caught.value)
    cluster.apply(STUDIES, study, strict=True)
    other = study | {"spec": study["spec"] | {"model": {"name": "xlm-roberta-large"}}}
    with pytest.raises(Invalid, match=r"  spec\.model: .* can.t be changed: make a new Study"):
        cluster.apply(STUDIES, other, strict=True)


def test_a_name_that_is_taken_is_taken_for_all_who_create_it(cluster: ApiCluster, namespace: str) -> None:
    cluster.create(SECRETS, secret(namespace))
    with pytest.raises(AlreadyExists, match='secrets "one" already exists'):
        cluster.create(SECRETS, secret(namespace))


# ---- logs


@pytest.fixture
def node(control_plane: ControlPlane, namespace: str) -> Iterator[PodRunner]:
    with PodRunner(control_plane, namespace) as runner:
        yield runner


def pod(cluster: ApiCluster, namespace: str, program: str) -> str:
    """Starts a pod, and returns its name once its container runs or has ended."""
    container = {"name": "main", "image": "xstilts/trainer", "command": ["python", "-uc", program]}
    spec = {"restartPolicy": "Never", "containers": [container]}
    cluster.create(PODS, {"metadata": {"name": "p", "namespace": namespace}, "spec": spec})

    def phase() -> str:
        found = cluster.get(PODS, namespace, "p")
        return found["status"].get("phase", "") if found else ""

    eventually(lambda: phase() in {"Running", "Succeeded"})
    return "p"


def test_a_log_may_be_cut_to_its_last_lines_or_its_first_bytes(
    cluster: ApiCluster, namespace: str, node: PodRunner
) -> None:
    name = pod(cluster, namespace, "print('one'); print('two'); print('drei ∞')")
    eventually(lambda: cluster.pod_log(namespace, name).endswith("drei ∞\n".encode()))
    assert cluster.pod_log(namespace, name) == "one\ntwo\ndrei ∞\n".encode()
    assert cluster.pod_log(namespace, name, tail_lines=1) == "drei ∞\n".encode()
    assert cluster.pod_log(namespace, name, limit_bytes=5) == b"one\nt"


def test_a_log_is_followed_as_it_is_written_until_the_container_ends(
    cluster: ApiCluster, namespace: str, node: PodRunner, tmp_path: Path
) -> None:
    go_on = tmp_path / "go on"
    program = f"""
import pathlib, time
print("one")
while not pathlib.Path({str(go_on)!r}).exists():
    time.sleep(0.05)
print("two")
"""
    name = pod(cluster, namespace, program)
    heard: list[bytes] = []
    following = threading.Thread(target=lambda: heard.extend(cluster.follow_pod_log(namespace, name)))
    following.start()
    eventually(lambda: b"".join(heard) == b"one\n")
    go_on.touch()
    following.join(60)
    assert not following.is_alive()
    assert b"".join(heard) == b"one\ntwo\n"


def test_a_log_that_breaks_off_is_an_outage(
    proxy: ApiProxy, far: ApiCluster, cluster: ApiCluster, namespace: str, node: PodRunner
) -> None:
    name = pod(cluster, namespace, "import time; print('one'); time.sleep(600)")
    chunks: Any = far.follow_pod_log(namespace, name)
    assert next(chunks) == b"one\n"
    proxy.cut_watches()
    with pytest.raises(ClusterUnavailable):
        next(chunks)
