"""The status of a Study in the cluster, once or until it ends."""

import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import NamedTuple

from rich.console import Console
from rich.live import Live

from xstilts.cli import show_cluster
from xstilts.cli.cluster_views import ClusterStudy, ClusterTrial, find_study, read_study, read_trials
from xstilts.cluster.errors import ClusterUnavailable
from xstilts.cluster.port import Cluster

POLL_SECONDS = 2.0
TABLE_FRAME = 24
"""Lines of a watched status that are no rows of trials, about."""
FEWEST_ROWS = 5


class Look(NamedTuple):
    """What the cluster says at one moment."""

    study: ClusterStudy
    trials: Sequence[ClusterTrial]


def show(cluster: Cluster, namespace: str, name: str, console: Console) -> None:
    """Raises UserError where there is no such Study."""
    study = find_study(cluster, namespace, name)
    console.print(show_cluster.study(study, read_trials(cluster, study), datetime.now(UTC)))


def watch(
    cluster: Cluster, namespace: str, name: str, console: Console, *, pause: Callable[[float], None] = time.sleep
) -> bool:
    """Show the Study until it has ended, and return whether it succeeded. One that is not accepted has not.

    A cluster that does not answer is asked again. Raises UserError where there is no such Study.
    """
    study = find_study(cluster, namespace, name)
    screen: _Terminal | _Log = _Terminal(console) if console.is_terminal else _Log(console)
    with screen:
        while True:
            try:
                found = read_study(cluster, namespace, name)
                if found is None or found.uid != study.uid:
                    screen.say(f"{study.title} was deleted")
                    return False
                screen.show(Look(found, read_trials(cluster, found)))
            except ClusterUnavailable as error:
                screen.say(f"{error}; trying again")
                pause(max(POLL_SECONDS, error.delay))
                continue
            if found.succeeded is not None:
                return found.succeeded
            if found.is_refused:
                screen.say(f"{study.title} is not accepted; correct it, and apply it again")
                return False
            pause(POLL_SECONDS)


class _Log:
    """A line for everything that has changed: for files, and for jobs that wait for a Study."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._said: dict[str, str] = {}

    def __enter__(self) -> None: ...

    def __exit__(self, *_: object) -> None: ...

    def show(self, look: Look) -> None:
        for topic, line in show_cluster.changes(look.study, look.trials):
            if self._said.get(topic) != line:
                self._said[topic] = line
                self.say(line)
        if look.study.succeeded is not None:
            self.say("\n".join([show_cluster.counts(look.study.status), *show_cluster.links(look.study.status)]))

    def say(self, text: str) -> None:
        self._console.print(text, markup=False, soft_wrap=True)


class _Terminal:
    """The whole status in place, as many of its trials as fit."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._live = Live(console=console, auto_refresh=False, vertical_overflow="ellipsis")

    def __enter__(self) -> None:
        self._live.start()

    def __exit__(self, *_: object) -> None:
        self._live.stop()

    def show(self, look: Look) -> None:
        rows = max(FEWEST_ROWS, self._console.height - TABLE_FRAME)
        ended = look.study.succeeded is not None
        shown = show_cluster.study(look.study, look.trials, datetime.now(UTC), rows=None if ended else rows)
        self._live.update(shown, refresh=True)

    def say(self, text: str) -> None:
        self._live.console.print(text, markup=False, soft_wrap=True)
