"""A real S3 server for tests: versitygw on a loopback port over a temporary directory.

Where XSTILTS_TEST_S3_ENDPOINT names a server, that one is used (with XSTILTS_TEST_S3_BUCKET, which must exist, and the
usual AWS_* variables for credentials and region) and nothing is started.
"""

import os
import socket
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from cluster.build import build
from cluster.warden import Warden

ACCESS_KEY = "xstilts-tests"
SECRET_KEY = "only-for-tests"
READY_SECONDS = 60


@dataclass(frozen=True)
class S3Server:
    endpoint: str
    bucket: str
    environment: Mapping[str, str] = field(default_factory=dict)
    """Variables with which boto3 finds credentials and region."""


@contextmanager
def serve() -> Iterator[S3Server]:
    """A server with one empty bucket, for as long as the context lasts."""
    if endpoint := os.environ.get("XSTILTS_TEST_S3_ENDPOINT"):
        yield S3Server(endpoint, os.environ["XSTILTS_TEST_S3_BUCKET"])
        return
    with start() as server:
        yield server


@contextmanager
def start(*, may_keep_versions: bool = False) -> Iterator[S3Server]:
    """A server of one's own, whatever the environment says; where it may, the bucket's versioning can be enabled."""
    with tempfile.TemporaryDirectory(prefix="xstilts-s3-") as folder:
        server = S3Server(
            f"http://127.0.0.1:{free_port()}",
            "studies",
            {
                "AWS_ACCESS_KEY_ID": ACCESS_KEY,
                "AWS_SECRET_ACCESS_KEY": SECRET_KEY,
                "AWS_REGION": "us-east-1",
            },
        )
        with _running(server, Path(folder), may_keep_versions=may_keep_versions):
            yield server


@contextmanager
def _running(server: S3Server, folder: Path, *, may_keep_versions: bool) -> Iterator[None]:
    root, versions = folder / "root", folder / "versions"
    options: list[str] = []
    if may_keep_versions:
        versions.mkdir()
        options = ["--versioning-dir", str(versions)]
    (root / server.bucket).mkdir(parents=True)  # the posix backend takes directories for buckets
    address = server.endpoint.removeprefix("http://")
    log = folder / "log"
    with Warden() as warden, log.open("wb") as output:
        process = warden.start(
            [build("versitygw") / "versitygw", "--port", address, "posix", *options, str(root)],
            env=os.environ | {"ROOT_ACCESS_KEY": ACCESS_KEY, "ROOT_SECRET_KEY": SECRET_KEY},
            cwd=folder,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
        _await_ready(server.endpoint, process, log)
        yield


def _await_ready(endpoint: str, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + READY_SECONDS
    while process.poll() is None and time.monotonic() < deadline:
        try:
            urllib.request.urlopen(endpoint, timeout=1).close()  # noqa: S310
        except urllib.error.HTTPError as answer:  # it refuses the anonymous request: it is there
            answer.close()
            return
        except OSError:
            time.sleep(0.05)
        else:
            return
    raise RuntimeError(f"versitygw did not start at {endpoint}:\n{log.read_text()}")


def free_port() -> int:
    """A loopback port that nothing listens on at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
