"""Waiting for what a cluster does in its own time."""

import time
from collections.abc import Callable
from typing import TypeVar

Answer = TypeVar("Answer")


def eventually(
    ask: Callable[[], Answer],
    *,
    seconds: float = 240,  # a busy machine is slow
    what: Callable[[], object] = lambda: "",
) -> Answer:
    """The first answer that is true; an assertion fails with the last one, and with `what`, at the deadline."""
    deadline = time.monotonic() + seconds
    while not (answer := ask()):
        assert time.monotonic() < deadline, f"still {answer!r} after {seconds:g} seconds: {what()}"
        time.sleep(0.05)
    return answer
