"""Peak memory of tokenizing and of training, on a data set and on one ten times as large.

    make bench-memory

Each measurement is a process of its own. Resident memory counts pages of memory-mapped tables that the system may drop
at any time; anonymous memory does not. Both are peaks, in MiB, without what importing takes. Steps and model are the
same, so that whatever grows does so with the data.
"""

import argparse
import re
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np

STEPS, BATCH_SIZE, MAX_LENGTH = 300, 32, 128
WORDS = 2000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=20_000, help="rows of the smaller data set")
    parser.add_argument("--part", choices=PARTS, help="measure one part in this process")
    parser.add_argument("--folder", type=Path)
    options = parser.parse_args()
    if options.part:
        PARTS[options.part](options.folder, options.rows)
        return
    with tempfile.TemporaryDirectory() as name:
        peaks: dict[str, list[tuple[float, float]]] = {"tokenize": [], "train": []}
        for rows in (options.rows, 10 * options.rows):
            for part, found in peaks.items():
                folder = Path(name, str(rows))
                folder.mkdir(exist_ok=True)
                command = [sys.executable, __file__, "--part", part, "--folder", str(folder), "--rows", str(rows)]
                output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
                resident, anonymous = map(float, output.split())
                found.append((resident, anonymous))
            size = (folder / "table" / "rows.arrow").stat().st_size / 2**20
            print(f"{rows:,} rows, {size:.0f} MiB of tokens")
    for part, (small, large) in peaks.items():
        for kind, one, ten in zip(("resident", "anonymous"), small, large, strict=True):
            print(f"  {part:9s} {kind:9s} {one:6.0f} MiB, with ten times the data {ten:6.0f} MiB: {ten / one:.2f} x")


def tokenize(folder: Path, rows: int) -> None:
    from xstilts.tasks.examples import Classification
    from xstilts.training import init_model
    from xstilts.training.heads import Lengths
    from xstilts.training.heads.classification import ClassificationHead
    from xstilts.training.tables import write_table
    from xstilts.training.tokenizer import Tokenizer

    def examples() -> Iterator[Classification]:
        """As long as MNLI's pairs, about 38 tokens with special ones."""
        random = np.random.default_rng(0)
        for row in range(rows):
            length = int(np.clip(random.lognormal(mean=np.log(30), sigma=0.5), 4, MAX_LENGTH))
            words = [f"w{number}" for number in np.minimum(random.zipf(1.3, size=length), WORDS - 1)]
            first, second = words[: length * 2 // 3], words[length * 2 // 3 :]
            yield Classification(id=str(row), first=" ".join(first), second=" ".join(second), label=f"c{row % 3}")

    init_model([f"w{number}" for number in range(WORDS)] * 2, folder / "encoder", vocab_size=WORDS + 20)
    (folder / "table").mkdir()
    peak = Peak()
    write_table(
        folder / "table",
        examples(),
        encoding=ClassificationHead,
        tokenizer=Tokenizer.load(folder / "encoder"),
        lengths=Lengths(MAX_LENGTH, MAX_LENGTH),
    )
    peak.print()


def train(folder: Path, rows: int) -> None:
    from xstilts.api.training import TrainingSettings
    from xstilts.core.catalogue import TaskKind
    from xstilts.training import Budget, TaskData, fit
    from xstilts.training.tables import TokenTable

    peak = Peak()
    table = TokenTable.open(folder / "table")
    data = TaskData(
        name="pairs", kind=TaskKind.CLASSIFICATION, metric="accuracy", train=table, dev=table.select(range(500))
    )
    fit(
        encoder=folder / "encoder",
        tasks=[data],
        budget=Budget(steps=STEPS),
        seed=0,
        settings=TrainingSettings(batch_size=BATCH_SIZE, max_length=MAX_LENGTH),
        workdir=folder / "run",
    )
    peak.print()


PARTS = {"tokenize": tokenize, "train": train}


class Peak:
    """Peak memory of this process from now on, above what it has now, in MiB."""

    def __init__(self) -> None:
        Path("/proc/self/clear_refs").write_text("5")  # forgets the peak of resident memory
        self._begin = _status("VmRSS"), _status("RssAnon")
        self._anonymous, self._done = 0.0, threading.Event()
        self._thread = threading.Thread(target=self._watch)
        self._thread.start()

    def _watch(self) -> None:
        while not self._done.wait(0.01):
            self._anonymous = max(self._anonymous, _status("RssAnon"))

    def print(self) -> None:
        self._done.set()
        self._thread.join()
        print(_status("VmHWM") - self._begin[0], self._anonymous - self._begin[1])


def _status(field: str) -> float:
    found = re.search(rf"{field}:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert found
    return int(found[1]) / 1024


if __name__ == "__main__":
    main()
