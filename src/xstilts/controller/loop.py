"""What the loops over Studies and StudySchedules share: a queue, threads that work it off, what errors mean."""

import logging
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from xstilts.cluster.errors import Conflict
from xstilts.controller import metrics
from xstilts.controller.objects import Key
from xstilts.controller.work_queue import WorkQueue
from xstilts.core.errors import PermanentError, TemporaryError, XstiltsError

CONFLICT_SECONDS = 0.2
REFUSED_SECONDS = 30.0

log = logging.getLogger(__name__)


@dataclass(kw_only=True)
class Loop(ABC):
    """Objects of one kind, from events to effects."""

    kind: str
    may_act: Callable[[], bool] = lambda: True
    """Whether this operator is the one that acts."""
    clock: Callable[[], float] = time.time
    queue: WorkQueue[Key] = field(default_factory=WorkQueue)

    @abstractmethod
    def decide(self, key: Key) -> str:
        """One pass over one object; says how it went, in a word for the metrics."""

    @abstractmethod
    def crashed(self, key: Key, error: Exception) -> None:
        """Tells people of an error in a pass that nobody foresaw."""

    def work(self) -> None:
        """Until the queue is closed; may be run by several threads."""
        while (key := self.queue.get()) is not None:
            try:
                self.process(key)
            except Exception as error:
                log.exception("%s %s/%s", self.kind, *key)
                self.queue.add_after(key, REFUSED_SECONDS)
                self._tell(key, error)
            finally:
                self.queue.done(key)

    def _tell(self, key: Key, error: Exception) -> None:
        """What broke the pass may break this too, which must not end the thread."""
        try:
            self.crashed(key, error)
        except Exception:
            log.exception("%s %s/%s: telling of %s", self.kind, *key, type(error).__name__)

    def process(self, key: Key) -> None:
        if self.may_act():
            started = time.monotonic()
            with logged(self.kind, key):
                result = self.decide(key)
            metrics.reconciled(self.kind, result, time.monotonic() - started)

    def later(self, key: Key, error: XstiltsError) -> str:
        """Comes back to the object: soon where somebody was faster, after a while where trying again may help."""
        match error:
            case Conflict():
                self.queue.add_after(key, CONFLICT_SECONDS)
                return "conflict"
            case TemporaryError():
                log.warning("%s %s/%s: %s", self.kind, *key, error)
                self.queue.add_after(key, max(error.delay, CONFLICT_SECONDS))
                return "unavailable"
            case PermanentError():
                log.error("%s %s/%s: %s: %s", self.kind, *key, type(error).__name__, error)
        self.queue.add_after(key, REFUSED_SECONDS)
        return "refused"


# ---- what log lines are about


class _Here(threading.local):
    about: tuple[str, str] | None = None


_HERE = _Here()


@contextmanager
def logged(kind: str, key: Key) -> Iterator[None]:
    """Every line that this thread logs below says which object it is about."""
    _HERE.about = (kind.lower(), f"{key.namespace}/{key.name}")
    try:
        yield
    finally:
        _HERE.about = None


def about() -> tuple[str, str] | None:
    """Kind and name of the object that this thread works on."""
    return _HERE.about
