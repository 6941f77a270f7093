"""The tests' own node: pods as processes, with real Jobs of a real Job controller."""

import json
import signal
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from cluster.api import Api, Object, Refused
from cluster.kubelet import PodRunner
from cluster.kubernetes import ControlPlane
from cluster.polling import eventually

SLEEP = ("sleep", "600")
UNTIL_SIGTERM = """
    import signal, sys, time
    signal.signal(signal.SIGTERM, lambda *_: (print("asked to end"), sys.exit(11)))
    print("started")
    time.sleep(600)
"""
"""Ends with 11, as a stage does that was preempted."""
IGNORE_DISRUPTION = {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]}


@dataclass(frozen=True)
class Jobs:
    """Jobs of one container in a namespace."""

    api: Api
    namespace: str

    def create(self, *command: str, name: str = "job", spec: Object | None = None, **pod: Any) -> None:
        """`spec` adds to the Job's, `container` to the container, what else there is to the pod's spec."""
        container = {"name": "main", "image": "xstilts/trainer", "command": list(command), **pod.pop("container", {})}
        template = {"spec": {"restartPolicy": "Never", "containers": [container], **pod}}
        body = {"metadata": {"name": name}, "spec": {"backoffLimit": 0, "template": template} | (spec or {})}
        self.api.post(f"/apis/batch/v1/namespaces/{self.namespace}/jobs", body)

    def path(self, name: str = "job") -> str:
        return f"/apis/batch/v1/namespaces/{self.namespace}/jobs/{name}"

    def end(self, name: str = "job") -> Object:
        """The condition with which it has ended."""
        return eventually(lambda: self._condition(name))

    def _condition(self, name: str) -> Object | None:
        conditions = self.api.get(self.path(name))["status"].get("conditions", [])
        return next((c for c in conditions if c["type"] in {"Complete", "Failed"} and c["status"] == "True"), None)

    def pods(self) -> list[Object]:
        return list(self.api.get(f"/api/v1/namespaces/{self.namespace}/pods")["items"])

    def failed_pods(self, name: str = "job") -> int:
        """Those that count against the Job's backoffLimit."""
        return int(self.api.get(self.path(name))["status"].get("failed", 0))

    def pod(self) -> Object:
        (pod,) = self.pods()
        return pod

    def waiting_for(self) -> Object:
        """The state of the one pod's container while it is not started."""
        statuses = self.pods()[0]["status"].get("containerStatuses", [{}]) if self.pods() else [{}]
        return dict(statuses[0].get("state", {}).get("waiting", {}))

    def unschedulable(self) -> list[str]:
        """What the scheduler says of pods that fit nowhere."""
        conditions = [condition for pod in self.pods() for condition in pod["status"].get("conditions", [])]
        return [condition["message"] for condition in conditions if condition.get("reason") == "Unschedulable"]

    def terminated(self) -> Object:
        return dict(self.pod()["status"]["containerStatuses"][0]["state"]["terminated"])


@pytest.fixture
def jobs(control_plane: ControlPlane, namespace: str) -> Iterator[Jobs]:
    with Api(control_plane.kubeconfig()) as api:
        yield Jobs(api, namespace)


@pytest.fixture
def node(control_plane: ControlPlane, namespace: str) -> Iterator[PodRunner]:
    with PodRunner(control_plane, namespace) as runner:
        yield runner


def python(program: str) -> tuple[str, ...]:
    return ("python", "-c", textwrap.dedent(program))


def started(node: PodRunner, number: int = 1) -> str:
    """The name of the pod of the n-th process, once that runs."""
    return eventually(lambda: node.executions[number - 1 :])[0].pod


def said(control_plane: ControlPlane, namespace: str, pod: str, word: str) -> None:
    eventually(lambda: log if word in (log := control_plane.kubectl("logs", pod, "-n", namespace)) else "")


def test_a_process_has_the_environment_and_the_files_of_its_pod_and_no_other(
    control_plane: ControlPlane, jobs: Jobs, node: PodRunner
) -> None:
    control_plane.kubectl("create", "secret", "generic", "login", "--from-literal=key=secret", "-n", jobs.namespace)
    control_plane.kubectl("create", "configmap", "settings", "--from-literal=COLOUR=red", "-n", jobs.namespace)
    environment = [
        {"name": "KEY", "valueFrom": {"secretKeyRef": {"name": "login", "key": "key"}}},
        {"name": "NONE", "valueFrom": {"secretKeyRef": {"name": "none", "key": "key", "optional": True}}},
        {"name": "POD", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
        {"name": "JOB", "valueFrom": {"fieldRef": {"fieldPath": "metadata.labels['batch.kubernetes.io/job-name']"}}},
        {"name": "BOTH", "value": "$(KEY) and $(COLOUR), not $(OTHER) or $$(KEY)"},
        {"name": "LOGIN_FILE", "value": "/var/login/key"},
    ]
    program = """
        import json, os, pathlib, sys
        file = pathlib.Path(os.environ["LOGIN_FILE"]).read_text()
        print(json.dumps({"env": dict(os.environ), "arguments": sys.argv[1:], "file": file, "cwd": os.getcwd()}))
    """
    jobs.create(
        *python(program),
        "$(COLOUR)",
        container={
            "env": environment,
            "envFrom": [
                {"configMapRef": {"name": "settings"}},
                {"secretRef": {"name": "none", "optional": True}, "prefix": "X"},
            ],
            "volumeMounts": [{"name": "login", "mountPath": "/var/login"}, {"name": "tmp", "mountPath": "/tmp"}],
        },
        volumes=[{"name": "login", "secret": {"secretName": "login"}}, {"name": "tmp", "emptyDir": {}}],
    )
    assert jobs.end()["type"] == "Complete"
    pod = jobs.pod()["metadata"]["name"]
    found = json.loads(control_plane.kubectl("logs", pod, "-n", jobs.namespace))
    assert found["arguments"] == ["red"]
    assert found["file"] == "secret"
    assert found["env"]["BOTH"] == "secret and red, not $(OTHER) or $(KEY)"
    assert (found["env"]["POD"], found["env"]["JOB"], found["env"]["HOME"]) == (pod, "job", found["cwd"])
    of_the_image = {"PATH", "HOME", "TMPDIR", "HOSTNAME", "LOGNAME", "PYTHONUNBUFFERED"}
    of_the_pod = {"KEY", "POD", "JOB", "BOTH", "LOGIN_FILE", "COLOUR"}
    assert set(found["env"]) - {"LC_CTYPE"} == of_the_image | of_the_pod  # Python sets LC_CTYPE itself


def test_an_exit_code_ends_a_job_as_its_policy_says(jobs: Jobs, node: PodRunner) -> None:
    hopeless = {"action": "FailJob", "onExitCodes": {"containerName": "main", "operator": "In", "values": [2, 3]}}
    jobs.create("sh", "-c", "exit 3", spec={"backoffLimit": 4, "podFailurePolicy": {"rules": [hopeless]}})
    end = jobs.end()
    assert (end["type"], end["reason"]) == ("Failed", "PodFailurePolicy")
    assert "exit code 3 matching FailJob rule" in end["message"]
    assert [(execution.job, execution.exit_code) for execution in node.executions] == [("job", 3)]


def test_an_evicted_process_is_asked_to_end_and_its_pod_replaced(
    control_plane: ControlPlane, jobs: Jobs, node: PodRunner
) -> None:
    jobs.create(*python(UNTIL_SIGTERM), spec={"podFailurePolicy": {"rules": [IGNORE_DISRUPTION]}})
    first = started(node)
    said(control_plane, jobs.namespace, first, "started")
    node.evict(first)
    assert started(node, 2) != first
    assert node.executions[0].exit_code == 11
    assert jobs.failed_pods() == 0


def test_a_process_that_does_not_end_when_asked_is_killed_after_its_grace(jobs: Jobs, node: PodRunner) -> None:
    jobs.create("sh", "-c", "trap '' TERM; echo started; sleep 600 & wait; sleep 600", terminationGracePeriodSeconds=1)
    pod = started(node)
    jobs.api.delete(f"/api/v1/namespaces/{jobs.namespace}/pods/{pod}")
    assert jobs.end()["type"] == "Failed"
    assert [execution.exit_code for execution in node.executions] == [137]
    assert eventually(lambda: jobs.pods() == [])


def test_logs_are_followed_and_cut_to_their_tail(control_plane: ControlPlane, jobs: Jobs, node: PodRunner) -> None:
    jobs.create("sh", "-c", "for i in 1 2 3 4; do echo line $i; sleep 0.2; done")
    pod = started(node)
    assert control_plane.kubectl("logs", "-f", pod, "-n", jobs.namespace).splitlines()[-1] == "line 4"
    assert control_plane.kubectl("logs", "--tail=2", pod, "-n", jobs.namespace) == "line 3\nline 4\n"
    assert control_plane.kubectl("logs", "--limit-bytes=6", pod, "-n", jobs.namespace) == "line 1"


def test_a_process_runs_on_and_ends_while_the_api_server_is_away(
    control_plane: ControlPlane, jobs: Jobs, node: PodRunner
) -> None:
    jobs.create("sleep", "5")
    started(node)
    # Told that it runs: else the node would still try to tell when the process ends, and not see it.
    eventually(lambda: [pod["status"]["phase"] for pod in jobs.pods()] == ["Running"])
    with control_plane.without_api_server(by=signal.SIGKILL):
        eventually(lambda: node.executions[0].exit_code == 0)
    assert jobs.end()["type"] == "Complete"
    assert len(node.executions) == 1


def test_a_pod_waits_for_a_secret_that_is_not_there_yet(
    control_plane: ControlPlane, jobs: Jobs, node: PodRunner
) -> None:
    jobs.create("true", container={"envFrom": [{"secretRef": {"name": "late"}}]})
    waiting = eventually(jobs.waiting_for)
    assert waiting == {"reason": "CreateContainerConfigError", "message": 'secret "late" not found'}
    control_plane.kubectl("create", "secret", "generic", "late", "-n", jobs.namespace)
    assert jobs.end()["type"] == "Complete"


def test_pods_wait_for_a_free_place_an_image_and_a_fitting_node(
    control_plane: ControlPlane, jobs: Jobs, node: PodRunner
) -> None:
    node.max_pods = 1
    node.missing_images.add("nowhere/image")
    jobs.create("true", container={"image": "nowhere/image"})
    assert eventually(jobs.waiting_for)["reason"] == "ImagePullBackOff"
    jobs.create("true", name="second")
    jobs.create("true", name="third", container={"resources": {"limits": {"nvidia.com/gpu": 1}}})
    unschedulable = eventually(
        lambda: [
            c for pod in jobs.pods() for c in pod["status"].get("conditions", []) if c.get("reason") == "Unschedulable"
        ]
    )
    assert unschedulable[0]["message"] == "0/1 nodes are available: 1 Insufficient nvidia.com/gpu."
    assert node.executions == []
    node.missing_images.clear()
    assert jobs.end("second")["type"] == "Complete"


def test_a_job_outlives_the_loss_of_its_node(control_plane: ControlPlane, jobs: Jobs, node: PodRunner) -> None:
    jobs.create(*SLEEP, spec={"podFailurePolicy": {"rules": [IGNORE_DISRUPTION]}})
    first = started(node)
    node.lose_node()
    assert started(node, 2) != first
    assert node.executions[0].exit_code == 137
    assert jobs.failed_pods() == 0


def test_a_kill_for_memory_is_told_as_one(jobs: Jobs, node: PodRunner) -> None:
    jobs.create(*SLEEP)
    node.kill(started(node), reason="OOMKilled")
    assert jobs.end()["type"] == "Failed"
    assert {name: jobs.terminated()[name] for name in ("exitCode", "reason")} == {
        "exitCode": 137,
        "reason": "OOMKilled",
    }


def test_a_pod_ends_at_its_deadline(jobs: Jobs, node: PodRunner) -> None:
    jobs.create(*python(UNTIL_SIGTERM), activeDeadlineSeconds=1)
    assert jobs.end()["type"] == "Failed"
    assert jobs.pod()["status"]["reason"] == "DeadlineExceeded"


def test_nothing_is_left_of_a_deleted_job(control_plane: ControlPlane, jobs: Jobs, node: PodRunner) -> None:
    node.max_pods = 1
    for name, pods in (("running", 1), ("pending", 2)):  # each has its pod before the next is made
        jobs.create(*SLEEP, name=name, terminationGracePeriodSeconds=0)
        assert eventually(lambda pods=pods: len(jobs.pods()) == pods)
        started(node)
    for name in ("pending", "running"):  # in this order, or the second would get the room of the first
        jobs.api.delete(jobs.path(name), propagationPolicy="Background")
        assert eventually(lambda name=name: not [pod for pod in jobs.pods() if name in pod["metadata"]["name"]])
    assert eventually(lambda: jobs.pods() == [])
    assert len(node.executions) == 1
    with pytest.raises(Refused, match="not found"):
        jobs.api.get(jobs.path("running"))


def test_a_deleted_pod_that_was_never_bound_is_replaced(jobs: Jobs, node: PodRunner) -> None:
    node.max_pods = 0
    jobs.create("true", spec={"podFailurePolicy": {"rules": [IGNORE_DISRUPTION]}, "backoffLimit": 1})
    pod = eventually(jobs.pods)[0]["metadata"]["name"]
    jobs.api.delete(f"/api/v1/namespaces/{jobs.namespace}/pods/{pod}")
    node.max_pods = 1
    assert jobs.end()["type"] == "Complete"
