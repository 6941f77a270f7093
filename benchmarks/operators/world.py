"""Everything that the operator works with, for real: API server with etcd and controllers, S3 server, MLflow server.

Only nodes are missing, so that nothing of what is measured is a stage's own work.
"""

import os
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.operators.node import Node
from benchmarks.operators.results import Results
from cluster import kubernetes, mlflow_server, s3
from cluster.api import Api, Object
from cluster.api_proxy import ApiProxy, api_proxy
from cluster.s3 import free_port
from operators import OperatorProcess, Place, make_place
from studies import make_inputs
from xstilts.api import names
from xstilts.store.datasets import put_dataset
from xstilts.tasks.datasets import scan

NAMESPACE = "bench"
POLL_SECONDS = 0.05
TARGETS = [{"name": "xsid", "languages": ["de"]}, {"name": "xnli", "languages": ["de"]}, {"name": "pawsx"}]
"""Three that are trained: with data scaling and intermediate training, a trial has eight stages."""


@dataclass
class World:
    """One namespace of one cluster."""

    place: Place
    api: Api
    node: Node
    proxy: ApiProxy
    folder: Path

    def path(self, plural: str, name: str = "") -> str:
        groups = {"jobs": "/apis/batch/v1"}
        root = groups.get(plural, f"/apis/{names.GROUP}/{names.VERSION}")
        return f"{root}/namespaces/{NAMESPACE}/{plural}{f'/{name}' if name else ''}"

    def items(self, plural: str, **query: str) -> list[Object]:
        return list(self.api.get(self.path(plural), **query)["items"])

    def study(self, name: str, *, trials: int, seed: int) -> Object:
        """With trials of eight stages each, of which the first is shared; other seeds mean other stages."""
        return self.place.study(
            name,
            recipes=[{"name": "mnli", "tasks": [{"name": "mnli"}]}],
            sizes=["40"],
            subsetSeeds=[seed],
            seeds=[seed + number for number in range(trials)],
            targets=TARGETS,
            resources={kind: {"requests": {"cpu": "1", "memory": "4Gi"}} for kind in ("evaluation", "data-scaling")}
            | {kind: {"limits": {"memory": "48Gi"}} for kind in ("intermediate-training", "target-training")},
        )

    def small_study(self, name: str, *, seed: int) -> Object:
        """Of one trial: training on a target, and its evaluation."""
        return self.place.study(name, recipes=[], sizes=["0"], seeds=[seed], targets=TARGETS[:1])

    @contextmanager
    def operator(self, *, counted: bool = False, **options: str) -> Iterator["Operator"]:
        """The operator's process, with its shipped Role; `counted` lets its requests pass by the proxy."""
        token = self.place.install_operator()
        kubeconfig = (self.proxy if counted else self.place.control_plane).kubeconfig(token)
        port = free_port()
        given = {
            "--identity": "bench",
            "--lease-namespace": NAMESPACE,
            "--lease-seconds": "30",
            "--resync-seconds": "300",
            "--max-running-trials": "1000",
            "--health-port": str(port),
        } | {f"--{name.replace('_', '-')}": value for name, value in options.items()}
        process = OperatorProcess(kubeconfig, NAMESPACE, self.folder / "operator.log", given)
        with process.running():
            yield Operator(process, f"http://127.0.0.1:{port}")
            assert process.stop() == 0, process.said()


@dataclass
class Operator:
    """One that runs."""

    process: OperatorProcess
    probes: str
    """Address of /healthz and /readyz."""

    def await_ready(self) -> float:
        """When it says that it has begun, by the monotonic clock."""
        while True:
            try:
                urllib.request.urlopen(f"{self.probes}/readyz", timeout=5).close()  # noqa: S310
                return time.monotonic()
            except OSError:
                assert not self.process.has_ended(), self.process.said()
                time.sleep(POLL_SECONDS)


@contextmanager
def build() -> Iterator[World]:
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="xstilts-bench-")))
        control_plane = stack.enter_context(kubernetes.serve())
        server = stack.enter_context(s3.serve())
        tracking = stack.enter_context(mlflow_server.serve())
        os.environ.update(server.environment)
        control_plane.kubectl("create", "namespace", NAMESPACE)
        account = ("serviceaccount/default", "--namespace", NAMESPACE, "--timeout=60s")
        control_plane.kubectl("wait", "--for=create", *account)
        inputs = make_inputs(folder)
        place = make_place(control_plane, NAMESPACE, server, tracking, inputs)
        for name in ("xnli", "pawsx"):
            put_dataset(place.store, scan(name, inputs / "data"), inputs / "data")
        api = stack.enter_context(Api(control_plane.kubeconfig()))
        node = stack.enter_context(Node(api, Results(place.store, tracking)).running(NAMESPACE))
        yield World(place, api, node, stack.enter_context(api_proxy(control_plane)), folder)
