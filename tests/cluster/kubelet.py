"""A node of a cluster that has none: pods run as processes of this machine, with the environment that they ask for.

It takes the places of the scheduler, which binds pods, and of the kubelet, which runs them, tells how they fare, ends
those that are deleted, and serves their logs. It acts on what the API server says, so it survives its restarts.

Unlike in a container, a process here sees this machine's files, and SIGTERM ends one that has no handler for it.
"""

import os
import signal
import sys
import tempfile
import threading
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Self
from uuid import uuid4

import pytest

from cluster.api import Api, Object, Refused, Unreachable, Watch
from cluster.certificates import self_signed
from cluster.container_logs import Log, LogServer
from cluster.http_servers import serving
from cluster.kubernetes import ControlPlane
from cluster.placement import Scheduler, path
from cluster.running_pod import RETRY_SECONDS, Execution, Node, RunningPod
from cluster.warden import Warden

IMAGE = {
    "PATH": os.pathsep.join([str(Path(sys.executable).parent), "/usr/local/bin", "/usr/bin", "/bin"]),
    "LOGNAME": "xstilts",
    "PYTHONUNBUFFERED": "1",
}
"""What is set in every image of ours."""


class PodRunner:
    """Runs the pods of one namespace, or of all, for as long as its context lasts; at most `max_pods` at once."""

    def __init__(
        self,
        control_plane: ControlPlane,
        namespace: str = "",
        *,
        max_pods: int = 2,
        extra_environment: Mapping[str, str] | None = None,
        labels: Mapping[str, str] | None = None,
        capacity: Sequence[str] = ("cpu", "memory", "ephemeral-storage"),
    ) -> None:
        """`labels` are the node's, for nodeSelectors; pods that ask for a resource outside `capacity` stay pending."""
        self.name = f"node-{uuid4().hex[:8]}"
        self._control_plane = control_plane
        self._namespace = namespace
        self._max_pods = max_pods
        self._image = IMAGE | (extra_environment or {})
        self._labels = dict(labels or {}) | {"kubernetes.io/hostname": self.name}
        self._capacity = frozenset(capacity)
        self._pods: dict[str, RunningPod] = {}
        self._pending: dict[str, Object] = {}
        self._lock = threading.RLock()
        self._watch: Watch | None = None

    # --- what tests see and do --------------------------------------------------------------------------------------

    @property
    def executions(self) -> list[Execution]:
        """Every container process that was started, in order, also those that still run."""
        return list(self._node.executions)

    @property
    def missing_images(self) -> set[str]:
        """Images that can't be pulled; tests change it."""
        return self._node.missing_images

    @property
    def running(self) -> list[str]:
        """The names of the pods that have not ended."""
        with self._lock:
            return [pod.pod["metadata"]["name"] for pod in self._pods.values() if not pod.is_over]

    @property
    def max_pods(self) -> int:
        return self._max_pods

    @max_pods.setter
    def max_pods(self, number: int) -> None:
        self._max_pods = number
        self._schedule()

    def evict(self, pod: str) -> None:
        """As `kubectl drain` does it; the pod has its grace."""
        metadata = self._find(pod).pod["metadata"]
        body = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": pod}}
        self._node.api.post(f"/api/v1/namespaces/{metadata['namespace']}/pods/{pod}/eviction", body)

    def kill(self, pod: str, number: signal.Signals = signal.SIGKILL, *, reason: str = "") -> None:
        """A signal to its main process, unseen by the cluster but for the exit code; the reason may be OOMKilled."""
        self._find(pod).send(number, reason)

    def lose_node(self) -> None:
        """All its processes vanish, and the cluster notices as it does when a node is gone: a new one is there."""
        with self._lock:
            for pod in self._pods.values():
                pod.lose()

    def _find(self, name: str) -> RunningPod:
        with self._lock:
            return next(pod for pod in self._pods.values() if pod.pod["metadata"]["name"] == name and not pod.is_over)

    # --- start and stop ---------------------------------------------------------------------------------------------

    def __enter__(self) -> Self:
        if not self._control_plane.started_here:
            pytest.skip("the cluster of XSTILTS_TEST_KUBECONFIG has nodes of its own")
        with ExitStack() as stack:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="xstilts-node-")))
            api = stack.enter_context(Api(self._control_plane.kubeconfig()))
            self._node = Node(api, stack.enter_context(Warden()), folder, self._image)
            self._scheduler = Scheduler(api, self.name, self._labels, self._capacity)
            logs = stack.enter_context(serving(LogServer(self_signed(folder, self.name), self._log)))
            self._register(logs.server_port)
            stack.callback(self._unregister)
            follower = threading.Thread(target=self._follow, name=self.name)
            follower.start()
            stack.callback(follower.join)
            stack.callback(self._stop)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def _register(self, port: int) -> None:
        node = {
            "apiVersion": "v1",
            "kind": "Node",
            "metadata": {"name": self.name, "labels": self._labels},
            "status": {
                "addresses": [{"type": "InternalIP", "address": "127.0.0.1"}],
                "daemonEndpoints": {"kubeletEndpoint": {"Port": port}},
                "conditions": [{"type": "Ready", "status": "True", "reason": "KubeletReady"}],
            },
        }
        self._node.api.post("/api/v1/nodes", node)

    def _stop(self) -> None:
        self._node.stopping.set()
        with self._lock:
            if self._watch:
                self._watch.stop()
            pods = list(self._pods.values())
        for pod in pods:
            pod.join()

    def _unregister(self) -> None:
        """The node goes, and with it what is left of its pods: nobody else would let them go."""
        with suppress(Unreachable):
            self._node.api.delete(f"/api/v1/nodes/{self.name}")
            for pod in self._pods.values():
                with suppress(Refused):
                    self._node.api.delete(path(pod.pod), gracePeriodSeconds=0)

    # --- following the API server -----------------------------------------------------------------------------------

    def _follow(self) -> None:
        while not self._node.stopping.is_set():
            try:
                version = self._list()
                with self._lock:
                    if self._node.stopping.is_set():
                        return
                    self._watch = self._node.api.watch(self._path, resource_version=version)
                self._follow_events(self._watch)
            except (Unreachable, Refused):
                self._node.stopping.wait(RETRY_SECONDS)

    @property
    def _path(self) -> str:
        return f"/api/v1/namespaces/{self._namespace}/pods" if self._namespace else "/api/v1/pods"

    def _list(self) -> str:
        found = self._node.api.get(self._path)
        with self._lock:
            for uid in {*self._pods, *self._pending} - {pod["metadata"]["uid"] for pod in found["items"]}:
                self._forget(uid)
            for pod in found["items"]:
                self._see(pod)
        self._schedule()
        return str(found["metadata"]["resourceVersion"])

    def _follow_events(self, events: Iterable[Object]) -> None:
        for event in events:
            if event["type"] == "ERROR":  # too old to go on from here
                return
            with self._lock:
                if event["type"] == "DELETED":
                    self._forget(event["object"]["metadata"]["uid"])
                elif event["type"] != "BOOKMARK":
                    self._see(event["object"])
            self._schedule()

    def _see(self, pod: Object) -> None:
        """Act on what the pod is now, whatever was seen of it before."""
        uid, node = pod["metadata"]["uid"], pod["spec"].get("nodeName")
        is_deleted, has_ended = (
            "deletionTimestamp" in pod["metadata"],
            pod["status"]["phase"] in {"Succeeded", "Failed"},
        )
        if node is None:
            self._pending.pop(uid, None)
            if not has_ended:
                self._pending[uid] = pod
        elif node == self.name and uid not in self._pods and not has_ended:
            self._run(pod)
        if is_deleted and uid in self._pods:
            self._pods[uid].delete(pod["metadata"]["deletionGracePeriodSeconds"])

    def _forget(self, uid: str) -> None:
        self._pending.pop(uid, None)
        if pod := self._pods.pop(uid, None):
            pod.vanish()

    def _run(self, pod: Object) -> None:
        self._pending.pop(pod["metadata"]["uid"], None)
        running = self._pods[pod["metadata"]["uid"]] = RunningPod(self._node, pod, self._schedule)
        running.start()

    def _log(self, namespace: str, pod: str, container: str) -> Log | str:
        with self._lock:
            for known in self._pods.values():
                metadata = known.pod["metadata"]
                if (metadata["namespace"], metadata["name"]) == (namespace, pod):
                    return known.log(container)
        return f'pod "{pod}" is not on this node'

    def _schedule(self) -> None:
        with self._lock, suppress(Unreachable):  # then there will be another list
            for pod in list(self._pending.values()):
                if "deletionTimestamp" in pod["metadata"]:
                    self._scheduler.collect(pod)
                elif obstacle := self._scheduler.obstacle(pod):
                    self._scheduler.leave(pod, obstacle)
                elif len(self.running) < self._max_pods and self._scheduler.bind(pod):
                    pod["spec"]["nodeName"] = self.name
                    self._run(pod)
