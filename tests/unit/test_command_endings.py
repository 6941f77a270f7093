"""A command that fails says why in our words, on standard error, with an exit code; nobody meets a traceback."""

import errno
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from xstilts.api.load import InvalidDocument
from xstilts.cli import ending
from xstilts.core import extras
from xstilts.core.errors import ExitCode, StorageUnavailable, UserError

STUDY = """
metadata: {name: demo}
spec:
  model: {uri: model}
  recipes: [{name: mnli, tasks: [{name: mnli}]}]
  targets: [{name: xnli}]
  store: {uri: store}
  tracking: {uri: "sqlite:///mlflow.db"}
"""
WITHOUT = "import sys; sys.modules.update(dict.fromkeys({names!r}))\nfrom xstilts.cli import main\nmain()"
"""The command line where packages are not installed: Python takes None in their place for that."""


def run(
    *arguments: object, folder: Path, without: tuple[str, ...] = (), stdout: int = subprocess.PIPE, **variables: str
) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", WITHOUT.format(names=without), *map(str, arguments)]
    return subprocess.run(
        command, cwd=folder, stdout=stdout, stderr=subprocess.PIPE, text=True, env=os.environ | variables, check=False
    )  # fmt: skip


@pytest.mark.parametrize(
    ("error", "message", "code"),
    [
        (InvalidDocument("x is not a valid Study"), "x is not a valid Study", ExitCode.INVALID_INPUT),
        (UserError("sizes: no"), "UserError: sizes: no", ExitCode.INVALID_INPUT),
        (StorageUnavailable("away"), "StorageUnavailable: away", ExitCode.UNAVAILABLE),
        (PermissionError(errno.EACCES, "Permission denied", "a/b"), "a/b: permission denied: choose a path that you may",
         ExitCode.INVALID_INPUT),
        (IsADirectoryError(errno.EISDIR, "Is a directory", "a"), "a: is a directory: choose a file",
         ExitCode.INVALID_INPUT),
        (OSError(errno.ENOSPC, "No space left on device"), "no space left on device: free some space", ExitCode.FAILED),
        (OSError(errno.ENOTSUP, "Operation not supported", "a"), "a: operation not supported", ExitCode.INVALID_INPUT),
        (ModuleNotFoundError("No module named 'kopf'", name="kopf"), "pip install 'xstilts[operator]'",
         ExitCode.INVALID_INPUT),
        (ModuleNotFoundError("No module named 'numpy.x'", name="numpy.x"), "the package numpy, which is not installed",
         ExitCode.INVALID_INPUT),
        (MemoryError(), "out of memory", ExitCode.FAILED),
        (Exception("Model missing."), "unexpected Exception: Model missing. (set XSTILTS_TRACEBACK=1", ExitCode.FAILED),
        (KeyError(), "unexpected KeyError: no message", ExitCode.FAILED),
        (OSError("torn"), "unexpected OSError: torn", ExitCode.FAILED),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else "",
)  # fmt: skip
def test_an_error_is_told_in_our_words(error: Exception, message: str, code: ExitCode) -> None:
    told, exit_code = ending.told(error)
    assert message in told
    assert exit_code == code
    assert "\n" not in told


@pytest.mark.parametrize(("extra", "names"), extras.EXTRAS.items())
def test_what_an_extra_brings_is_asked_for_by_its_name(extra: str, names: tuple[str, ...]) -> None:
    for name in names:
        assert f"pip install 'xstilts[{extra}]'" in str(extras.absent(f"{name}.inner", to="it"))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("run", "study.yaml"), "xstilts run needs the package torch, which is not installed: pip install 'xstilts[train]'"),
        (("operator",), "pip install 'xstilts[operator]'"),
        (("data", "import", "mnli", "--hub", "--store", "store"), "pip install 'xstilts[train]'"),
    ],
    ids=["run", "operator", "hub"],
)  # fmt: skip
def test_a_command_without_its_extra_says_what_to_install(
    arguments: tuple[str, ...], message: str, tmp_path: Path
) -> None:
    (tmp_path / "study.yaml").write_text(STUDY)
    every = tuple(name for names in extras.EXTRAS.values() for name in names)
    ended = run(*arguments, folder=tmp_path, without=every)
    assert ended.returncode == ExitCode.INVALID_INPUT
    assert message in ended.stderr
    assert len(ended.stderr.splitlines()) == 1


def test_studies_are_planned_without_any_extra(tmp_path: Path) -> None:
    (tmp_path / "study.yaml").write_text(STUDY)
    every = tuple(name for names in extras.EXTRAS.values() for name in names)
    ended = run("plan", "study.yaml", folder=tmp_path, without=every)
    assert ended.returncode == 0, ended.stderr
    assert "trials" in ended.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("init", "file/study.yaml"), "file/study.yaml: not a directory: choose a path below a folder"),
        (("init", "absent/study.yaml"), "absent/study.yaml: no such file or directory: check the path"),
        (("validate", "."), "cannot be read: Is a directory"),
        (
            ("data", "import", "mnli", "--from", "/proc/self", "--store", "s", "--file", "train:en=mem"),
            "/proc/self/mem: cannot be read",
        ),
    ],
    ids=["below a file", "in no folder", "a folder", "a file that can't be read"],
)
def test_paths_that_do_not_work_are_named(arguments: tuple[str, ...], message: str, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    ended = run(*arguments, folder=tmp_path)
    assert ended.returncode == ExitCode.INVALID_INPUT
    assert message in ended.stderr
    assert "Traceback" not in ended.stderr


def test_a_full_disk_behind_standard_output_is_told_once(tmp_path: Path) -> None:
    with Path("/dev/full").open("w") as full:
        ended = run("data", "list", "--store", "store", folder=tmp_path, stdout=full.fileno())
    assert ended.returncode == ExitCode.FAILED
    assert ended.stderr == "no space left on device: free some space, or choose a path on another disk\n"


def test_a_reader_that_went_away_ends_a_command_in_silence(tmp_path: Path) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    try:
        ended = run("data", "list", "--store", "store", folder=tmp_path, stdout=writing)
    finally:
        os.close(writing)
    assert ended.returncode == 1
    assert ended.stderr == ""


def test_an_interrupt_ends_a_command_without_a_traceback(tmp_path: Path) -> None:
    """The command waits at a pipe that nobody writes to."""
    os.mkfifo(tmp_path / "study.yaml")
    # tests that run in the background of a shell ignore SIGINT, and so would the command
    script = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); " + WITHOUT.format(names=())
    command = [sys.executable, "-c", script, "validate", "study.yaml"]
    with (
        subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, text=True) as process,
        (tmp_path / "study.yaml").open("w"),  # opens once the command reads
    ):
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=60)
    assert process.returncode == 128 + signal.SIGINT
    assert "Traceback" not in errors


def test_an_error_that_nobody_foresaw_shows_where_on_demand(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert ending.show(RuntimeError("odd")) == ExitCode.FAILED
    assert capsys.readouterr().err == "unexpected RuntimeError: odd (set XSTILTS_TRACEBACK=1 to see where)\n"
    monkeypatch.setenv(ending.TRACEBACK, "1")
    ending.show(RuntimeError("odd"))
    assert "RuntimeError: odd\nunexpected" in capsys.readouterr().err
