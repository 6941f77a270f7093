"""How a command ends that raised: one message in our words and an exit code. A traceback only where it is asked for."""

import errno
import os
import sys
import traceback
from collections.abc import Mapping

import typer

from xstilts.api.load import InvalidDocument
from xstilts.core import extras
from xstilts.core.errors import ExitCode, XstiltsError

TRACEBACK = "XSTILTS_TRACEBACK"
"""Environment variable; with any value, exceptions that nobody foresaw are shown with where they came from."""

_WAYS_OUT: Mapping[int, str] = {
    errno.EACCES: "choose a path that you may read and write, or change its permissions",
    errno.EPERM: "choose a path that you may read and write, or change its permissions",
    errno.EROFS: "choose a path on a file system that can be written",
    errno.ENOSPC: "free some space, or choose a path on another disk",
    errno.EDQUOT: "free some space, or choose a path on another disk",
    errno.EISDIR: "choose a file",
    errno.ENOTDIR: "choose a path below a folder",
    errno.EEXIST: "choose another path",
    errno.ENOENT: "check the path",
    errno.ENAMETOOLONG: "choose a shorter path",
    errno.EMFILE: "allow more open files (ulimit -n)",
    errno.ENOMEM: "free some memory",
}
"""What to do about an error of the operating system."""

_OF_THE_MACHINE = {errno.ENOSPC, errno.EDQUOT, errno.EMFILE, errno.ENOMEM, errno.EIO}


def told(error: Exception) -> tuple[str, int]:
    """Message and exit code."""
    match error:
        case InvalidDocument():
            return str(error), ExitCode.INVALID_INPUT
        case XstiltsError():
            return f"{type(error).__name__}: {error}", error.exit_code
        case ModuleNotFoundError(name=str(module)) if not module.startswith("xstilts"):
            return told(extras.absent(module, to="this command"))
        case OSError(errno=int(number), strerror=str(problem)):
            where = f"{error.filename}: " if error.filename else ""
            way_out = f": {_WAYS_OUT[number]}" if number in _WAYS_OUT else ""
            code = ExitCode.FAILED if number in _OF_THE_MACHINE else ExitCode.INVALID_INPUT
            return f"{where}{problem[:1].lower()}{problem[1:]}{way_out}", code
        case MemoryError():
            return "out of memory: free some, or give the study fewer trials at once", ExitCode.FAILED
    message = str(error).strip() or "no message"
    return f"unexpected {type(error).__name__}: {message} (set {TRACEBACK}=1 to see where)", ExitCode.FAILED


def show(error: Exception) -> int:
    """Prints the message to standard error; returns the exit code."""
    message, code = told(error)
    if os.environ.get(TRACEBACK) and not isinstance(error, XstiltsError | InvalidDocument):
        traceback.print_exception(error)
    typer.echo(message, err=True)
    _let_go_of_output()
    return code


def _let_go_of_output() -> None:
    """What can't be written (a full disk, a reader that is gone) is not tried again when Python exits."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
