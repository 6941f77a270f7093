"""A real operator for tests: its process, and the cluster, store and server that it works with."""

import json
import os
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from cluster import s3
from cluster.kubernetes import ControlPlane, KubectlError
from studies import DATASETS, study_document
from xstilts.store.datasets import put_dataset
from xstilts.store.open import open_store
from xstilts.store.port import ObjectStore
from xstilts.tasks.datasets import scan

OVERLAY = Path(__file__).parents[1] / "k8s" / "overlays" / "namespaced"
MOVED_CLOCK = Path(__file__).parent / "cluster" / "moved_clock"
CRDS = Path(__file__).parents[1] / "k8s" / "crds"


@dataclass
class OperatorProcess:
    """`xstilts operator` as its Deployment runs it, but for the ports."""

    kubeconfig: Path
    namespace: str
    log: Path
    options: Mapping[str, str] = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict)

    @property
    def _clock(self) -> Path:
        return self.log.with_suffix(".clock")

    def move_clock(self, seconds: float) -> None:
        """How far its wall clock, and that of its children, is off the machine's from now on."""
        self._clock.write_text(str(seconds))

    def start(self) -> None:
        options = {
            "--namespace": self.namespace,
            "--identity": "operator-0",
            "--lease-namespace": self.namespace,
            "--lease-seconds": "6",
            "--resync-seconds": "20",
            "--metrics-port": "0",
            "--health-port": "0",
            **self.options,
        }
        command = [
            sys.executable,
            "-m",
            "xstilts.cli",
            "operator",
            *(part for pair in options.items() for part in pair),
        ]
        with self.log.open("ab") as output:
            self._process = subprocess.Popen(
                command,
                env={
                    **_plain_environment(),
                    "KUBECONFIG": str(self.kubeconfig),
                    "PYTHONPATH": str(MOVED_CLOCK),
                    "TEST_CLOCK_OFFSET": str(self._clock),
                    **self.environment,
                },
                stdout=output,
                stderr=output,
            )

    @property
    def pid(self) -> int:
        return self._process.pid

    def kill(self) -> None:
        """SIGKILL: nothing is put in order."""
        self._process.kill()
        self._process.wait()

    def has_ended(self) -> bool:
        return self._process.poll() is not None

    def stop(self) -> int:
        self._process.terminate()
        return self._process.wait(timeout=60)

    @contextmanager
    def running(self) -> Iterator["OperatorProcess"]:
        self.start()
        try:
            yield self
        finally:
            if self._process.poll() is None:
                self.kill()

    def said(self) -> str:
        return self.log.read_text()[-20_000:]


def _plain_environment() -> dict[str, str]:
    """Without credentials that a test has set for itself: they come from Secrets."""
    return {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "MLFLOW_", "XSTILTS_"))}


@dataclass
class Place:
    """A namespace with Secrets, a store with the tiny data and encoder, and a tracking server."""

    control_plane: ControlPlane
    namespace: str
    server: s3.S3Server
    uri: str
    tracking: str

    @property
    def store(self) -> ObjectStore:
        return open_store(self.uri, endpoint=self.server.endpoint, path_style=True)

    def kubectl(self, *arguments: str, stdin: str = "") -> str:
        return self.control_plane.kubectl("--namespace", self.namespace, *arguments, stdin=stdin)

    def objects(self, kind: str) -> list[dict[str, Any]]:
        return list(json.loads(self.kubectl("get", kind, "-o", "json"))["items"])

    def get(self, kind: str, name: str) -> dict[str, Any]:
        return dict(json.loads(self.kubectl("get", kind, name, "-o", "json")))

    def apply(self, document: Mapping[str, Any]) -> None:
        self.kubectl("apply", "--server-side", "--validate=strict", "-f", "-", stdin=json.dumps(document))

    def study(self, name: str, **changes: Any) -> dict[str, Any]:
        """The tiny study on this place's store and server."""
        document = study_document(
            model={"uri": f"{self.uri}/encoder"},
            store={
                "uri": self.uri,
                "endpoint": self.server.endpoint,
                "region": "us-east-1",
                "pathStyle": True,
                "secretRef": {"name": "xstilts-store"},
            },
            tracking={"uri": self.tracking},
            **{"recipes": [{"name": "mnli", "tasks": [{"name": "mnli"}]}], "parallelism": 4} | changes,
        )
        return document | {"metadata": {"name": name, "namespace": self.namespace}}

    def trials(self, study: str) -> list[dict[str, Any]]:
        return [trial for trial in self.objects("trials") if trial["spec"]["study"] == study]

    def ours(self) -> list[str]:
        """Everything in the namespace that the operator has made."""
        kinds = "studies,trials,jobs,pods"
        found = self.kubectl("get", kinds, "-l", "app.kubernetes.io/managed-by=xstilts", "-o", "name")
        return found.split()

    def logs_of(self, pod: str) -> str:
        try:
            return self.kubectl("logs", pod)
        except KubectlError:
            return ""

    def ended(self, name: str) -> bool:
        try:
            return self.condition(name)[0] in {"True", "False"}
        except KubectlError:  # the API server is being restarted
            return False

    def install_operator(self) -> str:
        """The shipped service account with its Role in this namespace; its token."""
        rendered = self.control_plane.kubectl("kustomize", str(OVERLAY))
        wanted = [
            document
            for document in yaml.safe_load_all(rendered)
            if document["kind"] in {"ServiceAccount", "Role", "RoleBinding"}
        ]
        for document in wanted:
            document["metadata"]["namespace"] = self.namespace
            for subject in document.get("subjects", ()):
                subject["namespace"] = self.namespace
            self.kubectl("apply", "--server-side", "-f", "-", stdin=json.dumps(document))
        account = next(d["metadata"]["name"] for d in wanted if d["kind"] == "ServiceAccount")
        return self.control_plane.service_account_token(self.namespace, account)

    def who_can(self, token: str) -> Callable[[str, str], bool]:
        """Answers `kubectl auth can-i` for who holds the token."""
        kubeconfig = self.control_plane.kubeconfig(token)

        def can(verb: str, resource: str) -> bool:
            asked = ("auth", "can-i", "--namespace", self.namespace, verb, *_named(resource))
            try:
                return self.control_plane.kubectl(*asked, kubeconfig=kubeconfig).strip() == "yes"
            except KubectlError:
                return False

        return can

    def condition(self, name: str, kind: str = "Succeeded") -> tuple[str, str]:
        found = {c["type"]: c for c in self.get("study", name).get("status", {}).get("conditions", ())}
        return (found[kind]["status"], found[kind]["reason"]) if kind in found else ("", "")


def _named(resource: str) -> tuple[str, ...]:
    """`pods/log` is a subresource, `secrets/name` an object."""
    kind, _, rest = resource.partition("/")
    if rest in {"log", "exec", "status"}:
        return (kind, f"--subresource={rest}")
    return (resource,)


def make_place(
    control_plane: ControlPlane, namespace: str, server: s3.S3Server, tracking: str, tiny_workdir: Path
) -> Place:
    """CRDs, Secrets, data sets and encoder; credentials of the server are in this process's environment."""
    control_plane.define(CRDS)
    place = Place(control_plane, namespace, server, f"s3://{server.bucket}/{uuid.uuid4().hex}", tracking)
    literals = [f"--from-literal={name}={value}" for name, value in server.environment.items() if "KEY" in name]
    place.kubectl("create", "secret", "generic", "xstilts-store", *literals)
    store = place.store
    for name in DATASETS:
        put_dataset(store, scan(name, tiny_workdir / "data"), tiny_workdir / "data")
    for file in sorted((tiny_workdir / "model").iterdir()):
        store.upload(f"encoder/{file.name}", file)
    return place
