"""A proxy in front of the API server that injects faults and records every request.

Each fault is one that a real API server, its etcd or the network in between can show, at the moment where it would: a
creation that is answered with AlreadyExists has had its effect, an update that is answered with Conflict has not.
"""

import http.client
import json
import socket
import ssl
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from urllib.parse import urlsplit

from cluster.api_faults import REFUSALS, Decision, Fault, Policy
from cluster.api_requests import Request
from cluster.certificates import Certificate, self_signed
from cluster.http_servers import TlsServer, serving
from cluster.kubernetes import ControlPlane

_BROKEN = (OSError, ValueError, http.client.HTTPException)
_OF_ONE_CONNECTION = {"connection", "host", "transfer-encoding", "content-length", "keep-alive"}


@dataclass
class _Single:
    """A fault for the next few requests of a kind."""

    fault: Fault
    times: int
    when: Callable[[Request], bool]


class ApiProxy(TlsServer):
    """Forwards to a control plane what clients of its own kubeconfigs ask, with their own tokens."""

    def __init__(self, control_plane: ControlPlane, certificate: Certificate) -> None:
        super().__init__(_Handler, certificate)
        self.target = urlsplit(control_plane.access.server).netloc
        self.trust = ssl.create_default_context(cafile=control_plane.access.authority)
        self.policy: Policy | None = None
        self._control_plane = control_plane
        self._certificate = certificate
        self._singles: list[_Single] = []
        self._requests: list[Request] = []
        self._occurrences: Counter[tuple[str, str]] = Counter()
        self._watches: set[http.client.HTTPSConnection] = set()
        self._lock = threading.Lock()

    def kubeconfig(self, token: str | None = None) -> Path:
        """Of an administrator, or of who holds the token, by way of this proxy."""
        return self._control_plane.kubeconfig(token, server=self.address, authority=self._certificate.file)

    # --- faults -----------------------------------------------------------------------------------------------------

    def inject(self, fault: Fault, *, times: int = 1, when: Callable[[Request], bool] = lambda request: True) -> None:
        """Let the next requests that it is said for go wrong, whatever the policy says."""
        with self._lock:
            self._singles.append(_Single(fault, times, when))

    def cut_watches(self) -> None:
        """Break off every watch and every log that is being followed."""
        with self._lock:
            for upstream in self._watches:
                _cut(upstream)

    def decide(self, request: Request) -> Decision:
        with self._lock:
            for single in self._singles:
                if single.times > 0 and single.when(request):
                    single.times -= 1
                    return Decision(single.fault, seconds=0.05, retry_after=0)
            kind = (request.verb, request.path)
            self._occurrences[kind] += 1
            return self.policy.decide(request, self._occurrences[kind]) if self.policy else Decision()

    # --- records ----------------------------------------------------------------------------------------------------

    @property
    def requests(self) -> list[Request]:
        """Every request in the order of the answers; a watch is answered when it begins."""
        with self._lock:
            return list(self._requests)

    @property
    def forbidden(self) -> list[Request]:
        return [request for request in self.requests if request.status == 403]

    def counts(self, *, user_agent: str = "") -> Counter[tuple[str, str]]:
        """How often each verb of each resource was asked for, by clients with this in their user agent."""
        return Counter((r.verb, r.resource) for r in self.requests if user_agent in r.user_agent)

    def forget_requests(self) -> None:
        with self._lock:
            self._requests.clear()

    def record(self, request: Request, status: int, decision: Decision) -> None:
        with self._lock:
            self._requests.append(replace(request, status=status, fault=decision.fault or ""))

    @contextmanager
    def streaming(self, upstream: http.client.HTTPSConnection, seconds: float | None) -> Iterator[None]:
        """While an answer goes on and on; it breaks off after the seconds, if any are given."""
        timer = threading.Timer(seconds, _cut, [upstream]) if seconds is not None else None
        with self._lock:
            self._watches.add(upstream)
        if timer:
            timer.start()
        try:
            yield
        finally:
            if timer:
                timer.cancel()
            with self._lock:
                self._watches.discard(upstream)


@contextmanager
def api_proxy(control_plane: ControlPlane) -> Iterator[ApiProxy]:
    """A proxy without faults, until it is told of some."""
    with tempfile.TemporaryDirectory(prefix="xstilts-proxy-") as folder:
        certificate = self_signed(Path(folder), "api-proxy")
        with serving(ApiProxy(control_plane, certificate)) as proxy:
            try:
                yield proxy
            finally:
                proxy.cut_watches()


class _Handler(BaseHTTPRequestHandler):
    server: ApiProxy
    protocol_version = "HTTP/1.1"

    def setup(self) -> None:
        super().setup()
        self._upstream = http.client.HTTPSConnection(self.server.target, context=self.server.trust)

    def finish(self) -> None:
        self._upstream.close()
        super().finish()

    def _handle(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        request = Request.to(self.command, self.path, self.headers.get("User-Agent", ""))
        decision = self.server.decide(request)
        if decision.fault == Fault.DELAY:
            time.sleep(decision.seconds)
        if decision.fault in REFUSALS:
            return self._refuse(request, decision, *REFUSALS[decision.fault])
        if decision.fault == Fault.CONFLICT and request.verb != "create":
            return self._refuse(request, decision, 409, "Conflict")
        if decision.fault == Fault.CUT_BEFORE:
            return self._hang_up(request, decision)
        try:
            headers = {name: value for name, value in self.headers.items() if name.lower() not in _OF_ONE_CONNECTION}
            self._upstream.request(self.command, self.path, body or None, headers)
            answer = self._upstream.getresponse()
        except _BROKEN:  # the API server is away, and so is this connection to it
            return self._hang_up(request, decision)
        return self._pass_on(request, decision, answer)

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = do_HEAD = do_OPTIONS = _handle  # noqa: N815

    def _pass_on(self, request: Request, decision: Decision, answer: http.client.HTTPResponse) -> None:
        if decision.fault in {Fault.CUT_AFTER, Fault.CONFLICT}:
            answer.read()
            if decision.fault == Fault.CONFLICT and answer.status < 400:
                return self._refuse(request, decision, 409, "AlreadyExists")
            return self._hang_up(request, decision)
        self.server.record(request, answer.status, decision)
        self.send_response_only(answer.status)
        for name, value in answer.headers.items():
            if name.lower() not in _OF_ONE_CONNECTION:
                self.send_header(name, value)
        if answer.length is None:
            return self._stream(decision, answer)
        content = answer.read()
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)
        return None

    def _stream(self, decision: Decision, answer: http.client.HTTPResponse) -> None:
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        with self.server.streaming(self._upstream, decision.seconds if decision.fault == Fault.CUT_WATCH else None):
            try:
                while piece := answer.read1():
                    self.wfile.write(b"%x\r\n%b\r\n" % (len(piece), piece))
                self.wfile.write(b"0\r\n\r\n")
            except _BROKEN:
                self.close_connection = True

    def _refuse(self, request: Request, decision: Decision, code: int, reason: str) -> None:
        self.server.record(request, code, decision)
        content = json.dumps(_status(request, code, reason, decision)).encode()
        self.send_response_only(code)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        if code == 429:
            self.send_header("Retry-After", str(decision.retry_after))
        self.end_headers()
        self.wfile.write(content)

    def _hang_up(self, request: Request, decision: Decision) -> None:
        self.server.record(request, 0, decision)
        self.close_connection = True

    def log_message(self, *args: object) -> None:
        """Tests are quiet."""


def _status(request: Request, code: int, reason: str, decision: Decision) -> dict[str, object]:
    return {
        "apiVersion": "v1",
        "kind": "Status",
        "metadata": {},
        "status": "Failure",
        "message": f"injected by a test: {decision.fault}",
        "reason": reason,
        "details": {"name": request.name, "kind": request.resource, "retryAfterSeconds": decision.retry_after},
        "code": code,
    }


def _cut(upstream: http.client.HTTPSConnection) -> None:
    if upstream.sock is not None:
        with suppress(OSError):
            socket.socket.shutdown(upstream.sock, socket.SHUT_RDWR)  # below TLS, whose state its reader needs
