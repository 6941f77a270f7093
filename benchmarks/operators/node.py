"""A node without processes: pods run because it says so, and end when they are asked to, with results in the store.

What the API server is told is what a kubelet tells; the Job controller and the operator see no difference.
"""

import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from datetime import UTC, datetime

from benchmarks.operators.results import Results
from benchmarks.operators.watching import following
from cluster.api import Api, Object, Refused
from xstilts.api import names

STAGE_SECONDS = (3.0, 9.0)
"""Time that a stage takes which ends by itself: long enough that its start is told before its end, and not the same for
all, so that they do not end together."""
SHARED = "data-scaling"
"""Stages of this kind end by themselves: every trial of a Study waits for them."""
THREADS = 32


class Node:
    """Runs the pods of a namespace."""

    def __init__(self, api: Api, results: Results) -> None:
        self._api = api
        self._results = results
        self._pods: dict[str, Object] = {}
        """By Job."""
        self._seen: set[str] = set()
        self._ended: set[str] = set()
        self._lock = threading.Lock()
        self.hurried: set[str] = set()
        """Studies whose stages all end by themselves."""
        self._pool = ThreadPoolExecutor(THREADS, thread_name_prefix="node")

    @contextmanager
    def running(self, namespace: str) -> Iterator["Node"]:
        with self._pool, following(self._api, f"/api/v1/namespaces/{namespace}/pods", self._see):
            yield self

    def active(self, prefix: str) -> list[str]:
        """Jobs of Studies whose names begin so, whose pods run."""
        with self._lock:
            return [
                job
                for job, pod in self._pods.items()
                if job not in self._ended and pod["metadata"]["labels"][names.STUDY].startswith(prefix)
            ]

    def study_of(self, job: str) -> str:
        return str(self._pods[job]["metadata"]["labels"][names.STUDY])

    def end(self, job: str) -> None:
        """Lets the stage succeed."""
        with self._lock:
            pod = self._pods[job]
            self._ended.add(job)
        labels = pod["metadata"]["labels"]
        self._results.put(labels[names.STUDY], labels[names.STAGE], labels[names.STAGE_KEY])
        self._tell(pod, "Succeeded", {"terminated": {"exitCode": 0, "reason": "Completed", "finishedAt": _now()}})

    def _see(self, kind: str, pod: Object) -> None:
        labels = pod["metadata"].get("labels", {})
        uid, job = pod["metadata"]["uid"], labels.get("batch.kubernetes.io/job-name", "")
        with self._lock:
            if kind == "DELETED":
                self._pods.pop(job, None)
            elif job and uid not in self._seen:
                self._seen.add(uid)
                self._pool.submit(self._run, pod).add_done_callback(_complain)

    def _run(self, pod: Object) -> None:
        labels = pod["metadata"]["labels"]
        self._tell(pod, "Running", {"running": {"startedAt": _now()}})
        with self._lock:
            self._pods[labels["batch.kubernetes.io/job-name"]] = pod
        if labels[names.STAGE] == SHARED or labels[names.STUDY] in self.hurried:
            time.sleep(_seconds(labels[names.STAGE_KEY]))
            self.end(labels["batch.kubernetes.io/job-name"])

    def _tell(self, pod: Object, phase: str, state: Object) -> None:
        metadata, container = pod["metadata"], pod["spec"]["containers"][0]
        ready = phase == "Running"
        status = {
            "phase": phase,
            "startTime": _now(),
            "conditions": [{"type": kind, "status": str(ready)} for kind in ("Ready", "ContainersReady")],
            "containerStatuses": [
                {
                    "name": container["name"],
                    "image": container["image"],
                    "imageID": "",
                    "restartCount": 0,
                    "ready": ready,
                    "state": state,
                }
            ],
        }
        path = f"/api/v1/namespaces/{metadata['namespace']}/pods/{metadata['name']}/status"
        with suppress(Refused):  # it was deleted
            self._api.patch(path, {"metadata": {"uid": metadata["uid"]}, "status": status}, kind="strategic")


def _seconds(key: str) -> float:
    """Of a stage, the same each time."""
    shortest, longest = STAGE_SECONDS
    return shortest + (longest - shortest) * int(key[:4], 16) / 0xFFFF


def _complain(run: Future[None]) -> None:
    """Says what went wrong in a thread that nobody waits for."""
    run.result()


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
