"""An HTTP proxy that loses answers: it forwards a request, and then hangs up instead of saying what came of it.

That is what a client sees when a network or a server fails at the worst moment: the call has had its effect. Only
answers to writes are lost, because a read has none.
"""

import http.client
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

from cluster.http_servers import serving


class LosingProxy(ThreadingHTTPServer):
    """Forwards everything to `target`; `lose(n)` makes it hang up on the n-th write from then on."""

    daemon_threads = True

    def __init__(self, target: str) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.target = urlsplit(target).netloc
        self.address = f"http://127.0.0.1:{self.server_port}"
        self._countdown = -1
        self._again = -1
        self._lock = threading.Lock()

    def lose(self, number: int) -> None:
        """Lose the answer to one write; 0 is the next. A negative number loses none."""
        with self._lock:
            self._countdown = number

    def lose_every_other(self) -> None:
        """Lose the answer to the next write, not to its repetition, and so on."""
        with self._lock:
            self._countdown, self._again = 0, 1

    @property
    def armed(self) -> bool:
        """Whether the answer is still to be lost."""
        return self._countdown >= 0

    def loses_this(self) -> bool:
        with self._lock:
            lost = self._countdown == 0
            self._countdown = self._again if lost else self._countdown - 1
            return lost


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: LosingProxy

    def _forward(self) -> None:
        lost = self._writes() and self.server.loses_this()
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        upstream = http.client.HTTPConnection(self.server.target, timeout=60)
        headers = {name: value for name, value in self.headers.items() if name.lower() not in {"host", "connection"}}
        upstream.request(self.command, self.path, body, headers)
        answer = upstream.getresponse()
        content = answer.read()
        upstream.close()
        if lost:
            self.close_connection = True
            return
        self.send_response(answer.status)
        self.send_header("Content-Type", answer.headers.get("Content-Type", "application/json"))
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def _writes(self) -> bool:
        return self.command != "GET" and not self.path.partition("?")[0].endswith("/search")

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _forward  # noqa: N815

    def log_message(self, *args: object) -> None:
        """Tests are quiet."""


@contextmanager
def losing_proxy(target: str) -> Iterator[LosingProxy]:
    with serving(LosingProxy(target)) as proxy:
        yield proxy
