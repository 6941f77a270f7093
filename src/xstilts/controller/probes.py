"""What the kubelet asks: /healthz fails when only a restart can help, /readyz until the watch has shown everything."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

Problem = Callable[[], str]
"""What is wrong, or nothing."""


@contextmanager
def serve(port: int, *, healthy: Problem, ready: Problem) -> Iterator[int]:
    """Answers on the port (0: a free one), which is yielded, for as long as the context lasts."""
    probes = {"/healthz": healthy, "/readyz": ready}

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            probe = probes.get(self.path.partition("?")[0])
            problem = probe() if probe else "there is /healthz and /readyz"
            body = (problem or "ok").encode()
            self.send_response(404 if probe is None else 503 if problem else 200)
            self.send_header("Content-Type", "text/plain; charset=utf-8")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            """Probes come every few seconds: they are not logged."""

    with ThreadingHTTPServer(("", port), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, name="probes", daemon=True)
        thread.start()
        try:
            yield server.server_port
        finally:
            server.shutdown()
            thread.join()
