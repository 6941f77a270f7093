"""Processes that do not outlive this one, however it ends.

Each leads a group of its own. A small warden process reads from a pipe which groups live; when the pipe's other end is
gone, because this process is done or was killed, it kills the groups that are left.
"""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

from cluster.forked import ForkedProcess

Process = subprocess.Popen[bytes] | ForkedProcess

_WATCH = """
import os, signal, sys
living = set()
for line in sys.stdin:
    (living.add if line[0] == "+" else living.discard)(int(line[1:]))
for group in living:
    try:
        os.killpg(group, signal.SIGKILL)
    except ProcessLookupError:
        pass
"""


class Warden:
    """Starts processes, and has them killed when it is closed."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._processes: dict[int, Process] = {}
        self._watch = subprocess.Popen(
            [sys.executable, "-I", "-S", "-c", _WATCH], stdin=subprocess.PIPE, bufsize=0, start_new_session=True
        )

    def start(self, command: Sequence[str | os.PathLike[str]], **options: Any) -> subprocess.Popen[bytes]:
        """A process as of subprocess.Popen; who starts it waits for it, and then says `forget`."""
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, start_new_session=True, **options)
        self._guard(process)
        return process

    def fork(self, command: Sequence[str], *, env: Mapping[str, str], cwd: Path, output: Path) -> ForkedProcess:
        """The same for what `can_fork`, from a server that has loaded what takes long."""
        process = ForkedProcess(command, env=env, cwd=cwd, output=output)
        self._guard(process)
        return process

    def _guard(self, process: Process) -> None:
        with self._lock:
            self._processes[process.pid] = process
            self._tell("+", process)

    def forget(self, process: Process) -> None:
        """The process has been waited for: what it left behind in its group is killed."""
        with self._lock:
            if self._processes.pop(process.pid, None):
                kill_group(process)
                self._tell("-", process)

    def stop(self, process: subprocess.Popen[bytes], *, by: signal.Signals, grace_seconds: float) -> None:
        """By the signal, or by SIGKILL when the grace is over."""
        process.send_signal(by)
        try:
            process.wait(timeout=grace_seconds)
        except subprocess.TimeoutExpired:
            kill_group(process)
            process.wait()
        self.forget(process)

    def _tell(self, sign: str, process: Process) -> None:
        assert self._watch.stdin is not None
        self._watch.stdin.write(f"{sign}{process.pid}\n".encode())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        assert self._watch.stdin is not None
        self._watch.stdin.close()
        self._watch.wait()
        for process in self._processes.values():
            process.wait()


def kill_group(process: Process) -> None:
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        return  # nothing of it is left
