"""What a scheduler, and the garbage collector of pods, do to those that no node has yet."""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass

from cluster.api import Api, Object, Refused


@dataclass(frozen=True)
class Scheduler:
    """For the one node that there is."""

    api: Api
    node: str
    labels: Mapping[str, str]
    capacity: frozenset[str]

    def obstacle(self, pod: Object) -> str:
        """Why the pod can't be on the node, as the scheduler words it; nothing if it can."""
        wanted = pod["spec"].get("nodeSelector", {})
        if not wanted.items() <= self.labels.items():
            return "node(s) didn't match Pod's node affinity/selector"
        for container in pod["spec"]["containers"]:
            resources = container.get("resources", {})
            for resource in {**resources.get("requests", {}), **resources.get("limits", {})}:
                if resource not in self.capacity:
                    return f"Insufficient {resource}"
        return ""

    def bind(self, pod: Object) -> bool:
        """Whether the node is to run it now."""
        metadata = {name: pod["metadata"][name] for name in ("name", "uid")}
        target = {"apiVersion": "v1", "kind": "Node", "name": self.node}
        body = {"apiVersion": "v1", "kind": "Binding", "metadata": metadata, "target": target}
        try:
            self.api.post(f"{path(pod)}/binding", body)
        except Refused:  # it was deleted, or an answer was lost: an event will say
            return False
        return True

    def leave(self, pod: Object, obstacle: str) -> None:
        """Say in its status why it stays pending."""
        condition = {
            "type": "PodScheduled",
            "status": "False",
            "reason": "Unschedulable",
            "message": f"0/1 nodes are available: 1 {obstacle}.",
        }
        known = pod["status"].get("conditions", [])
        if not any(entry.get("message") == condition["message"] for entry in known):
            self._patch(pod, {"conditions": [condition]})

    def collect(self, pod: Object) -> None:
        """A deleted pod that was never bound fails: a Job controller that replaces failed pods only waits for that."""
        self._patch(pod, {"phase": "Failed"})
        with suppress(Refused):
            self.api.delete(path(pod), gracePeriodSeconds=0)

    def _patch(self, pod: Object, status: Object) -> None:
        with suppress(Refused):
            body = {"metadata": {"uid": pod["metadata"]["uid"]}, "status": status}
            self.api.patch(f"{path(pod)}/status", body, kind="strategic")


def path(pod: Object) -> str:
    return f"/api/v1/namespaces/{pod['metadata']['namespace']}/pods/{pod['metadata']['name']}"
