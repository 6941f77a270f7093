"""A real Kubernetes API for tests, with the controllers that make Jobs and owner references work.

No kubelet and no scheduler is part of it: `cluster.kubelet` runs pods as processes. Where XSTILTS_TEST_KUBECONFIG names
the kubeconfig of an administrator, that cluster is used and nothing is started; tests that restart a server or run pods
as processes are skipped then.
"""

import base64
import hashlib
import json
import os
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from uuid import uuid4

import pytest

from cluster.build import build
from cluster.kubernetes_parts import Access, Parts, binary
from cluster.polling import eventually
from cluster.warden import Warden


class ControlPlane:
    """A cluster and the ways to talk to it. What changes its processes needs one that was started here."""

    def __init__(self, access: Access, folder: Path, parts: Parts | None = None) -> None:
        """The access is an administrator's."""
        self.access = access
        self._folder = folder
        self._parts = parts

    # --- clients ----------------------------------------------------------------------------------------------------

    def kubeconfig(self, token: str | None = None, *, server: str = "", authority: Path | None = None) -> Path:
        """A kubeconfig of an administrator, or of who holds the token; of another address such as a proxy's."""
        access = replace(self.access, token=token or self.access.token)
        if server:
            access = replace(access, server=server, authority=authority)
        file = self._folder / f"{hashlib.sha256(access.kubeconfig.encode()).hexdigest()[:16]}.kubeconfig"
        if not file.exists():
            file.touch(mode=0o600)
            file.write_text(access.kubeconfig)
        return file

    def service_account_token(self, namespace: str, name: str) -> str:
        return self.kubectl("create", "token", name, "--namespace", namespace).strip()

    def kubeconfig_for(self, namespace: str, service_account: str) -> Path:
        return self.kubeconfig(self.service_account_token(namespace, service_account))

    def kubectl(self, *arguments: str, kubeconfig: Path | None = None, stdin: str | bytes = "") -> str:
        """What kubectl prints, as an administrator if nobody else is named; raises with what it says on errors."""
        done = subprocess.run(
            [binary("kubectl"), "--kubeconfig", kubeconfig or self.kubeconfig(), *arguments],
            input=stdin.encode() if isinstance(stdin, str) else stdin,
            env=os.environ | {"HOME": str(self._folder)},  # where it caches
            capture_output=True,
            check=False,
        )
        if done.returncode:
            raise KubectlError(f"kubectl {' '.join(arguments)}: {done.stderr.decode().strip()}")
        return done.stdout.decode()

    def define(self, definitions: Path | str) -> None:
        """Apply the definitions of resources in a file or folder, or this text, and wait until they are served."""
        path, text = (definitions, "") if isinstance(definitions, Path) else ("-", definitions)
        apply = ("apply", "--server-side", "--force-conflicts", "--output", "name", "--filename", str(path))
        for name in self.kubectl(*apply, stdin=text).split():
            eventually(lambda name=name: self._is_served(name))

    def _is_served(self, definition: str) -> bool:
        """`kubectl wait` fails instead of waiting where the status has no conditions yet."""
        status = json.loads(self.kubectl("get", definition, "--output", "json")).get("status", {})
        return any(c["type"] == "Established" and c["status"] == "True" for c in status.get("conditions") or ())

    # --- outages ----------------------------------------------------------------------------------------------------

    @property
    def started_here(self) -> bool:
        return self._parts is not None

    def restart_api_server(self, *, by: signal.Signals = signal.SIGTERM) -> None:
        """Stop it and start it on the same port with the same state, and wait until it is ready."""
        with self.without_api_server(by=by):
            pass

    @contextmanager
    def without_api_server(self, *, by: signal.Signals) -> Iterator[None]:
        """It is back afterwards, whatever happened: other tests need it."""
        parts = self._own()
        parts.stop_api_server(by)
        try:
            yield
        finally:
            parts.start_api_server()

    def _own(self) -> Parts:
        if self._parts is None:
            pytest.skip("the cluster of XSTILTS_TEST_KUBECONFIG is not ours to stop")
        return self._parts


class KubectlError(Exception):
    """kubectl says no."""


def prepare() -> None:
    """Build what `serve` starts."""
    build("etcd")
    binary("kubectl")


@contextmanager
def serve() -> Iterator[ControlPlane]:
    """A cluster, for as long as the context lasts."""
    with tempfile.TemporaryDirectory(prefix="xstilts-kubernetes-") as name:
        folder = Path(name)
        if kubeconfig := os.environ.get("XSTILTS_TEST_KUBECONFIG"):
            with _administrator(kubeconfig, folder) as access:
                yield ControlPlane(access, folder)
            return
        with Warden() as warden:
            parts = Parts(folder, warden)
            parts.start()
            yield ControlPlane(parts.access, folder, parts)


@contextmanager
def _administrator(kubeconfig: str, folder: Path) -> Iterator[Access]:
    """One of our own, by a token: whose cluster it is may log in by any means."""
    name = f"xstilts-tests-{uuid4().hex[:8]}"

    def kubectl(*arguments: str) -> str:
        command = [binary("kubectl"), "--kubeconfig", kubeconfig, "--namespace", "default", *arguments]
        return subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout

    view = json.loads(kubectl("config", "view", "--minify", "--flatten", "--raw", "--output", "json"))
    cluster = view["clusters"][0]["cluster"]
    authority = None
    if encoded := cluster.get("certificate-authority-data"):
        authority = folder / "authority.crt"
        authority.write_bytes(base64.b64decode(encoded))
    kubectl("create", "serviceaccount", name)
    try:
        kubectl("create", "clusterrolebinding", name, "--clusterrole=cluster-admin", f"--serviceaccount=default:{name}")
        yield Access(cluster["server"], authority, kubectl("create", "token", name, "--duration=24h").strip())
    finally:
        kubectl("delete", f"clusterrolebinding/{name}", f"serviceaccount/{name}")
