"""Loss by step of every head on a tiny encoder: a change of numbers must be meant.

`XSTILTS_REGENERATE=1 pytest tests/golden/test_losses.py` writes `losses/*.txt` anew; then raise the version of the
training stages, since equal keys must mean equal numbers.
"""

import os
from pathlib import Path

import pytest

from training_rows import METRICS, settings, task, tiny_encoder
from xstilts.core.catalogue import TaskKind
from xstilts.training import Budget, Progress, fit

LOSSES = Path(__file__).parent / "losses"
TOLERANCE = 1e-4
"""Relative: sums differ in their last bits between processors."""


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_encoder(tmp_path_factory.mktemp("model") / "encoder")


@pytest.mark.parametrize("kinds", [*([kind] for kind in METRICS), list(METRICS)], ids="+".join)
def test_losses_are_those_of_the_file(encoder: Path, tmp_path: Path, kinds: list[TaskKind]) -> None:
    seen: list[Progress] = []
    fit(
        encoder=encoder,
        tasks=[task(kind, dev=[]) for kind in kinds],
        budget=Budget(steps=20),
        seed=0,
        settings=settings(learning_rate="0.001"),
        workdir=tmp_path,
        on_progress=seen.append,
    )
    losses = [progress.loss for progress in seen]
    file = LOSSES / f"{kinds[0] if len(kinds) == 1 else 'mixture'}.txt"
    if os.environ.get("XSTILTS_REGENERATE"):
        file.write_text("".join(f"{step}\t{loss:.6f}\n" for step, loss in enumerate(losses, start=1)))
    golden = [float(line.split("\t")[1]) for line in file.read_text().splitlines()]
    assert losses == pytest.approx(golden, rel=TOLERANCE)
