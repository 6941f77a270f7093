"""What is seen when: watches beside the operator's own, and the moments at which something showed up in them."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from cluster.api import Api, Object, Unreachable, Watch

DEADLINE_SECONDS = 600.0


class Sightings:
    """When each thing was first seen, by the monotonic clock."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._first: dict[str, float] = {}

    def note(self, what: str) -> None:
        with self._changed:
            if what not in self._first:
                self._first[what] = time.monotonic()
                self._changed.notify_all()

    def wait_for(self, *whats: str, seconds: float = DEADLINE_SECONDS) -> list[float]:
        """When each was seen; waits until all are."""
        with self._changed:
            if not self._changed.wait_for(lambda: self._first.keys() >= set(whats), seconds):
                missing = [what for what in whats if what not in self._first]
                raise TimeoutError(f"not seen within {seconds:g} s: {', '.join(missing[:5])} ({len(missing)} in all)")
            return [self._first[what] for what in whats]


class _Follower:
    """A watch that goes on where the server ended it."""

    def __init__(self, api: Api, path: str, tell: Callable[[str, Object], None]) -> None:
        self._api = api
        self._path = path
        self._tell = tell
        self._version = str(api.get(path, limit="1")["metadata"]["resourceVersion"])
        self._watch = self._open()
        self._stopping = False

    def _open(self) -> Watch:
        return self._api.watch(self._path, resource_version=self._version)

    def run(self) -> None:
        while not self._stopping:
            with suppress(Unreachable):
                for event in self._watch:
                    self._version = event["object"]["metadata"]["resourceVersion"]
                    if event["type"] != "BOOKMARK":
                        self._tell(event["type"], event["object"])
            if not self._stopping:
                self._watch = self._open()

    def stop(self) -> None:
        self._stopping = True
        self._watch.stop()


@contextmanager
def following(api: Api, path: str, tell: Callable[[str, Object], None]) -> Iterator[None]:
    """Tells type and object of every event from now on, in a thread of its own."""
    follower = _Follower(api, path, tell)
    thread = threading.Thread(target=follower.run, name=f"follow {path}")
    thread.start()
    try:
        yield
    finally:
        follower.stop()
        thread.join()


def condition(obj: Object, kind: str) -> str:
    """Status of one of its conditions, empty where it has none."""
    conditions = obj.get("status", {}).get("conditions", ())
    return next((str(each["status"]) for each in conditions if each["type"] == kind), "")
