"""`python -m MODULE …` as a fork of a server that has torch and MLflow loaded: a stage starts in milliseconds.

The process has its own arguments, environment, folder, output and process group, as one that was executed has. What it
does not have is an interpreter that read its environment at its start, so `can_fork` keeps those that would notice apart.
"""

import multiprocessing
import os
import runpy
import signal
import sys
import tempfile
import threading
from collections.abc import Mapping, Sequence
from multiprocessing.connection import Connection
from pathlib import Path

PRELOADED = "xstilts.engines.worker"
_READ_AT_START = ("PYTHON", "HF_", "TRANSFORMERS_", "MKL_", "ATEN_", "ONEDNN_", "LD_")
"""Beginnings of variables that the interpreter or a library reads once, when it is loaded."""
_HARMLESS = {"PYTHONUNBUFFERED"}
_STARTING = threading.Lock()
"""multiprocessing looks after all of its children whenever one starts, from whichever thread that is."""


def can_fork(command: Sequence[str], environment: Mapping[str, str]) -> bool:
    """Whether a fork does what the command would."""
    notices = any(name.startswith(_READ_AT_START) for name in environment.keys() - _HARMLESS)
    return len(command) > 2 and Path(command[0]).name.startswith("python") and command[1] == "-m" and not notices


class ForkedProcess:
    """The part of subprocess.Popen that tests need. Who starts it waits for it."""

    def __init__(self, command: Sequence[str], *, env: Mapping[str, str], cwd: Path, output: Path) -> None:
        """Returns when the process leads its group; `output` is created."""
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload([PRELOADED])
        started, child = context.Pipe(duplex=False)
        arguments = (tuple(command[2:]), dict(env), str(cwd), str(output), child)
        with _STARTING:
            self._process = context.Process(target=_run_module, args=arguments)
            self._process.start()
        child.close()
        started.recv()
        started.close()
        assert self._process.pid is not None
        self.pid: int = self._process.pid
        self.returncode: int | None = None

    def poll(self) -> int | None:
        """Exit code, below 0 for a signal; None while it runs."""
        with _STARTING:
            self.returncode = self._process.exitcode
        return self.returncode

    def wait(self) -> int:
        self._process.join()
        code = self.poll()
        assert code is not None
        return code

    def send_signal(self, number: signal.Signals) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)


def _run_module(
    arguments: Sequence[str], environment: Mapping[str, str], folder: str, output: str, started: Connection
) -> None:
    os.setsid()
    descriptor = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
    for stream in (sys.stdout, sys.stderr):
        os.dup2(descriptor, stream.fileno())
        stream.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    os.close(descriptor)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    tempfile.tempdir = None  # TMPDIR is another one here
    sys.argv = list(arguments)
    started.send(None)
    started.close()
    runpy.run_module(arguments[0], run_name="__main__", alter_sys=True)
