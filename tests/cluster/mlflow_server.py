"""A real MLflow server for tests, on a loopback port over a SQLite file in a temporary directory.

Where XSTILTS_TEST_MLFLOW names a server by its address, that one is used and nothing is started.
"""

import os
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cluster.s3 import free_port
from cluster.warden import Warden

READY_SECONDS = 240
"""Its modules take most of a minute to import on a busy machine."""


@contextmanager
def serve() -> Iterator[str]:
    """The address of a server, for as long as the context lasts."""
    if address := os.environ.get("XSTILTS_TEST_MLFLOW"):
        yield address
        return
    with start() as address:
        yield address


@contextmanager
def start() -> Iterator[str]:
    """The address of a server of one's own, whatever the environment says."""
    with tempfile.TemporaryDirectory(prefix="xstilts-mlflow-") as folder, _running(Path(folder)) as address:
        yield address


@contextmanager
def _running(folder: Path) -> Iterator[str]:
    port = free_port()
    log = folder / "log"
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    command += [
        "--backend-store-uri",
        f"sqlite:///{folder}/mlflow.db",
        "--artifacts-destination",
        f"{folder}/artifacts",
    ]
    quiet = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "MLFLOW_DISABLE_TELEMETRY": "true"}
    with Warden() as warden, log.open("wb") as output:
        server = warden.start(command, env=os.environ | quiet, cwd=folder, stdout=output, stderr=output)
        _wait_until_ready(f"http://127.0.0.1:{port}", server, log)
        yield f"http://127.0.0.1:{port}"


def _wait_until_ready(address: str, server: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + READY_SECONDS
    while time.monotonic() < deadline and server.poll() is None:
        try:
            urllib.request.urlopen(f"{address}/health", timeout=5).close()  # noqa: S310
            return
        except OSError:
            time.sleep(0.2)
    raise RuntimeError(f"mlflow server did not answer at {address}:\n{log.read_text()[-2000:]}")
