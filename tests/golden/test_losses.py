"""Loss by step of every head on a tiny encoder: a change of numbers must be meant.

`XSTILTS_REGENERATE=1 pytest tests/golden/test_losses.py` writes `losses/*.txt` anew; then raise the version of the
training stages, since equal keys must mean equal numbers.
"""

import os
from fractions import Fraction
from pathlib import Path

import pytest

from training_rows import METRICS, settings, task, text, tiny_encoder
from xstilts.core.catalogue import TaskKind
from xstilts.training import Budget, Progress, TextData, fit

LOSSES = Path(__file__).parent / "losses"
TOLERANCE = 1e-4
"""Relative: sums differ in their last bits between processors."""


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_encoder(tmp_path_factory.mktemp("model") / "encoder")


TEXT = {"en": 60, "de": 60}
MIXED = [kind for kind in METRICS if kind is not TaskKind.SEMANTIC_PARSING]  # no intermediate task
RUNS: dict[str, tuple[list[TaskKind], TextData | None]] = {
    **{kind: ([kind], None) for kind in METRICS},
    "text": ([], text(TEXT)),
    "mixture": (MIXED, None),
    "mixture-with-text": (MIXED, text(TEXT, ratio=Fraction(3, 10))),
}


@pytest.mark.parametrize("name", RUNS)
def test_losses_are_those_of_the_file(encoder: Path, tmp_path: Path, name: str) -> None:
    seen: list[Progress] = []
    kinds, lines = RUNS[name]
    fit(
        encoder=encoder,
        tasks=[task(kind, dev=[]) for kind in kinds],
        text=lines,
        budget=Budget(steps=50),
        seed=0,
        settings=settings(learning_rate="0.001"),
        workdir=tmp_path,
        on_progress=seen.append,
    )
    losses = [progress.loss for progress in seen]
    file = LOSSES / f"{name}.txt"
    if os.environ.get("XSTILTS_REGENERATE"):
        file.write_text("".join(f"{step}\t{loss:.6f}\n" for step, loss in enumerate(losses, start=1)))
    golden = [float(line.split("\t")[1]) for line in file.read_text().splitlines()]
    assert losses == pytest.approx(golden, rel=TOLERANCE)
