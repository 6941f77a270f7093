"""Objects of the Jobs engine at a real API server: it accepts each as it is, and lets their pods into `restricted`."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from cluster.build import source
from cluster.kubernetes import ControlPlane, KubectlError
from job_studies import EVERYTHING, NODES, SECRETS, job
from xstilts.engines.pod_fields import Object
from xstilts.engines.workloads import WorkloadState, differs, workload

CLASS = "xstilts-test-research"
PODS: dict[str, Any] = EVERYTHING["podTemplate"] | {"priorityClassName": CLASS}
JOBS: dict[str, Object] = {
    "plain": job("evaluation"),
    "secrets": job("target-training", **SECRETS),
    "several processes": job(resources={"intermediate-training": {"processesPerNode": 2}}),
    "everything": job(**EVERYTHING | {"podTemplate": PODS}),
}


@pytest.fixture(scope="module")
def cluster(control_plane: ControlPlane) -> Iterator[ControlPlane]:
    """With a priority class that one of the Jobs names."""
    control_plane.kubectl("create", "priorityclass", CLASS, "--value=7")
    yield control_plane
    control_plane.kubectl("delete", "priorityclass", CLASS)


@pytest.fixture
def restricted(cluster: ControlPlane, namespace: str) -> str:
    """A namespace that takes no pod which breaks the Pod Security Standard `restricted`."""
    cluster.kubectl("label", "namespace", namespace, "pod-security.kubernetes.io/enforce=restricted")
    cluster.kubectl("create", "serviceaccount", "trainer", "--namespace", namespace)
    return namespace


def placed(made: Mapping[str, Any], namespace: str) -> Object:
    return {**made, "metadata": {**made["metadata"], "namespace": namespace}}


def create(cluster: ControlPlane, made: Mapping[str, Any], *options: str) -> Object:
    """What the API server makes of it; unknown fields are errors."""
    answer = cluster.kubectl("create", "--validate=strict", "-o", "json", *options, "-f", "-", stdin=json.dumps(made))
    found: Object = json.loads(answer)
    return found


@pytest.mark.parametrize("name", JOBS)
def test_the_api_server_takes_every_job(cluster: ControlPlane, restricted: str, name: str) -> None:
    made = placed(JOBS[name], restricted)
    stored = create(cluster, made, "--dry-run=server")
    assert stored["spec"]["podFailurePolicy"] == made["spec"]["podFailurePolicy"]
    found = workload(stored)
    assert found.state is (WorkloadState.SUSPENDED if name == "everything" else WorkloadState.ACTIVE)
    assert differs(stored, made) == [], "defaults of the API server are no differences"


@pytest.mark.parametrize("name", JOBS)
def test_pods_of_every_job_are_let_into_a_restricted_namespace(
    cluster: ControlPlane, restricted: str, name: str
) -> None:
    template = JOBS[name]["spec"]["template"]
    pod = {"apiVersion": "v1", "kind": "Pod", **template, "metadata": {**template["metadata"], "name": "p"}}
    admitted = create(cluster, placed(pod, restricted), "--dry-run=server")
    assert admitted["spec"]["serviceAccountName"] == ("trainer" if name == "everything" else "default")


def test_the_namespace_really_is_restricted(cluster: ControlPlane, restricted: str) -> None:
    template = json.loads(json.dumps(JOBS["plain"]["spec"]["template"]))
    del template["spec"]["securityContext"]
    pod = {"apiVersion": "v1", "kind": "Pod", **template, "metadata": {"name": "p"}}
    with pytest.raises(KubectlError, match='violates PodSecurity "restricted'):
        create(cluster, placed(pod, restricted), "--dry-run=server")


# ---- Kubeflow Trainer


@pytest.fixture(scope="module")
def trainer_source() -> Path:
    checksum = "h1:Je+e7zvTLzB4qW09J1fB7pZrqvPtWuGng2NqdN5p5QU="
    return source("github.com/kubeflow/trainer/v2", "v2.3.0", checksum=checksum)


@pytest.fixture(scope="module")
def trainer(cluster: ControlPlane, trainer_source: Path) -> Iterator[ControlPlane]:
    """With TrainJobs, unless the cluster has them already."""
    there = cluster.kubectl("get", "crd", "trainjobs.trainer.kubeflow.org", "--ignore-not-found", "-o", "name")
    file = trainer_source / "manifests/base/crds/trainer.kubeflow.org_trainjobs.yaml"
    if not there:
        cluster.define(file)
    yield cluster
    if not there:
        cluster.kubectl("delete", "--wait=false", "-f", str(file))


def test_the_custom_resource_of_trainer_takes_a_train_job_and_loses_nothing(
    trainer: ControlPlane, restricted: str
) -> None:
    made = placed(job(**NODES), restricted)
    stored = create(trainer, made, "--dry-run=server")
    for field, value in made["spec"].items():
        assert stored["spec"][field] == value
    assert workload(stored).state is WorkloadState.SUSPENDED


def test_pods_of_a_train_job_are_let_into_a_restricted_namespace(
    cluster: ControlPlane, restricted: str, trainer_source: Path
) -> None:
    """The pod that Trainer would make: that of its own runtime, with our patch."""
    runtime = yaml.safe_load((trainer_source / "manifests/base/runtimes/torch_distributed.yaml").read_text())
    assert runtime["metadata"]["name"] == "torch-distributed"
    (replicated,) = runtime["spec"]["template"]["spec"]["replicatedJobs"]
    shipped = replicated["template"]["spec"]["template"]["spec"]
    patches = job(**NODES)["spec"]["runtimePatches"][0]["trainingRuntimeSpec"]["template"]["spec"]["replicatedJobs"][0]
    assert patches["name"] == replicated["name"]
    patch = patches["template"]["spec"]["template"]
    (container,), (patched,) = shipped["containers"], patch["spec"]["containers"]
    assert container["name"] == patched["name"]
    spec = {**shipped, **patch["spec"], "containers": [{**container, **patched}]}
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {**patch["metadata"], "name": "p"}, "spec": spec}
    create(cluster, placed(pod, restricted), "--dry-run=server")
