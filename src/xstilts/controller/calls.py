"""Which calls to stores and tracking servers run, and which wait: one that hangs holds up its own kind and no other.

Every set of credentials and addresses has a line of its own, lines take turns, and few calls of a line, or of a
namespace, run at once. So a store that never answers uses up its own share of the threads, until its calls are ended.
"""

import threading
from collections import Counter, OrderedDict, deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Protocol

from xstilts.api.study import Study

CALLS_OF_A_LINE = 2


@dataclass(frozen=True, slots=True)
class Line:
    """Studies whose calls wait for one another: those with the same Secrets, store and tracking server."""

    namespace: str
    store: str | None
    tracking: str
    secrets: tuple[str | None, ...]

    @classmethod
    def of(cls, namespace: str, study: Study) -> "Line":
        store, tracking, model = study.spec.store, study.spec.tracking, study.spec.model
        refs = (store.secret_ref, store.ca_secret_ref, tracking.secret_ref, model.token_secret_ref)
        return cls(
            namespace=namespace,
            store=store.endpoint,
            tracking=tracking.uri,
            secrets=tuple(ref.name if ref else None for ref in refs),
        )


class Calls(Protocol):
    """Runs calls in the background."""

    def submit(self, line: Line, call: Callable[..., None], /, *arguments: Any) -> None: ...


class CallQueue:
    """`threads` calls at once, `of_a_namespace` of one namespace. Calls say themselves how they ended."""

    def __init__(self, threads: int, *, of_a_namespace: int) -> None:
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="call")
        self._threads, self._of_a_namespace = threads, of_a_namespace
        self._waiting: OrderedDict[Line, deque[Callable[[], None]]] = OrderedDict()
        """The line whose turn comes next is the first."""
        self._running: Counter[Line | str] = Counter()
        """By line, and by namespace."""
        self._changed = threading.Condition()
        self._closed = False

    def submit(self, line: Line, call: Callable[..., None], /, *arguments: Any) -> None:
        """Later calls are dropped once the queue is closed."""
        with self._changed:
            if not self._closed:
                self._waiting.setdefault(line, deque()).append(lambda: call(*arguments))
                self._start()

    def close(self, seconds: float) -> None:
        """Starts nothing more, and waits for what runs, so long and no longer."""
        with self._changed:
            self._closed = True
            self._waiting.clear()
            self._changed.wait_for(lambda: not self._running.total(), seconds)

    def join(self) -> None:
        self._pool.shutdown()

    def _start(self) -> None:
        for line in list(self._waiting):
            while self._may_run(line):
                call = self._waiting[line].popleft()
                self._running.update((line, line.namespace))
                self._pool.submit(self._run, line, call)
                if not self._waiting[line]:
                    del self._waiting[line]
                else:
                    self._waiting.move_to_end(line)

    def _may_run(self, line: Line) -> bool:
        return (
            line in self._waiting
            and self._running.total() < 2 * self._threads  # each call is counted twice
            and self._running[line] < CALLS_OF_A_LINE
            and self._running[line.namespace] < self._of_a_namespace
        )

    def _run(self, line: Line, call: Callable[[], None]) -> None:
        try:
            call()
        finally:
            with self._changed:
                self._running.subtract((line, line.namespace))
                self._running = +self._running
                self._start()
                self._changed.notify_all()
