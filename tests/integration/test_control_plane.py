"""The tests' own Kubernetes: a real API server with its controllers, which leaves no process behind."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from cluster import kubernetes
from cluster.kubernetes import ControlPlane, KubectlError
from cluster.polling import eventually


def test_a_service_account_may_do_what_its_role_says_and_nothing_else(
    control_plane: ControlPlane, namespace: str
) -> None:
    control_plane.kubectl("create", "serviceaccount", "reader", "-n", namespace)
    control_plane.kubectl("create", "role", "reader", "--verb=list", "--resource=jobs", "-n", namespace)
    control_plane.kubectl(
        "create", "rolebinding", "reader", "--role=reader", f"--serviceaccount={namespace}:reader", "-n", namespace
    )
    reader = control_plane.kubeconfig_for(namespace, "reader")
    assert (
        json.loads(control_plane.kubectl("get", "jobs", "-n", namespace, "-o", "json", kubeconfig=reader))["items"]
        == []
    )
    with pytest.raises(KubectlError, match=r'"system:serviceaccount:.*:reader" cannot list resource "secrets"'):
        control_plane.kubectl("get", "secrets", "-n", namespace, kubeconfig=reader)


@pytest.mark.parametrize("by", [signal.SIGTERM, signal.SIGKILL], ids=lambda by: by.name)
def test_the_state_survives_a_restart_of_the_api_server(
    control_plane: ControlPlane, namespace: str, by: signal.Signals
) -> None:
    control_plane.kubectl("create", "configmap", "kept", "--from-literal=key=value", "-n", namespace)
    control_plane.restart_api_server(by=by)
    assert control_plane.kubectl("get", "configmap", "kept", "-n", namespace, "-o", "jsonpath={.data.key}") == "value"


def test_a_cluster_from_outside_is_used_and_left_as_it_was(
    control_plane: ControlPlane, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XSTILTS_TEST_KUBECONFIG", str(control_plane.kubeconfig()))

    def of_tests(plane: ControlPlane) -> list[str]:
        bindings = plane.kubectl("get", "clusterrolebindings,serviceaccounts", "-n", "default", "-o", "name")
        return [name for name in bindings.split() if "xstilts-tests" in name]

    with kubernetes.serve() as borrowed:
        assert not borrowed.started_here
        assert len(of_tests(borrowed)) == 2
        with pytest.raises(pytest.skip.Exception, match="not ours to stop"):
            borrowed.restart_api_server()
    assert of_tests(control_plane) == []


def test_no_process_outlives_tests_that_are_killed() -> None:
    program = "from cluster.warden import Warden; print(Warden().start(['sleep', '600']).pid, flush=True); input()"
    with subprocess.Popen(
        [sys.executable, "-c", program],
        cwd=Path(__file__).parents[1],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as tests:
        assert tests.stdout is not None
        pid = int(tests.stdout.readline())
        os.kill(pid, 0)
        tests.kill()
    eventually(lambda: not Path(f"/proc/{pid}").exists() or "Z" in Path(f"/proc/{pid}/stat").read_text())
