"""How fast the operator is and what it takes, on a real API server with many Studies. `make bench-operator`.

Named in the plural since a folder `operator` would hide Python's own module from the scripts beside it. The cluster is
that of the tests, whose folder is importable as they have it.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2] / "tests"))
