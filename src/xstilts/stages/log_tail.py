"""The last lines that a stage logs, kept beside its outcome: pods and their logs go away, the store stays."""

import logging
import os
import re
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager

TAIL_BYTES = 64 * 1024
_SECRET_NAMES = re.compile(r"(SECRET(_ACCESS_KEY)?|PASSWORD|TOKEN)$")
"""Variables whose values are nobody's business; not TOKENIZERS_PARALLELISM."""
_SHORTEST_SECRET = 4
_HIDDEN = "***"


class LogTail(logging.Handler):
    """Keeps as many of the last records as fit into TAIL_BYTES, and the end of one that does not fit."""

    def __init__(self) -> None:
        super().__init__()
        self.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
        self._lines: deque[bytes] = deque()
        self._size = 0

    def emit(self, record: logging.LogRecord) -> None:
        try:
            line = f"{_without_secrets(self.format(record))}\n".encode(errors="replace")[-TAIL_BYTES:]
        except Exception:  # what can't be formatted must not end a stage
            self.handleError(record)
            return
        self._lines.append(line)
        self._size += len(line)
        while self._size > TAIL_BYTES:
            self._size -= len(self._lines.popleft())

    def content(self) -> bytes:
        assert self.lock
        with self.lock:  # other threads may still log
            return b"".join(self._lines)


@contextmanager
def kept_log() -> Iterator[LogTail]:
    """Listens to all loggers at the level that they have."""
    tail, root = LogTail(), logging.getLogger()
    root.addHandler(tail)
    try:
        yield tail
    finally:
        root.removeHandler(tail)


def _without_secrets(text: str) -> str:
    """Foreign libraries may put addresses with passwords, or what the environment holds, into their errors."""
    for name, value in os.environ.items():
        if len(value) >= _SHORTEST_SECRET and _SECRET_NAMES.search(name):
            text = text.replace(value, _HIDDEN)
    return re.sub(r"://[^/\s@]*@", f"://{_HIDDEN}@", text)
