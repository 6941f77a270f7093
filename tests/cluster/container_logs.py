"""The kubelet's `GET /containerLogs/NAMESPACE/POD/CONTAINER`, which the API server asks for `kubectl logs`."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from cluster.certificates import Certificate
from cluster.http_servers import TlsServer

CHUNK = 64 * 1024


@dataclass(frozen=True)
class Log:
    """What a container has written so far; `is_complete` once it has ended."""

    file: Path
    is_complete: Callable[[], bool]


class LogServer(TlsServer):
    """Knows tailLines, limitBytes and follow; other options change nothing."""

    def __init__(self, certificate: Certificate, find: Callable[[str, str, str], Log | str]) -> None:
        """`find` answers with what is in the way where there is no log of a namespace, pod and container."""
        self.find = find
        super().__init__(_Handler, certificate)


class _Handler(BaseHTTPRequestHandler):
    server: LogServer
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        address = urlsplit(self.path)
        kind, *names = address.path.strip("/").split("/")
        if kind != "containerLogs" or len(names) != 3:
            return self._answer(404, iter([b"tests serve containerLogs only\n"]))
        log = self.server.find(*names)
        if isinstance(log, str):
            return self._answer(400, iter([f"{log}\n".encode()]))
        return self._answer(200, _content(log, {name: value[-1] for name, value in parse_qs(address.query).items()}))

    def _answer(self, status: int, content: Iterator[bytes]) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "text/plain")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for piece in content:
            self.wfile.write(b"%x\r\n%b\r\n" % (len(piece), piece))
        self.wfile.write(b"0\r\n\r\n")

    def log_message(self, *args: object) -> None:
        """Tests are quiet."""


def _content(log: Log, options: dict[str, str]) -> Iterator[bytes]:
    left = int(options.get("limitBytes", 1 << 62))
    for piece in _pieces(log, tail=int(options.get("tailLines", -1)), follow=options.get("follow") == "true"):
        yield piece[:left]
        left -= len(piece)
        if left <= 0:
            return


def _pieces(log: Log, *, tail: int, follow: bool) -> Iterator[bytes]:
    with log.file.open("rb") as file:
        if tail >= 0:
            file.seek(_start_of_tail(file.read(), tail))
        while True:
            is_complete = log.is_complete()  # asked before reading: nothing comes after it
            while piece := file.read(CHUNK):
                yield piece
            if is_complete or not follow:
                return
            time.sleep(0.05)


def _start_of_tail(content: bytes, lines: int) -> int:
    last = content.splitlines(keepends=True)[-lines:] if lines else []
    return len(content) - sum(map(len, last))
