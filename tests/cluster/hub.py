"""A hub of models and data sets on this machine: as much of its protocol as its client asks for."""

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit

Files = Mapping[str, bytes]


@dataclass(frozen=True)
class Repository:
    """What one repository holds: `kind` is `models` or `datasets`."""

    kind: str
    name: str
    commits: Mapping[str, Files]
    """Commit to its files."""
    branches: Mapping[str, str]
    """Revision to its commit."""

    def resolve(self, revision: str) -> str | None:
        return self.branches.get(revision, revision if revision in self.commits else None)

    @property
    def download_path(self) -> str:
        return f"/{self.name}/" if self.kind == "models" else f"/{self.kind}/{self.name}/"


class Hub(ThreadingHTTPServer):
    """Serves repositories. Those of `gated/` need a consent, and for those of `broken/` it refuses to answer."""

    def __init__(self, *repositories: Repository) -> None:
        super().__init__(("127.0.0.1", 0), _Calls)
        self.repositories = repositories
        self.downloaded: set[str] = set()

    def environment(self, folder: Path) -> dict[str, str]:
        """What the client reads when it is imported, so it needs a process of its own; it caches in the folder."""
        return os.environ | {"HF_ENDPOINT": f"http://127.0.0.1:{self.server_port}", "HF_HOME": str(folder)}


class _Calls(BaseHTTPRequestHandler):
    server: Hub
    protocol_version = "HTTP/1.1"

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        path = urlsplit(self.path).path
        for repository in self.server.repositories:
            api = f"/api/{repository.kind}/{repository.name}/"
            if path.startswith(api):
                return self._describe(repository, *path.removeprefix(api).split("/", 1))
            if path.startswith(f"{repository.download_path}resolve/"):
                return self._send(repository, *path.removeprefix(f"{repository.download_path}resolve/").split("/", 1))
        owner = path.split("/")[3] if path.startswith("/api/") else ""
        status, code = {"gated": (403, "GatedRepo"), "broken": (400, "")}.get(owner, (404, "RepoNotFound"))
        return self._answer(status, b"", ("X-Error-Code", code))

    def _describe(self, repository: Repository, what: str, revision: str) -> None:
        commit = repository.resolve(unquote(revision))
        if commit is None:
            return self._answer(404, b"", ("X-Error-Code", "RevisionNotFound"))
        entries = [
            {"type": "file", "path": name, "rfilename": name, "size": len(content), "oid": _oid(content)}
            for name, content in repository.commits[commit].items()
        ]
        answer = entries if what == "tree" else {"id": repository.name, "sha": commit, "siblings": entries}
        return self._answer(200, json.dumps(answer).encode(), ("X-Repo-Commit", commit))

    def _send(self, repository: Repository, commit: str, name: str) -> None:
        self.server.downloaded.add(unquote(name))
        self._answer(200, repository.commits[commit][unquote(name)], ("X-Repo-Commit", commit))

    def _answer(self, status: int, body: bytes, *headers: tuple[str, str]) -> None:
        self.send_response(status)
        for name, value in (("ETag", f'"{hashlib.sha256(body).hexdigest()}"'), *headers):
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Requests are not news."""


def _oid(content: bytes) -> str:
    return hashlib.sha1(content).hexdigest()  # noqa: S324
