"""A wall clock that a test moves: in a process with this folder on its path, it is off by the seconds that a file says.

Python imports a module of this name when it starts.
"""

import os
import time
from contextlib import suppress
from pathlib import Path

_file = Path(os.environ["TEST_CLOCK_OFFSET"])
_time = time.time


def _moved() -> float:
    offset = 0.0
    with suppress(OSError, ValueError):  # it is being written
        offset = float(_file.read_text())
    return _time() + offset


time.time = _moved
