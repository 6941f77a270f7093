"""The admission policy for `spec.podTemplate`, as a real API server judges Studies and StudySchedules by it."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

import cluster_studies as given
from cluster.kubernetes import ControlPlane, KubectlError
from cluster.polling import eventually

POLICY = Path(__file__).parents[2] / "k8s" / "pod-template-policy"
OBJECTS = ("validatingadmissionpolicybinding/xstilts-pod-template", "validatingadmissionpolicy/xstilts-pod-template")
LISTS = {
    "images": "registry.example/xstilts-trainer@sha256:*\n",
    "serviceAccountNames": "stages",
    "secretNames": "hub-token\nregistry",
    "configMapNames": "proxy",
    "claimNames": "scratch-*",
}
ALLOWED: dict[str, Any] = {
    "image": f"registry.example/xstilts-trainer@sha256:{'0' * 64}",
    "serviceAccountName": "stages",
    "imagePullSecrets": [{"name": "registry"}],
    "env": [
        {"name": "A", "value": "1"},
        {"name": "B", "secretKeyRef": {"name": "hub-token", "key": "token"}},
        {"name": "C", "configMapKeyRef": {"name": "proxy", "key": "url"}},
    ],
    "volumes": [
        {"name": "a", "mountPath": "/a", "secret": "hub-token"},
        {"name": "b", "mountPath": "/b", "configMap": "proxy"},
        {"name": "c", "mountPath": "/c", "claimName": "scratch-1"},
        {"name": "d", "mountPath": "/d", "emptyDirSize": "1Gi"},
    ],
}
REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "image": ({"image": "registry.example/miner:1"}, "registry.example/miner:1 (images)"),
    "account": ({"serviceAccountName": "admin"}, "admin (serviceAccountNames)"),
    "pull secret": ({"imagePullSecrets": [{"name": "other"}]}, "other (secretNames)"),
    "secret in a variable": (
        {"env": [{"name": "A", "secretKeyRef": {"name": "database", "key": "password"}}]},
        "database (secretNames)",
    ),
    "configuration in a variable": (
        {"env": [{"name": "A", "configMapKeyRef": {"name": "private", "key": "a"}}]},
        "private (configMapNames)",
    ),
    "secret in a volume": (
        {"volumes": [{"name": "a", "mountPath": "/a", "secret": "database"}]},
        "database (secretNames)",
    ),
    "configuration in a volume": (
        {"volumes": [{"name": "a", "mountPath": "/a", "configMap": "private"}]},
        "private (configMapNames)",
    ),
    "claim": ({"volumes": [{"name": "a", "mountPath": "/a", "claimName": "payroll"}]}, "payroll (claimNames)"),
    "one of several": (ALLOWED | {"serviceAccountName": "stages2"}, "stages2 (serviceAccountNames)"),
}

Apply = Callable[..., str]


@pytest.fixture(scope="module")
def lists(crds: ControlPlane) -> Iterator[Callable[[dict[str, str]], None]]:
    """Sets the lists of the policy, which is in force for the module: kube-apiserver finds no lists for a second one."""
    if not crds.started_here:
        pytest.skip("the policy would judge every Study in the cluster of XSTILTS_TEST_KUBECONFIG")
    place = "pod-template-lists"
    (configuration,) = yaml.safe_load_all((POLICY / "lists.yaml").read_text())
    assert configuration["data"].keys() == LISTS.keys()

    def put(data: dict[str, str]) -> None:
        document = json.dumps(configuration | {"data": data})
        crds.kubectl("apply", "--namespace", place, "-f", "-", stdin=document)

    crds.kubectl("create", "namespace", place)
    policy, binding = yaml.safe_load_all((POLICY / "policy.yaml").read_text())
    binding["spec"]["paramRef"]["namespace"] = place
    crds.kubectl("apply", "-f", "-", stdin=json.dumps(policy))
    crds.kubectl("apply", "-f", "-", stdin=json.dumps(binding))
    yield put
    crds.kubectl("delete", "--ignore-not-found", *OBJECTS)
    crds.kubectl("delete", "namespace", place, "--wait=false")


@pytest.fixture
def judged(crds: ControlPlane, lists: Callable[[dict[str, str]], None], namespace: str) -> Apply:
    """Applies objects in a namespace under the policy with LISTS."""

    def apply(document: dict[str, Any], *options: str) -> str:
        return crds.kubectl("apply", "--namespace", namespace, *options, "-f", "-", stdin=json.dumps(document))

    lists(LISTS)
    eventually(lambda: "probe (serviceAccountNames)" in refusal(apply, study(serviceAccountName="probe")))
    eventually(lambda: not refusal(apply, study(**ALLOWED)))
    return apply


def refusal(apply: Apply, document: dict[str, Any]) -> str:
    """What is said against it, if anything."""
    try:
        apply(document, "--dry-run=server")
    except KubectlError as error:
        return str(error)
    return ""


def study(**template: Any) -> dict[str, Any]:
    spec = given.SPEC | ({"podTemplate": template} if template else {})
    return {"apiVersion": "xstilts.dev/v1alpha1", "kind": "Study", "metadata": {"name": "demo"}, "spec": spec}


def schedule(**template: Any) -> dict[str, Any]:
    spec = {"schedule": "0 3 * * *", "studyTemplate": {"spec": study(**template)["spec"]}}
    return {"apiVersion": "xstilts.dev/v1alpha1", "kind": "StudySchedule", "metadata": {"name": "demo"}, "spec": spec}


def test_a_pod_template_may_name_what_is_listed_and_nothing_else(judged: Apply) -> None:
    for kind in (study, schedule):
        assert "created" in judged(kind(), "--dry-run=server")
        assert "created" in judged(kind(**ALLOWED), "--dry-run=server")
        for name, (template, said) in REFUSED.items():
            told = refusal(judged, kind(**template))
            assert said in told, name
            assert "the lists are in the ConfigMap" in told


def test_a_study_that_was_let_in_before_the_lists_were_shortened_can_be_changed_elsewhere_and_deleted(
    judged: Apply, lists: Callable[[dict[str, str]], None], crds: ControlPlane, namespace: str
) -> None:
    judged(study(**ALLOWED))
    lists({})

    second = study(**ALLOWED) | {"metadata": {"name": "second"}}
    eventually(lambda: "stages (serviceAccountNames)" in refusal(judged, second))
    changed = study(**ALLOWED)
    changed["spec"] |= {"parallelism": 2}
    changed["metadata"] |= {"finalizers": ["xstilts.dev/cleanup"]}
    assert "configured" in judged(changed)
    with pytest.raises(KubectlError, match="names what this cluster does not allow"):
        judged(study(**ALLOWED | {"image": "registry.example/another:1"}))
    crds.kubectl("delete", "study/demo", "--namespace", namespace, "--wait=false")
    patch = '{"metadata": {"finalizers": null}}'
    crds.kubectl("patch", "study/demo", "--namespace", namespace, "--type=merge", "--patch", patch)
    assert crds.kubectl("get", "studies", "--namespace", namespace, "-o", "name") == ""


def test_without_its_lists_the_policy_refuses_every_study(judged: Apply, crds: ControlPlane) -> None:
    crds.kubectl("delete", "configmap/xstilts-pod-template", "--namespace", "pod-template-lists")

    eventually(lambda: "no params found" in refusal(judged, study()))
    assert "xstilts-pod-template" in refusal(judged, study())
