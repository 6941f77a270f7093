"""The Kubernetes API as raw JSON: what the tests' own parts and the tests themselves read and write with.

Independent of the package's client, so that neither's mistakes hide the other's.
"""

import json
import ssl
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlencode

import urllib3
import yaml

Object = dict[str, Any]

_PATCH_TYPES = {"merge": "application/merge-patch+json", "strategic": "application/strategic-merge-patch+json"}


class Refused(Exception):
    """The API server answers with an error."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(f"{status}: {message}")
        self.status = status


class Unreachable(Exception):
    """The API server does not answer."""


class Api:
    """One user's access, as of a kubeconfig with a token."""

    def __init__(self, kubeconfig: Path) -> None:
        config = yaml.safe_load(kubeconfig.read_text())
        cluster, user = config["clusters"][0]["cluster"], config["users"][0]["user"]
        self._server = cluster["server"]
        self._pool = urllib3.PoolManager(
            maxsize=32,
            retries=False,
            ssl_context=ssl.create_default_context(cafile=cluster.get("certificate-authority")),
            headers={"Authorization": f"Bearer {user['token']}", "User-Agent": "xstilts-tests"},
        )

    def get(self, path: str, **query: str) -> Object:
        return self._call("GET", path, query=query)

    def post(self, path: str, body: Mapping[str, Any]) -> Object:
        return self._call("POST", path, body)

    def patch(self, path: str, body: Mapping[str, Any], *, kind: str = "merge") -> Object:
        return self._call("PATCH", path, body, content_type=_PATCH_TYPES[kind])

    def delete(self, path: str, **options: Any) -> Object:
        return self._call("DELETE", path, {"apiVersion": "v1", "kind": "DeleteOptions", **options})

    def watch(self, path: str, *, resource_version: str) -> "Watch":
        query = {"watch": "true", "resourceVersion": resource_version, "allowWatchBookmarks": "true"}
        try:
            response = self._pool.request(
                "GET", f"{self._server}{path}?{urlencode(query)}", preload_content=False, timeout=None
            )
        except urllib3.exceptions.HTTPError as error:
            raise Unreachable(str(error)) from error
        if response.status != 200:
            message = response.data.decode()
            raise Refused(response.status, message)
        return Watch(response)

    def _call(
        self,
        method: str,
        path: str,
        body: Mapping[str, Any] | None = None,
        *,
        query: Mapping[str, str] | None = None,
        content_type: str = "application/json",
    ) -> Object:
        address = f"{self._server}{path}?{urlencode(query or {})}"
        headers = self._pool.headers | {"Content-Type": content_type}
        encoded = json.dumps(body).encode() if body is not None else None
        try:
            answer = self._pool.request(method, address, body=encoded, headers=headers, timeout=30)
        except urllib3.exceptions.HTTPError as error:
            raise Unreachable(str(error)) from error
        if answer.status >= 400:
            raise Refused(answer.status, answer.data.decode(errors="replace"))
        return dict(json.loads(answer.data))

    def close(self) -> None:
        self._pool.clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class Watch:
    """Events of a collection, until the server ends them; another thread may `stop` them."""

    def __init__(self, response: urllib3.BaseHTTPResponse) -> None:
        self._response = response

    def __iter__(self) -> Iterator[Object]:
        rest = b""
        try:
            while piece := self._response.read1():
                *lines, rest = (rest + piece).split(b"\n")
                yield from map(json.loads, lines)
        except (urllib3.exceptions.HTTPError, OSError, ValueError) as error:  # ValueError: stopped while it reads
            raise Unreachable(str(error)) from error
        finally:
            self._response.close()

    def stop(self) -> None:
        self._response.shutdown()
