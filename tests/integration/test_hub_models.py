"""Encoders by name, from a server that speaks as much of the hub's protocol as its client asks for."""

import hashlib
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from xstilts.store import artifacts, open_store

NAME = "some/encoder"
COMMIT = "c" * 40
FILES = {
    "config.json": b"{}",
    "model.safetensors": b"weights",
    "tokenizer.json": b"{}",
    "pytorch_model.bin": b"the same weights again",
    "onnx/model.onnx": b"and again",
}

RESOLVE = """
import sys
from xstilts.core.errors import XstiltsError
from xstilts.store import models, open_store
store, name, revision = sys.argv[1:]
try:
    print(models.resolve_model(open_store(store), name=name, revision=revision).key)
except XstiltsError as error:
    print(type(error).__name__, error)
"""


class Hub(ThreadingHTTPServer):
    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Calls)
        self.downloaded: set[str] = set()


class _Calls(BaseHTTPRequestHandler):
    server: Hub
    protocol_version = "HTTP/1.1"

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        path = urlsplit(self.path).path
        if path in {f"/api/models/{NAME}/revision/main", f"/api/models/{NAME}/revision/{COMMIT}"}:
            self._answer(200, json.dumps({"id": NAME, "sha": COMMIT, "siblings": self._files("rfilename")}).encode())
        elif path.startswith(f"/api/models/{NAME}/tree/"):
            self._answer(200, json.dumps(self._files("path")).encode())
        elif (name := path.removeprefix(f"/{NAME}/resolve/{COMMIT}/")) in FILES:
            self.server.downloaded.add(name)
            self._answer(200, FILES[name])
        elif path.startswith(f"/api/models/{NAME}/"):
            self._answer(404, b"", ("X-Error-Code", "RevisionNotFound"))
        elif path.startswith("/api/models/gated/"):
            self._answer(403, b"", ("X-Error-Code", "GatedRepo"))
        elif path.startswith("/api/models/broken/"):
            self._answer(400, b"")
        else:
            self._answer(404, b"", ("X-Error-Code", "RepoNotFound"))

    def _files(self, name: str) -> list[dict[str, object]]:
        return [
            {"type": "file", name: path, "size": len(content), "oid": hashlib.sha1(content).hexdigest()}  # noqa: S324
            for path, content in FILES.items()
        ]

    def _answer(self, status: int, body: bytes, *headers: tuple[str, str]) -> None:
        self.send_response(status)
        etag = hashlib.sha256(body).hexdigest()
        for name, value in (("ETag", f'"{etag}"'), ("X-Repo-Commit", COMMIT), *headers):
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Requests are not news."""


@pytest.fixture
def hub() -> Iterator[Hub]:
    with Hub() as hub:
        thread = threading.Thread(target=hub.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield hub
        hub.shutdown()
        thread.join()


def resolve(hub: Hub, folder: Path, name: str, *, revision: str = "main") -> str:
    """In a process of its own: the hub's client reads its environment when it is imported."""
    environment = os.environ | {"HF_ENDPOINT": f"http://127.0.0.1:{hub.server_port}", "HF_HOME": str(folder / "hub")}
    return subprocess.run(
        [sys.executable, "-c", RESOLVE, str(folder / "store"), name, revision],
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    ).stdout.strip()


def test_an_encoder_comes_from_the_hub_by_commit_and_without_other_files(hub: Hub, tmp_path: Path) -> None:
    key = resolve(hub, tmp_path, NAME)
    store = open_store(str(tmp_path / "store"))
    model = artifacts.fetch(store, f"models/{key}", tmp_path / "got")
    assert model.provenance == {"source": f"{NAME}@{COMMIT}"}
    assert {path.name: path.read_bytes() for path in (tmp_path / "got").iterdir()} == {
        name: FILES[name] for name in ("config.json", "model.safetensors", "tokenizer.json")
    }
    assert hub.downloaded == {"config.json", "model.safetensors", "tokenizer.json"}


@pytest.mark.parametrize(
    ("name", "revision", "answer"),
    [
        ("some/other", "main", "UserError the hub has no model 'some/other', or it is private"),
        (NAME, "v9", "UserError model 'some/encoder' has no revision 'v9'"),
        ("gated/encoder", "main", "UserError model 'gated/encoder' is gated: accept its terms"),
        ("broken/encoder", "main", "StorageError the hub refuses model 'broken/encoder' with status 400"),
    ],
    ids=["unknown model", "unknown revision", "gated", "refused"],
)
def test_each_refusal_of_the_hub_is_told(hub: Hub, tmp_path: Path, name: str, revision: str, answer: str) -> None:
    assert resolve(hub, tmp_path, name, revision=revision).startswith(answer)
