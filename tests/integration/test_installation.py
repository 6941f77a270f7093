"""What is installed, by the real kubectl and helm: the same objects from both, taken by a real API server."""

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from cluster.helm import HelmError, helm
from cluster.kubernetes import ControlPlane, KubectlError
from cluster.polling import eventually
from xstilts.cluster.api import connect
from xstilts.cluster.port import EVENTS, JOBS, LEASES, PODS, SCHEDULES, SECRETS, STUDIES, TRAIN_JOBS, TRIALS, Resource

K8S = Path(__file__).parents[2] / "k8s"
CHART = str(K8S / "chart")
SCOPES = {"namespaced": "namespace", "cluster": "cluster"}
"""Overlay to the chart's `scope`."""

NAMED = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "xstilts-pod-template"}}
Objects = dict[tuple[str, str], dict[str, Any]]
pytestmark = pytest.mark.usefixtures("helm_is_built")
scopes = pytest.mark.parametrize("overlay", SCOPES)


def objects(text: str) -> Objects:
    """By kind and name. Without namespaces, which helm makes apart, and without what helm alone asks for."""
    found: Objects = {}
    for document in yaml.safe_load_all(text):
        if document and document["kind"] != "Namespace":
            annotations = document["metadata"].get("annotations", {})
            if annotations.pop("helm.sh/resource-policy", "") and not annotations:
                del document["metadata"]["annotations"]
            if document["kind"].startswith("ValidatingAdmissionPolicy"):
                document["metadata"].pop("namespace", "")  # kustomize does not know that these have none
            found[document["kind"], document["metadata"]["name"]] = document
    return found


def chart(*settings: str, namespace: str = "xstilts") -> Objects:
    options = [part for setting in settings for part in ("--set-json", setting)]
    return objects(helm("template", "release", CHART, "--namespace", namespace, *options))


@pytest.fixture
def overlaid(control_plane: ControlPlane, tmp_path: Path) -> Callable[..., Objects]:
    """Renders an overlay of somebody's own over one of ours."""

    def render(overlay: str, **more: Any) -> Objects:
        return objects(rendered(control_plane, tmp_path, overlay, **more))

    return render


def rendered(control_plane: ControlPlane, folder: Path, overlay: str, **more: Any) -> str:
    base = os.path.relpath(K8S / "overlays" / overlay, folder.resolve())
    (folder / "kustomization.yaml").write_text(json.dumps({"resources": [base], **more}))
    return control_plane.kubectl("kustomize", str(folder.resolve()))


# ---- rendered


@scopes
def test_kustomize_and_the_chart_render_the_same_objects(overlay: str, overlaid: Callable[..., Objects]) -> None:
    expected, found = overlaid(overlay), chart(f'scope="{SCOPES[overlay]}"')
    assert found.keys() == expected.keys()
    for key in expected:
        assert found[key] == expected[key], key
    assert ("ClusterRoleBinding", "xstilts-operator") in found or overlay == "namespaced"


def test_they_render_the_same_for_prometheus_and_grafana(overlaid: Callable[..., Objects], tmp_path: Path) -> None:
    dashboards = os.path.relpath(K8S / "dashboards", tmp_path.resolve())
    # a component has no namespace of its own
    expected = overlaid("namespaced", components=[dashboards], namespace="xstilts")
    found = chart("serviceMonitor=true", "prometheusRule=true", "dashboard=true")
    assert {kind for kind, _ in found} >= {"ServiceMonitor", "PrometheusRule", "ConfigMap"}
    assert found == expected


def test_they_render_the_same_admission_policy(overlaid: Callable[..., Objects], tmp_path: Path) -> None:
    policy = os.path.relpath(K8S / "pod-template-policy", tmp_path.resolve())
    lists = {"data": {"images": "registry.example/*\nother:1"}}
    patch = {"target": {"kind": "ConfigMap", "name": "xstilts-pod-template"}, "patch": json.dumps(lists | NAMED)}
    expected = overlaid("cluster", components=[policy], patches=[patch], namespace="research")
    found = chart(
        'scope="cluster"',
        "podTemplatePolicy.enabled=true",
        'podTemplatePolicy.images=["registry.example/*","other:1"]',
        namespace="research",
    )
    assert (
        found["ValidatingAdmissionPolicyBinding", "xstilts-pod-template"]["spec"]["paramRef"]["namespace"] == "research"
    )
    assert found == expected


def test_stages_reach_no_api_server_and_nobody_reaches_them() -> None:
    found = chart("stageNetworkPolicy.namespaces=[]")["NetworkPolicy", "xstilts-stages"]["spec"]
    assert found["policyTypes"] == ["Ingress", "Egress"]
    assert "ingress" not in found
    ports = {port["port"] for rule in found["egress"] for port in rule["ports"]}
    assert ports == {53, 443, 80, 5000, 9000}


def test_addresses_and_ports_of_stages_are_settings_and_each_namespace_with_studies_has_the_policy() -> None:
    text = helm(
        *("template", "release", CHART, "--namespace", "xstilts"),
        *(
            "--set-json",
            'stageNetworkPolicy={"egressPorts":[443],"exceptCIDRs":["10.0.0.1/32"],"namespaces":["a","b"]}',
        ),
    )
    found = [document for document in yaml.safe_load_all(text) if document and document["kind"] == "NetworkPolicy"]
    stages = {each["metadata"]["namespace"]: each for each in found if each["metadata"]["name"] == "xstilts-stages"}
    assert stages.keys() == {"xstilts", "a", "b"}
    assert stages["a"]["spec"]["egress"][1] == {
        "ports": [{"protocol": "TCP", "port": 443}],
        "to": [
            {"namespaceSelector": {}},
            {"ipBlock": {"cidr": "0.0.0.0/0", "except": ["10.0.0.1/32"]}},
            {"ipBlock": {"cidr": "::/0", "except": []}},
        ],
    }
    assert ("NetworkPolicy", "xstilts-stages") not in chart("stageNetworkPolicy.enabled=false")


def test_what_a_cluster_wide_operator_excludes_is_a_setting() -> None:
    def excluded(*settings: str) -> list[str]:
        container = chart(*settings)["Deployment", "xstilts-operator"]["spec"]["template"]["spec"]["containers"][0]
        return [argument.partition("=")[2] for argument in container["args"] if "exclude" in argument]

    assert excluded('scope="cluster"') == ["kube-system", "kube-public", "kube-node-lease", "$(POD_NAMESPACE)"]
    assert excluded('scope="cluster"', 'excludedNamespaces=["ingress"]') == ["ingress"]
    assert excluded('scope="cluster"', "excludedNamespaces=[]") == [""], "none, and not the default"
    assert excluded() == []


def test_they_render_the_same_for_other_images_and_another_namespace(overlaid: Callable[..., Objects]) -> None:
    digest = f"sha256:{'0' * 64}"
    images = [
        {"name": "xstilts-operator", "newName": "registry.example/operator", "digest": digest},
        {"name": "xstilts-trainer", "newName": "registry.example/trainer", "newTag": "v2"},
    ]
    found = chart(
        'scope="cluster"',
        f'image="registry.example/operator@{digest}"',
        'trainerImage="registry.example/trainer:v2"',
        namespace="research",
    )
    assert found == overlaid("cluster", images=images, namespace="research")


def test_the_chart_takes_other_settings() -> None:
    found = chart(
        'allowedSecretNames=["team-store"]',
        "maxRunningTrials=1000000",
        'tolerations=[{"key":"gpu","operator":"Exists"}]',
        'podLabels={"team":"a"}',
        'env=[{"name":"HTTPS_PROXY","value":"http://proxy:3128"}]',
        'lendIdentityTo=["s3://team/studies?endpoint=https://s3:9000","https://mlflow"]',
        'serviceAccount.annotations={"eks.amazonaws.com/role-arn":"arn:aws:iam::1:role/x"}',
        "networkPolicy.egressPorts=[443]",
        "crds=false",
        "userRoles=false",
    )
    secrets = [r for r in found["Role", "xstilts-operator"]["rules"] if "secrets" in r["resources"]]
    assert [rule["resourceNames"] for rule in secrets] == [["team-store"]]
    template = found["Deployment", "xstilts-operator"]["spec"]["template"]
    assert template["metadata"]["labels"]["team"] == "a"
    assert template["spec"]["tolerations"] == [{"key": "gpu", "operator": "Exists"}]
    assert "--max-running-trials=1000000" in template["spec"]["containers"][0]["args"]
    environment = {each["name"]: each.get("value") for each in template["spec"]["containers"][0]["env"]}
    assert environment["HTTPS_PROXY"] == "http://proxy:3128"
    lent = "s3://team/studies?endpoint=https://s3:9000 https://mlflow"
    assert environment["XSTILTS_LEND_IDENTITY_TO"] == lent
    assert "eks.amazonaws.com/role-arn" in found["ServiceAccount", "xstilts-operator"]["metadata"]["annotations"]
    assert found["NetworkPolicy", "xstilts-operator"]["spec"]["egress"][1]["ports"] == [
        {"protocol": "TCP", "port": 443}
    ]
    assert {kind for kind, _ in found} & {"CustomResourceDefinition", "ClusterRole"} == set()


def test_without_allowed_secrets_none_can_be_read() -> None:
    rules = chart("allowedSecretNames=[]")["Role", "xstilts-operator"]["rules"]
    assert not any("secrets" in rule["resources"] for rule in rules)


@pytest.mark.parametrize("setting", ['scope="Cluster"', "maxRunningTrails=3", 'allowedSecretNames=["*"]'])
def test_the_chart_refuses_settings_that_are_none(setting: str) -> None:
    with pytest.raises(HelmError, match=setting.partition("=")[0]):
        chart(setting)


def test_the_chart_is_without_fault() -> None:
    assert "0 chart(s) failed" in helm("lint", "--strict", CHART)


# ---- on a real API server


@pytest.fixture
def installed(control_plane: ControlPlane, namespace: str, tmp_path: Path) -> Iterator[Callable[[str], ControlPlane]]:
    """Applies an overlay to the test's own namespace, which becomes restricted. CRDs and roles of people stay."""

    def install(overlay: str) -> ControlPlane:
        if overlay == "cluster" and not control_plane.started_here:
            pytest.skip("the cluster of XSTILTS_TEST_KUBECONFIG may have an operator of its own")
        text = rendered(control_plane, tmp_path, overlay, namespace=namespace)
        control_plane.kubectl("apply", "--server-side", "--force-conflicts", "--filename", "-", stdin=text)
        return control_plane

    yield install
    if control_plane.started_here:
        of_the_cluster = ("clusterrolebinding/xstilts-operator", "clusterrole/xstilts-operator")
        control_plane.kubectl("delete", "--ignore-not-found", *of_the_cluster)


@scopes
def test_everything_is_accepted_and_once_more_without_a_change(
    overlay: str, installed: Callable[[str], ControlPlane], namespace: str
) -> None:
    cluster = installed(overlay)
    asked = ("get", "deployment/xstilts-operator", "--namespace", namespace, "--output", "json")
    first = json.loads(cluster.kubectl(*asked))
    installed(overlay)
    assert json.loads(cluster.kubectl(*asked))["metadata"]["generation"] == first["metadata"]["generation"] == 1


def test_the_operators_pod_is_let_into_a_restricted_namespace(
    installed: Callable[[str], ControlPlane], namespace: str
) -> None:
    cluster = installed("namespaced")
    found = json.loads(cluster.kubectl("get", f"namespace/{namespace}", "--output", "json"))
    assert found["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"
    asked = ("get", "deployment/xstilts-operator", "--namespace", namespace, "--output", "json")
    template = json.loads(cluster.kubectl(*asked))["spec"]["template"]
    pod = {"apiVersion": "v1", "kind": "Pod", **template, "metadata": {"name": "operator", "namespace": namespace}}
    create = ("create", "--dry-run=server", "--filename", "-")
    cluster.kubectl(*create, stdin=json.dumps(pod))
    pod["spec"]["containers"][0]["securityContext"]["allowPrivilegeEscalation"] = True
    with pytest.raises(KubectlError, match="violates PodSecurity"):
        cluster.kubectl(*create, stdin=json.dumps(pod))


USED: tuple[tuple[Resource, str, tuple[str, ...]], ...] = (
    (STUDIES, "", ("get", "list", "watch", "create", "patch", "delete")),
    (TRIALS, "", ("get", "list", "watch", "create", "patch", "delete")),
    (SCHEDULES, "", ("get", "list", "watch")),
    (STUDIES, "status", ("patch",)),
    (TRIALS, "status", ("patch",)),
    (SCHEDULES, "status", ("patch",)),
    (STUDIES, "finalizers", ("update",)),
    (SCHEDULES, "finalizers", ("update",)),
    (JOBS, "", ("get", "list", "watch", "create", "patch", "delete")),
    (TRAIN_JOBS, "", ("get", "list", "watch", "create", "patch", "delete")),
    (PODS, "", ("get", "list", "watch")),
    (PODS, "log", ("get",)),
    (EVENTS, "", ("create", "list")),
)
VERBS = ("get", "list", "watch", "create", "update", "patch", "delete", "deletecollection")
FOREIGN = (
    Resource("", "v1", "configmaps", "ConfigMap"),
    Resource("", "v1", "serviceaccounts", "ServiceAccount"),
    Resource("", "v1", "nodes", "Node"),
    Resource("", "v1", "namespaces", "Namespace"),
    Resource("apps", "v1", "deployments", "Deployment"),
    Resource("rbac.authorization.k8s.io", "v1", "roles", "Role"),
    Resource("rbac.authorization.k8s.io", "v1", "clusterrolebindings", "ClusterRoleBinding"),
    Resource("apiextensions.k8s.io", "v1", "customresourcedefinitions", "CustomResourceDefinition"),
)


@scopes
def test_the_operator_may_do_what_it_does_and_nothing_else(
    overlay: str, installed: Callable[[str], ControlPlane], namespace: str
) -> None:
    cluster = installed(overlay)
    operator = connect(kubeconfig=cluster.kubeconfig_for(namespace, "xstilts-operator"))
    everywhere = overlay == "cluster"
    for resource, subresource, verbs in USED:
        for verb in VERBS:
            expected = verb in verbs
            assert operator.can_i(verb, resource, namespace, subresource=subresource) == expected, (verb, resource)
            elsewhere = operator.can_i(verb, resource, "default", subresource=subresource)
            assert elsewhere == (expected and everywhere), (verb, resource)
    for resource in FOREIGN:
        for verb in VERBS:
            assert not operator.can_i(verb, resource, namespace), (verb, resource)
    for subresource in ("exec", "attach", "portforward", "ephemeralcontainers"):
        assert not operator.can_i("create", PODS, namespace, subresource=subresource)


@scopes
def test_secrets_are_read_by_name_and_the_lease_is_kept_at_home(
    overlay: str, installed: Callable[[str], ControlPlane], namespace: str
) -> None:
    cluster = installed(overlay)
    operator = connect(kubeconfig=cluster.kubeconfig_for(namespace, "xstilts-operator"))
    everywhere = overlay == "cluster"
    for place, expected in ((namespace, True), ("default", everywhere)):
        assert operator.can_i("get", SECRETS, place, "xstilts-store") == expected
        assert operator.can_i("get", SECRETS, place, "xstilts-tracking") == expected
        assert not operator.can_i("get", SECRETS, place, "somebodys")
        for verb in set(VERBS) - {"get"}:
            assert not operator.can_i(verb, SECRETS, place, "xstilts-store")
    for verb in VERBS:
        expected = verb in {"get", "update", "create"}
        assert operator.can_i(verb, LEASES, namespace, "xstilts-operator") == expected, verb
        assert operator.can_i(verb, LEASES, namespace, "another") == (verb == "create"), verb
        assert not operator.can_i(verb, LEASES, "default", "xstilts-operator"), verb


def test_the_account_of_stages_has_no_rights_at_all(installed: Callable[[str], ControlPlane], namespace: str) -> None:
    cluster = installed("namespaced")
    stage = connect(kubeconfig=cluster.kubeconfig_for(namespace, "default"))
    for resource in (STUDIES, TRIALS, SCHEDULES, JOBS, TRAIN_JOBS, PODS, EVENTS, SECRETS, LEASES, *FOREIGN):
        assert not any(stage.can_i(verb, resource, namespace) for verb in VERBS), resource


def test_who_may_view_a_namespace_may_view_studies_and_who_may_edit_it_may_make_them(
    installed: Callable[[str], ControlPlane], namespace: str
) -> None:
    cluster = installed("namespaced")
    people = {}
    for role in ("view", "edit"):
        cluster.kubectl("create", "serviceaccount", role, "--namespace", namespace)
        account = f"--serviceaccount={namespace}:{role}"
        cluster.kubectl("create", "rolebinding", role, f"--clusterrole={role}", account, "--namespace", namespace)
        people[role] = connect(kubeconfig=cluster.kubeconfig_for(namespace, role))
    # a controller adds our rules to these roles
    eventually(lambda: people["view"].can_i("watch", TRIALS, namespace))
    eventually(lambda: people["edit"].can_i("create", SCHEDULES, namespace))
    assert people["edit"].can_i("delete", STUDIES, namespace)
    assert not people["view"].can_i("create", STUDIES, namespace)
    for role in people.values():
        assert not role.can_i("create", TRIALS, namespace)
        assert not role.can_i("patch", STUDIES, namespace, subresource="status")


def test_helm_installs_upgrades_and_leaves_the_studies_when_it_uninstalls(
    control_plane: ControlPlane, namespace: str, tmp_path: Path
) -> None:
    if not control_plane.started_here:
        pytest.skip("CRDs and roles of people in the cluster of XSTILTS_TEST_KUBECONFIG are not ours to take over")
    release = ("release", CHART, "--namespace", namespace)
    kubeconfig = control_plane.kubeconfig()
    # other tests have put CRDs there
    helm("install", *release, "--take-ownership", "--force-conflicts", kubeconfig=kubeconfig)
    helm("upgrade", *release, "--set", "maxRunningTrials=7", kubeconfig=kubeconfig)
    deployment = control_plane.kubectl("get", "deployment/xstilts-operator", "-n", namespace, "-o", "json")
    assert "--max-running-trials=7" in json.loads(deployment)["spec"]["template"]["spec"]["containers"][0]["args"]
    control_plane.kubectl("apply", "--namespace", namespace, "--filename", "-", stdin=json.dumps(STUDY))

    helm("uninstall", "release", "--namespace", namespace, kubeconfig=kubeconfig)
    left = control_plane.kubectl("get", "deployments,services,roles,networkpolicies", "-n", namespace, "-o", "name")
    assert left == ""
    assert control_plane.kubectl("get", "studies", "-n", namespace, "-o", "name") == "study.xstilts.dev/kept\n"


STUDY = {
    "apiVersion": "xstilts.dev/v1alpha1",
    "kind": "Study",
    "metadata": {"name": "kept"},
    "spec": {
        "model": {"name": "xlm-roberta-base"},
        "targets": [{"name": "xnli"}],
        "sizes": ["0"],
        "store": {"uri": "s3://bucket/prefix"},
        "tracking": {"uri": "http://mlflow:5000"},
    },
}
