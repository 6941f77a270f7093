"""How a pod fares, in the words in which a kubelet tells it."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from cluster.api import Object
from cluster.containers import termination_message
from cluster.warden import Process


@dataclass
class Execution:
    """A container's process, once it was started: the work that was really done."""

    job: str
    pod: str
    namespace: str
    container: str
    arguments: tuple[str, ...]
    exit_code: int | None = None
    """None while it runs; 128 and the signal where one ended it."""


@dataclass
class Container:
    """One of a pod, before, while and after its process runs."""

    spec: Object
    log: Path
    execution: Execution
    process: Process | None = None
    started: str = ""
    finished: str = ""
    reason: str = ""

    @property
    def runs(self) -> bool:
        return self.process is not None and not self.finished

    def end(self, exit_code: int) -> None:
        self.execution.exit_code = 128 - exit_code if exit_code < 0 else exit_code
        self.reason = self.reason or ("Error" if exit_code else "Completed")
        self.finished = now()

    def _state(self, waiting: tuple[str, str]) -> Object:
        if self.finished:
            state = {"exitCode": self.execution.exit_code, "reason": self.reason, "finishedAt": self.finished}
            return {"terminated": state | {"startedAt": self.started or None, "message": self._message()}}
        if self.process:
            return {"running": {"startedAt": self.started}}
        return {"waiting": {"reason": waiting[0], "message": waiting[1]}}

    def _message(self) -> str:
        """Its own words, else the end of what it printed where it failed and its policy says so."""
        own = termination_message(self.log.parent, self.spec)
        if own.exists() and (words := own.read_text(errors="replace")[:4096]):
            return words
        falls_back = self.spec.get("terminationMessagePolicy") == "FallbackToLogsOnError"
        if not falls_back or not self.execution.exit_code or not self.log.exists():
            return ""
        lines = self.log.read_bytes()[-2048:].decode(errors="replace").splitlines(keepends=True)
        return "".join(lines[-80:])

    def status(self, waiting: tuple[str, str]) -> Object:
        """`waiting` is the reason and the message of one that was not started."""
        return {
            "name": self.spec["name"],
            "image": self.spec["image"],
            "imageID": "",
            "containerID": f"process://{self.process.pid}" if self.process else "",
            "restartCount": 0,
            "ready": self.runs,
            "started": self.runs,
            "state": self._state(waiting),
        }


def pod_status(phase: str, containers: Sequence[Container], *, start_time: str, waiting: tuple[str, str]) -> Object:
    runs = phase == "Running" and all(container.runs for container in containers)
    reason = "" if runs else {"Succeeded": "PodCompleted", "Failed": "PodFailed"}.get(phase, "ContainersNotReady")
    return {
        "phase": phase,
        "startTime": start_time,
        "hostIP": "127.0.0.1",
        "podIP": "127.0.0.1",
        "podIPs": [{"ip": "127.0.0.1"}],
        "conditions": [
            condition("Initialized", True, "PodCompleted" if phase == "Succeeded" else ""),
            condition("Ready", runs, reason),
            condition("ContainersReady", runs, reason),
        ],
        "containerStatuses": [container.status(waiting) for container in containers],
    }


def condition(kind: str, holds: bool, reason: str) -> Object:
    entry = {"type": kind, "status": str(holds), "lastTransitionTime": now()}
    return entry | {"reason": reason} if reason else entry


def now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
