"""A cluster in one process, step by step: an operator, what it watches, and Jobs that run as the test wants.

Every step is chosen by whoever drives it, so that a seed gives one order of events, and any order can be tried.
"""

from collections import Counter, deque
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import plans
from xstilts.api.study import Study
from xstilts.cluster.memory import Event, MemoryCluster
from xstilts.cluster.port import JOBS, PODS, SCHEDULES, STUDIES, TRIALS, Object
from xstilts.controller.calls import Line
from xstilts.controller.controller import Controller
from xstilts.controller.effects import Effects
from xstilts.controller.memory_desk import MemoryDesk
from xstilts.controller.objects import Key
from xstilts.controller.resync import WATCHED
from xstilts.controller.state import State
from xstilts.controller.views import Diagnosis
from xstilts.core import planner
from xstilts.core.errors import ExitCode
from xstilts.core.keys import stage_address

NAMESPACE = "team"
START = 1_800_000_000.0


class Inline:
    """Calls wait until the test lets them run."""

    def __init__(self) -> None:
        self.waiting: deque[tuple[Any, tuple[Any, ...]]] = deque()

    def submit(self, line: Line, call: Any, /, *arguments: Any) -> None:
        self.waiting.append((call, arguments))

    def run_next(self) -> None:
        fn, args = self.waiting.popleft()
        fn(*args)


def study_document(name: str = "s", **changes: Any) -> Object:
    """A Study of 10 trials in the world of `plans`, on S3 and MLflow."""
    spec: dict[str, Any] = {
        "model": {"uri": "s3://bucket/model"},
        "recipes": [{"name": "mnli", "tasks": [{"name": "mnli"}]}],
        "sizes": ["0", "100", "full"],
        "subsetSeeds": [1, 2],
        "seeds": [1, 2],
        "targets": [{"name": "xnli"}, {"name": "tatoeba"}],
        "store": {"uri": "s3://bucket/prefix"},
        "tracking": {"uri": "http://mlflow:5000"},
    }
    return {"metadata": {"name": name, "namespace": NAMESPACE}, "spec": spec | changes}


@dataclass
class Simulation:
    """Everything that a Study meets."""

    faults: Any = None
    max_running_trials: int = 100
    excluded_namespaces: tuple[str, ...] = ()
    now: float = START
    runs: Counter[str] = field(default_factory=Counter)
    """How often the work of each stage was done."""

    def __post_init__(self) -> None:
        self.cluster = MemoryCluster(clock=lambda: datetime.fromtimestamp(self.now, UTC), faults=self.faults)
        self.desk = MemoryDesk(lambda study: planner.plan(study, plans.world()))
        self.news: deque[Event] = deque()
        self.cluster.subscribe(self.news.append)
        self.start_operator()

    # ---- the operator

    def start_operator(self) -> None:
        """Also after a crash: everything that was in memory is gone, calls that were under way are cut off."""
        self.calls = Inline()
        state = State(max_running_trials=self.max_running_trials, excluded_namespaces=self.excluded_namespaces)
        self.controller = Controller(
            state=state,
            effects=Effects(self.cluster, self.desk, state, "trainer:1", clock=lambda: self.now),
            calls=self.calls,
            clock=lambda: self.now,
        )
        self.news.clear()
        self.relist()

    def relist(self) -> None:
        """All that is there is seen, and what is gone since the last look is missed, as `Resync` does."""
        for resource, labels in WATCHED.items():
            if resource == SCHEDULES:
                continue
            if resource == TRIALS:
                self.controller.read_plans()
            there: set[Key] = set()
            for obj in list(self.cluster.list(resource, None, labels=labels)):
                there.add(Key(obj["metadata"]["namespace"], obj["metadata"]["name"]))
                self.controller.see(resource, obj)
            for key in self.controller.state.versions(resource).keys() - there:
                if gone := self.controller.state.remembered(resource, key):
                    self.controller.see(resource, gone, deleted=True)

    def hear(self) -> None:
        """The next event of the watch, of what is watched."""
        event = self.news.popleft()
        if event.resource in WATCHED and event.resource != SCHEDULES:
            self.controller.see(event.resource, event.obj, deleted=event.type == "DELETED")

    def decide(self) -> bool:
        """One pass over one Study; False where none is waiting."""
        key = self.controller.queue.get(timeout=0)
        if key is None:
            return False
        try:
            self.controller.process(key)
        finally:
            self.controller.queue.done(key)
        return True

    def settle(self) -> None:
        """Until the operator has nothing more to do."""
        for _ in range(10_000):
            if self.news:
                self.hear()
            elif self.calls.waiting:
                self.calls.run_next()
            elif not self.decide():
                return
        raise AssertionError("the operator does not come to rest")

    # ---- Jobs

    def jobs(self, *, active: bool = True) -> list[Object]:
        found = [job for job in self.cluster.list(JOBS, NAMESPACE) if not job["metadata"].get("deletionTimestamp")]
        return [job for job in found if not active or not job.get("status", {}).get("conditions")]

    def run(self, job: Object) -> None:
        """The Job's pod does its work and publishes it."""
        address = address_of(job)
        if address not in self.desk.made:
            self.runs[address] += 1
            self.desk.made.add(address)
        self.desk.published.add((address, job["metadata"]["labels"]["xstilts.dev/study"]))
        self._end(job, "Complete", "CompletionsReached", "")

    def fail(self, job: Object, code: ExitCode, message: str = "it broke") -> None:
        self.desk.outcomes[address_of(job)] = Diagnosis(code.name, message)
        self._end(job, "Failed", "PodFailurePolicy", f"exit code {int(code)}")

    def _end(self, job: Object, kind: str, reason: str, message: str) -> None:
        time = self.time
        condition = {"type": kind, "status": "True", "reason": reason, "message": message, "lastTransitionTime": time}
        status = {"conditions": [condition], "startTime": time}
        if kind == "Complete":
            status["completionTime"] = time
        self.cluster.patch(JOBS, NAMESPACE, job["metadata"]["name"], {"status": status}, subresource="status")

    def preempt(self, job: Object, number: int) -> None:
        """A pod of the Job was evicted, and another takes its place."""
        evicted = [{"type": "DisruptionTarget", "status": "True", "reason": "EvictionByEvictionAPI"}]
        self.end_pod(job, number, {"exitCode": 137}, evicted)

    def outage(self, job: Object, number: int, message: str = "StorageUnavailable: no answer from s3") -> None:
        """A pod of the Job waited for store or server in vain, and another takes its place."""
        self.end_pod(job, number, {"exitCode": int(ExitCode.UNAVAILABLE), "message": message})

    def end_pod(self, job: Object, number: int, terminated: Object, conditions: list[Object] | None = None) -> None:
        state = {"terminated": {"startedAt": self.time, "finishedAt": self.time} | terminated}
        self.pod(
            job,
            number,
            phase="Failed",
            conditions=conditions or [],
            containerStatuses=[{"name": "stage", "state": state}],
        )

    def pod(self, job: Object, number: int, **status: Any) -> None:
        """A pod of the Job with this status."""
        name = f"{job['metadata']['name']}-{number}"
        labels = job["spec"]["template"]["metadata"]["labels"]
        metadata = {
            "name": name,
            "namespace": NAMESPACE,
            "labels": labels | {"batch.kubernetes.io/job-name": job["metadata"]["name"]},
            "ownerReferences": [{"kind": "Job", "name": job["metadata"]["name"], "uid": job["metadata"]["uid"]}],
        }
        if self.cluster.get(PODS, NAMESPACE, name) is None:
            self.cluster.create(PODS, {"metadata": metadata})
        self.cluster.patch(PODS, NAMESPACE, name, {"status": status}, subresource="status")

    @property
    def time(self) -> str:
        """Now, as the cluster writes it."""
        return datetime.fromtimestamp(self.now, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")

    def finish(self) -> None:
        """All Jobs run, until there is nothing to do."""
        for _ in range(1000):
            self.settle()
            jobs = self.jobs()
            if not jobs:
                return
            for job in jobs:
                self.run(job)
        raise AssertionError("there is always one more job")

    # ---- what people see

    def apply(self, document: Object) -> Object:
        return self.cluster.apply(STUDIES, {"apiVersion": "xstilts.dev/v1alpha1", "kind": "Study", **document})

    def retry(self, name: str = "s", asked: str = "again") -> None:
        """What `xstilts retry` does."""
        patch = {"metadata": {"annotations": {"xstilts.dev/retry": asked}}}
        self.cluster.patch(STUDIES, NAMESPACE, name, patch)

    def edit(self, name: str = "s", **spec: Any) -> None:
        self.cluster.patch(STUDIES, NAMESPACE, name, {"spec": spec})

    def study(self, name: str = "s") -> Object:
        found = self.cluster.get(STUDIES, NAMESPACE, name)
        assert found is not None
        return found

    def condition(self, kind: str, name: str = "s") -> tuple[str, str]:
        """Status and reason."""
        found = {c["type"]: c for c in self.study(name).get("status", {}).get("conditions", ())}
        return (found[kind]["status"], found[kind]["reason"]) if kind in found else ("", "")

    def trials(self, name: str = "s") -> dict[str, str]:
        """Trial to the reason of its condition."""
        found = self.cluster.list(TRIALS, NAMESPACE, labels={"xstilts.dev/study": name})
        return {
            trial["metadata"]["name"]: trial.get("status", {}).get("conditions", [{"reason": "none"}])[0]["reason"]
            for trial in found
        }

    def planned(self, name: str = "s") -> Any:
        return planner.plan(as_study(self.study(name)), plans.world())

    def key(self, name: str = "s") -> Key:
        return Key(NAMESPACE, name)


def as_study(obj: Object) -> Study:
    return Study.model_validate({"metadata": {"name": obj["metadata"]["name"]}, "spec": obj["spec"]})


def address_of(job: Object) -> str:
    labels = job["metadata"]["labels"]
    return stage_address(labels["xstilts.dev/stage"], labels["xstilts.dev/stage-key"])
