"""`Cluster` on a real API server: one HTTP request a method, JSON in and out.

No model of the official client is made of an answer: reading thousands of objects so would cost the operator minutes
and hundreds of megabytes.
"""

import json
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import urllib3
from pydantic_core import from_json

import xstilts
from xstilts.api import names
from xstilts.cluster import connection
from xstilts.cluster.answers import Refusal, Request, refused, unanswered
from xstilts.cluster.errors import ClusterUnavailable, Conflict, Invalid, NotFound
from xstilts.cluster.port import PODS, Object, Propagation, Resource
from xstilts.core.errors import XstiltsError

log = logging.getLogger(__name__)

PAGE = 500
CONNECT_TIMEOUT = 5.0
READ_TIMEOUT = 30.0
FOLLOW_TIMEOUT = 3600.0
"""Seconds that a followed log may stay silent."""

_JSON = "application/json"
_MERGE_PATCH = "application/merge-patch+json"
_JSON_PATCH = "application/json-patch+json"
_APPLY_PATCH = "application/apply-patch+yaml"  # of which JSON is a part
_REVIEWS = Resource("authorization.k8s.io", "v1", "selfsubjectaccessreviews", "SelfSubjectAccessReview")


def connect(*, context: str | None = None, kubeconfig: Path | None = None) -> "ApiCluster":
    """The cluster that kubectl would talk to, or the one around this pod. Sends nothing yet.

    Raises UserError where no cluster is configured.
    """
    return ApiCluster(connection.find(context=context, kubeconfig=kubeconfig))


class ApiCluster:
    """A Kubernetes API server."""

    def __init__(
        self,
        found: connection.Connection,
        *,
        page: int = PAGE,
        answered: Callable[[str, str, int], None] = lambda verb, resource, code: None,
    ) -> None:
        """`answered` hears of every request: verb, resource and HTTP status, 0 where no answer came."""
        self._connection = found
        self._answered = answered
        self._page = page
        self._timeout = urllib3.Timeout(connect=CONNECT_TIMEOUT, read=READ_TIMEOUT)

    @property
    def namespace(self) -> str:
        return self._connection.namespace

    @property
    def server(self) -> str:
        """Its address."""
        return self._connection.server

    def get(self, resource: Resource, namespace: str | None, name: str) -> Object | None:
        try:
            return self._object(Request("get", resource, namespace, name))
        except NotFound:
            return None

    def list(
        self,
        resource: Resource,
        namespace: str | None,
        *,
        labels: Mapping[str, str] | None = None,
        fields: Mapping[str, str] | None = None,
    ) -> Iterator[Object]:
        query = {"limit": str(self._page)}
        if labels:
            query["labelSelector"] = ",".join(f"{label}={value}" for label, value in labels.items())
        if fields:
            query["fieldSelector"] = ",".join(f"{path}={value}" for path, value in fields.items())
        while True:
            page = self._json(Request("list", resource, namespace), query)
            for item in page.get("items") or ():
                yield _whole(resource, item)
            token = page.get("metadata", {}).get("continue")
            if not token:
                return
            query["continue"] = token

    def create(self, resource: Resource, obj: Object) -> Object:
        namespace, _ = _place(obj)
        return self._object(Request("create", resource, namespace), body=_whole(resource, obj))

    def apply(
        self,
        resource: Resource,
        obj: Object,
        *,
        field_manager: str = names.FIELD_MANAGER,
        force: bool = True,
        strict: bool = False,
        dry_run: bool = False,
    ) -> Object:
        query = {"fieldManager": field_manager, "force": str(force).lower()}
        if strict:
            query["fieldValidation"] = "Strict"
        if dry_run:
            query["dryRun"] = "All"
        request = Request("patch", resource, *_place(obj))
        return self._object(request, query, _whole(resource, obj), content_type=_APPLY_PATCH)

    def patch(
        self, resource: Resource, namespace: str | None, name: str, patch: Object, *, subresource: str = ""
    ) -> Object:
        request = Request("patch", resource, namespace, name, subresource)
        return self._object(request, body=patch, content_type=_MERGE_PATCH)

    def json_patch(
        self,
        resource: Resource,
        namespace: str | None,
        name: str,
        operations: Sequence[Mapping[str, Any]],
        *,
        subresource: str = "",
    ) -> Object:
        request = Request("patch", resource, namespace, name, subresource)
        return self._object(request, body=[dict(each) for each in operations], content_type=_JSON_PATCH)

    def replace(self, resource: Resource, obj: Object, *, subresource: str = "") -> Object:
        request = Request("update", resource, *_place(obj), subresource)
        return self._object(request, body=_whole(resource, obj))

    def delete(
        self,
        resource: Resource,
        namespace: str | None,
        name: str,
        *,
        uid: str | None = None,
        propagation: Propagation = "Background",
        grace: int | None = None,
    ) -> None:
        options: Object = {"kind": "DeleteOptions", "apiVersion": "v1", "propagationPolicy": propagation}
        if uid:
            options["preconditions"] = {"uid": uid}
        if grace is not None:
            options["gracePeriodSeconds"] = grace
        try:
            self._json(Request("delete", resource, namespace, name), body=options)
        except NotFound:
            return
        except Conflict:
            there = self.get(resource, namespace, name) if uid else None
            if uid is None or (there and there["metadata"]["uid"] == uid):
                raise

    def pod_log(
        self, namespace: str, name: str, *, tail_lines: int | None = None, limit_bytes: int | None = None
    ) -> bytes:
        query = {"tailLines": tail_lines, "limitBytes": limit_bytes}
        request = Request("get", PODS, namespace, name, "log")
        given = {key: str(value) for key, value in query.items() if value is not None}
        return bytes(self._log(request, given, self._timeout, whole=True).data)

    def follow_pod_log(self, namespace: str, name: str, *, tail_lines: int | None = None) -> Iterator[bytes]:
        request = Request("get", PODS, namespace, name, "log")
        query = {"follow": "true"} | ({} if tail_lines is None else {"tailLines": str(tail_lines)})
        timeout = urllib3.Timeout(connect=CONNECT_TIMEOUT, read=FOLLOW_TIMEOUT)
        response = self._log(request, query, timeout, whole=False)
        try:
            yield from response.stream()
        except urllib3.exceptions.HTTPError as error:
            raise unanswered(request, self.server, error) from error
        finally:
            response.close()

    def can_i(
        self, verb: str, resource: Resource, namespace: str | None, name: str = "", *, subresource: str = ""
    ) -> bool:
        attributes = {
            "verb": verb,
            "group": resource.group,
            "resource": resource.plural,
            "subresource": subresource,
            "namespace": namespace or "",
            "name": name,
        }
        review = self.create(_REVIEWS, {"spec": {"resourceAttributes": attributes}})
        return bool(review["status"]["allowed"])

    def _log(
        self, request: Request, query: Mapping[str, str], timeout: urllib3.Timeout, *, whole: bool
    ) -> urllib3.BaseHTTPResponse:
        try:
            return self._send(request, query, timeout=timeout, whole=whole)
        except Invalid as error:  # the API server calls it a bad request that the container is not there yet
            raise ClusterUnavailable(str(error)) from error

    def _object(
        self, request: Request, query: Mapping[str, str] | None = None, body: Any = None, *, content_type: str = _JSON
    ) -> Object:
        return _lean(self._json(request, query, body, content_type=content_type))

    def _json(
        self, request: Request, query: Mapping[str, str] | None = None, body: Any = None, *, content_type: str = _JSON
    ) -> Object:
        response = self._send(request, query or {}, body, content_type=content_type, timeout=self._timeout)
        try:
            return dict(from_json(response.data))
        except ValueError as error:
            raise ClusterUnavailable(f"{request}: {self.server} answers, but not with JSON; is it a proxy?") from error

    def _send(
        self,
        request: Request,
        query: Mapping[str, str],
        body: Any = None,
        *,
        timeout: urllib3.Timeout,
        content_type: str = _JSON,
        whole: bool = True,
    ) -> urllib3.BaseHTTPResponse:
        """One request, and a read once more if the connection is cut."""
        headers = {
            "Accept": "application/json, */*",
            "User-Agent": f"xstilts/{xstilts.__version__}",
            **self._connection.authorization(),
        }
        data = None
        if body is not None:
            data, headers["Content-Type"] = json.dumps(body).encode(), content_type
        url = f"{self.server}{_path(request)}{'?' if query else ''}{urlencode(query)}"
        method = _METHODS[request.verb]
        for attempt in (1, 2):
            try:
                response: urllib3.BaseHTTPResponse = self._connection.pool.request(
                    method, url, body=data, headers=headers, timeout=timeout, preload_content=whole, redirect=False
                )
                break
            except urllib3.exceptions.HTTPError as error:
                self._answered(request.verb, request.resource.plural, 0)
                if attempt == 1 and method == "GET" and isinstance(error, urllib3.exceptions.ProtocolError):
                    continue
                raise unanswered(request, self.server, error) from error
        self._answered(request.verb, request.resource.plural, response.status)
        if not 200 <= response.status < 300:
            raise self._refused(request, response)
        for warning in response.headers.getlist("Warning"):
            log.warning("%s: %s", request, warning.removeprefix("299 - ").strip('"'))
        return response

    def _refused(self, request: Request, response: urllib3.BaseHTTPResponse) -> XstiltsError:
        try:
            return refused(request, Refusal.of(response.status, response.headers, response.data))
        except urllib3.exceptions.HTTPError as error:
            return unanswered(request, self.server, error)


_METHODS = {"get": "GET", "list": "GET", "create": "POST", "patch": "PATCH", "update": "PUT", "delete": "DELETE"}


def _path(request: Request) -> str:
    resource = request.resource
    root = f"/apis/{resource.group}/{resource.version}" if resource.group else f"/api/{resource.version}"
    namespace = f"/namespaces/{quote(request.namespace, safe='')}" if request.namespace else ""
    rest = "".join(f"/{quote(part, safe='')}" for part in (request.name, request.subresource) if part)
    return f"{root}{namespace}/{resource.plural}{rest}"


def _place(obj: Object) -> tuple[str | None, str]:
    metadata = obj.get("metadata") or {}
    return metadata.get("namespace"), metadata.get("name", "")


def _whole(resource: Resource, obj: Object) -> Object:
    """The object with apiVersion and kind, which lists leave out."""
    return _lean({"apiVersion": resource.api_version, "kind": resource.kind, **obj})


def _lean(obj: Object) -> Object:
    """Without the books of field managers: nobody here reads them, and writing without them keeps them."""
    metadata = obj.get("metadata")
    if not metadata or "managedFields" not in metadata:
        return obj
    return {**obj, "metadata": {key: value for key, value in metadata.items() if key != "managedFields"}}
