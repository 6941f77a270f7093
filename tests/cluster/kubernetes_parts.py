"""The processes of a control plane: etcd, kube-apiserver and kube-controller-manager, which can be stopped and started.

State is in etcd's folder and the ports stay, so clients see a restart as nothing but an outage.
"""

import json
import os
import signal
import ssl
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from uuid import uuid4

from cluster.build import build
from cluster.certificates import private_key, self_signed
from cluster.s3 import free_port
from cluster.warden import Warden

VERSION = "v1.36.3"
_LDFLAGS = (  # kubectl can't do without its version
    f"-s -w -X k8s.io/component-base/version.gitVersion={VERSION} -X k8s.io/client-go/pkg/version.gitVersion={VERSION}"
)
READY_SECONDS = 120
GRACE_SECONDS = 2
"""From SIGTERM to SIGKILL: an API server waits a minute for watches to end, which they don't."""

CONTROLLERS = (
    "job-controller",
    "ttl-after-finished-controller",
    "garbage-collector-controller",
    "namespace-controller",
    "serviceaccount-controller",
    "clusterrole-aggregation-controller",
    "root-ca-certificate-publisher-controller",
)
"""Those that act on what the operator makes; none that judges nodes, for there is no kubelet."""


def binary(name: str) -> Path:
    """Of kube-apiserver, kube-controller-manager and kubectl."""
    return build("kubernetes", ldflags=_LDFLAGS) / name


@dataclass(frozen=True)
class Access:
    """What a client needs."""

    server: str
    authority: Path | None
    """None if everybody trusts the server."""
    token: str

    @property
    def kubeconfig(self) -> str:
        authority = {"certificate-authority": str(self.authority)} if self.authority else {}
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "tests", "cluster": {"server": self.server} | authority}],
            "users": [{"name": "tests", "user": {"token": self.token}}],
            "contexts": [{"name": "tests", "context": {"cluster": "tests", "user": "tests"}}],
            "current-context": "tests",
        }
        return json.dumps(config)


class Parts:
    """A control plane in a folder of its own."""

    def __init__(self, folder: Path, warden: Warden) -> None:
        self._folder = folder
        self._warden = warden
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._etcd = f"http://127.0.0.1:{free_port()}"
        self._port = free_port()
        self._certificate = self_signed(folder, "kube-apiserver")
        self._service_account_key = folder / "service-accounts.key"
        private_key(self._service_account_key)
        self._admin, self._manager = uuid4().hex, uuid4().hex
        (folder / "tokens.csv").write_text(
            f"{self._admin},admin,admin,system:masters\n"
            f"{self._manager},system:kube-controller-manager,system:kube-controller-manager\n"
        )

    def start(self) -> None:
        self._launch("etcd", build("etcd") / "server", self._etcd_options())
        self.start_api_server()
        self._start_controller_manager()

    @property
    def access(self) -> Access:
        """An administrator's."""
        return Access(f"https://127.0.0.1:{self._port}", self._certificate.file, self._admin)

    def start_api_server(self) -> None:
        self._launch("kube-apiserver", binary("kube-apiserver"), self._api_server_options())
        self._await_ready()

    def stop_api_server(self, by: signal.Signals) -> None:
        self._stop("kube-apiserver", by)

    def _start_controller_manager(self) -> None:
        kubeconfig = self._folder / "kube-controller-manager.kubeconfig"
        kubeconfig.write_text(replace(self.access, token=self._manager).kubeconfig)
        options = [
            f"--kubeconfig={kubeconfig}",
            f"--controllers={','.join(CONTROLLERS)}",
            f"--root-ca-file={self._certificate.file}",
            "--use-service-account-credentials",
            "--leader-elect=false",
            "--secure-port=0",
        ]
        impatient = {"JOB_POD_FAILURE_BACKOFF": "500ms"}
        self._launch("kube-controller-manager", binary("kube-controller-manager"), options, impatient)

    def _etcd_options(self) -> list[str]:
        peer = "http://127.0.0.1:1"  # there is none, and nobody asks for it
        return [
            f"--data-dir={self._folder / 'etcd'}",
            f"--listen-client-urls={self._etcd}",
            f"--advertise-client-urls={self._etcd}",
            "--listen-peer-urls=http://127.0.0.1:0",
            f"--initial-advertise-peer-urls={peer}",
            f"--initial-cluster=default={peer}",
            "--unsafe-no-fsync",
        ]

    def _api_server_options(self) -> list[str]:
        return [
            f"--etcd-servers={self._etcd}",
            "--bind-address=127.0.0.1",
            f"--secure-port={self._port}",
            f"--tls-cert-file={self._certificate.file}",
            f"--tls-private-key-file={self._certificate.key}",
            f"--token-auth-file={self._folder / 'tokens.csv'}",
            "--authorization-mode=RBAC",
            "--service-account-issuer=https://kubernetes.default.svc",
            f"--service-account-key-file={self._service_account_key}",
            f"--service-account-signing-key-file={self._service_account_key}",
            "--service-cluster-ip-range=10.0.0.0/24",
            "--endpoint-reconciler-type=none",  # a loopback address can be no endpoint
            "--kubelet-preferred-address-types=InternalIP",
        ]

    def _launch(
        self, name: str, program: Path, options: list[str], environment: Mapping[str, str] | None = None
    ) -> None:
        with self._log(name).open("ab") as output:
            self._processes[name] = self._warden.start(
                [program, *options],
                env=os.environ | (environment or {}),
                cwd=self._folder,
                stdout=output,
                stderr=subprocess.STDOUT,
            )

    def _stop(self, name: str, by: signal.Signals) -> None:
        self._warden.stop(self._processes.pop(name), by=by, grace_seconds=GRACE_SECONDS)

    def _log(self, name: str) -> Path:
        return self._folder / f"{name}.log"

    def _await_ready(self) -> None:
        trust = ssl.create_default_context(cafile=self._certificate.file)
        request = urllib.request.Request(
            f"https://127.0.0.1:{self._port}/readyz", headers={"Authorization": f"Bearer {self._admin}"}
        )
        deadline = time.monotonic() + READY_SECONDS
        while time.monotonic() < deadline and all(process.poll() is None for process in self._processes.values()):
            try:
                urllib.request.urlopen(request, timeout=5, context=trust).close()  # noqa: S310
                return
            except urllib.error.HTTPError as answer:  # some part of it is not ready
                answer.close()
            except OSError:
                pass
            time.sleep(0.05)
        logs = "\n".join(f"{name}: {self._log(name).read_text()[-2000:]}" for name in self._processes)
        raise RuntimeError(f"the API server did not get ready on port {self._port}:\n{logs}")
