"""One pod on its node: containers as processes, from the binding to the terminal status, told to the API server.

What is told, and in which order, is what a kubelet tells: the Job controller counts by it.
"""

import signal
import subprocess
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from cluster.api import Api, Object, Refused, Unreachable
from cluster.container_logs import Log
from cluster.containers import CannotStart, Command, Workplace
from cluster.forked import can_fork
from cluster.placement import path
from cluster.pod_status import Container, Execution, condition, now, pod_status
from cluster.warden import Process, Warden, kill_group

RETRY_SECONDS = 0.2
POLL_SECONDS = 0.02


@dataclass
class Node:
    """What the pods of one node share."""

    api: Api
    warden: Warden
    folder: Path
    image: Mapping[str, str]
    """The environment that images bring."""
    executions: list[Execution] = field(default_factory=list)
    missing_images: set[str] = field(default_factory=set)
    stopping: threading.Event = field(default_factory=threading.Event)

    def insist(self, call: Callable[[], object]) -> None:
        """Until the API server has done it, or the object is no longer there to do it to."""
        while not self.stopping.is_set():
            try:
                call()
                return
            except Unreachable:
                pass
            except Refused as error:
                modified = "object has been modified" in str(error)
                if error.status in {404, 409} and not modified:  # 409: another pod has its name now
                    return
                if error.status < 500 and error.status != 429 and not modified:
                    raise
            self.stopping.wait(RETRY_SECONDS)


class RunningPod:
    """A pod that is bound to the node. A thread of its own looks after it."""

    def __init__(self, node: Node, pod: Object, on_end: Callable[[], None]) -> None:
        self.pod = pod
        self.is_over = False
        self._node = node
        self._on_end = on_end
        self._name: str = pod["metadata"]["name"]
        self._path = path(pod)
        self._folder = node.folder / str(pod["metadata"]["uid"])
        self._folder.mkdir(exist_ok=True)
        self._containers = [self._container(spec) for spec in pod["spec"]["containers"]]
        self._waiting = ("ContainerCreating", "")
        self._start_time = now()
        self._failure: tuple[str, str] | None = None
        self._kill_at: float | None = None
        self._deleted = self._lost = self._vanished = False
        self._wake = threading.Event()
        self._thread = threading.Thread(target=self._live, name=f"pod {self._name}")

    def _container(self, spec: Object) -> Container:
        metadata = self.pod["metadata"]
        job = metadata.get("labels", {}).get("batch.kubernetes.io/job-name", "")
        execution = Execution(job, self._name, metadata["namespace"], spec["name"], ())
        return Container(spec, self._folder / f"{spec['name']}.log", execution)

    # --- what others ask for ----------------------------------------------------------------------------------------

    def start(self) -> None:
        self._thread.start()

    def join(self) -> None:
        self._wake.set()
        self._thread.join()

    def delete(self, grace_seconds: float) -> None:
        """It is being deleted: SIGTERM, SIGKILL after the grace, and then the object goes."""
        self._deleted = True
        self._end_within(grace_seconds)
        if self.is_over and grace_seconds:
            self.remove()

    def vanish(self) -> None:
        """Its object is gone already."""
        self._vanished = True
        self._wake.set()

    def lose(self) -> None:
        """Its node is gone: nobody sees its processes end."""
        self._lost = True
        self._wake.set()

    def send(self, number: signal.Signals, reason: str) -> None:
        """To the main process of each container; the reason is told if that ends it."""
        for container in self._containers:
            if container.runs and container.process:
                container.reason = reason
                container.process.send_signal(number)

    def log(self, container: str) -> Log | str:
        """A container's output, or what the kubelet says where there is none."""
        known = next((known for known in self._containers if known.spec["name"] == container), None)
        if known is None:
            return f'container "{container}" in pod "{self._name}" is not available'
        if known.log.exists():
            return Log(known.log, lambda: not known.runs)
        return f'container "{container}" in pod "{self._name}" is waiting to start: {self._waiting[0]}'

    def _end_within(self, grace_seconds: float) -> None:
        kill_at = time.monotonic() + grace_seconds
        self._kill_at = kill_at if self._kill_at is None else min(self._kill_at, kill_at)
        self._wake.set()

    # --- its life ---------------------------------------------------------------------------------------------------

    def _live(self) -> None:
        if commands := self._prepare():
            self._start_containers(commands)
            self._supervise()
        if self._lost:
            self._tell_loss()
        elif not (self._node.stopping.is_set() or self._vanished):
            self._tell_end()
        self.is_over = True
        if self._deleted:  # asked last: who deletes it later sees that it is over
            self.remove()
        self._on_end()

    def _prepare(self) -> list[Command]:
        """The commands once everything for them is there; none if the pod is to end before that."""
        spec = self.pod["spec"]
        if spec["restartPolicy"] != "Never" or spec.get("initContainers"):
            self._failure = ("Unsupported", "tests run pods with restartPolicy Never and no initContainers only")
            return []
        place = Workplace(self._node.api, self.pod, self._folder, self._node.folder / "claims", self._node.image)
        while not self._is_to_end:
            try:
                self._pull_images()
                return [place.command(container.spec) for container in self._containers]
            except CannotStart as problem:
                self._wait_for(problem)
            except (Unreachable, Refused):
                pass  # the API server is away
            self._wake.wait(RETRY_SECONDS)
        return []

    @property
    def _is_to_end(self) -> bool:
        return self._kill_at is not None or self._lost or self._vanished or self._node.stopping.is_set()

    def _pull_images(self) -> None:
        for container in self._containers:
            image = container.spec["image"]
            if image in self._node.missing_images:
                raise CannotStart("ImagePullBackOff", f'Back-off pulling image "{image}"')

    def _wait_for(self, problem: CannotStart) -> None:
        waiting = (problem.reason, str(problem))
        if self._waiting != waiting:
            self._waiting = waiting
            self._tell("Pending")

    def _start_containers(self, commands: list[Command]) -> None:
        for container, command in zip(self._containers, commands, strict=True):
            container.started = now()
            container.execution.arguments = command.arguments
            try:
                container.process = self._process(command, container.log)
            except (OSError, IndexError) as error:  # no such program, or no command at all
                container.reason, self._failure = "StartError", ("StartError", str(error))
                container.end(128)
            else:
                self._node.executions.append(container.execution)
        self._tell("Running")

    def _process(self, command: Command, log: Path) -> Process:
        warden, environment = self._node.warden, dict(command.environment)
        if can_fork(command.arguments, environment):
            return warden.fork(command.arguments, env=environment, cwd=command.folder, output=log)
        with log.open("wb") as output:
            return warden.start(
                command.arguments, env=environment, cwd=command.folder, stdout=output, stderr=subprocess.STDOUT
            )

    def _supervise(self) -> None:
        deadline = self.pod["spec"].get("activeDeadlineSeconds")
        overdue = time.monotonic() + deadline if deadline else None
        told = False
        while any(container.runs for container in self._containers):
            if self._vanished or self._lost or self._node.stopping.is_set() or _is_past(self._kill_at):
                self._signal_all(signal.SIGKILL)
            elif self._kill_at is not None and not told:
                self._signal_all(signal.SIGTERM)
                told = True
            elif _is_past(overdue) and not self._failure:
                self._failure = ("DeadlineExceeded", "Pod was active on the node longer than the specified deadline")
                self._end_within(self.pod["spec"].get("terminationGracePeriodSeconds", 30))
                continue
            self._wake.wait(POLL_SECONDS)
            self._wake.clear()
            self._collect()

    def _collect(self) -> None:
        ended = [c for c in self._containers if c.runs and c.process and c.process.poll() is not None]
        for container in ended:
            assert container.process is not None
            self._node.warden.forget(container.process)
            container.end(container.process.returncode)
        if ended and any(container.runs for container in self._containers):
            self._tell("Running")

    def _signal_all(self, number: signal.Signals) -> None:
        """As a container's runtime does it: SIGTERM reaches the main process, SIGKILL all of them."""
        for container in self._containers:
            if container.runs and container.process:
                kill_group(container.process) if number == signal.SIGKILL else container.process.send_signal(number)

    # --- what the API server hears ----------------------------------------------------------------------------------

    def _tell_end(self) -> None:
        for container in self._containers:
            if not container.finished and self._deleted:
                container.reason = "ContainerStatusUnknown"
                container.end(137)
        succeeded = not self._failure and all(c.finished and c.execution.exit_code == 0 for c in self._containers)
        self._tell("Succeeded" if succeeded else "Failed")

    def _tell_loss(self) -> None:
        """What the pod garbage collector does when it misses a node."""
        disruption = condition("DisruptionTarget", True, "DeletionByPodGC")
        self._patch({"phase": "Failed", "conditions": [disruption | {"message": "PodGC: node no longer exists"}]})
        self.remove()

    def remove(self) -> None:
        precondition = {"uid": self.pod["metadata"]["uid"]}
        self._node.insist(lambda: self._node.api.delete(self._path, gracePeriodSeconds=0, preconditions=precondition))

    def _tell(self, phase: str) -> None:
        status = pod_status(phase, self._containers, start_time=self._start_time, waiting=self._waiting)
        if phase == "Failed" and self._failure:
            status |= {"reason": self._failure[0], "message": self._failure[1]}
        self._patch(status)

    def _patch(self, status: Object) -> None:
        body = {"metadata": {"uid": self.pod["metadata"]["uid"]}, "status": status}
        self._node.insist(lambda: self._node.api.patch(f"{self._path}/status", body, kind="strategic"))


def _is_past(moment: float | None) -> bool:
    return moment is not None and time.monotonic() >= moment
