"""The demo's numbers in README.md come from a run."""

import json
from pathlib import Path

import pytest

from examples.demo import table


def summary(recipe: str = "baseline", scope: str = "other-languages", protocol: str = "best", **fields: object) -> dict:
    return {"condition": {"recipe": recipe}, "scope": scope, "protocol": protocol} | fields


def estimate(mean: float, margin: float | None) -> dict:
    return {"mean": mean, "interval": margin and [mean - margin, mean + margin], "count": 3}


FOUND = [
    summary(target="udpos", metric="f1", estimate=estimate(99.0, 1.0), scope="en"),
    summary(target="udpos", metric="f1", estimate=estimate(98.0, 1.0), protocol="last"),
    summary(target="udpos", metric="f1", estimate=estimate(97.0, 1.0), recipe="mnli"),
    summary(target="udpos", metric="f1", estimate=estimate(55.64, 4.32)),
    summary(target="tatoeba", metric="accuracy", estimate=estimate(6.3, None)),
]


def test_cells_are_the_baseline_over_the_other_languages() -> None:
    assert table.table({"pretrained": FOUND, "control": []}, "Some Processor").splitlines() == [
        "| target | metric | pretrained | control |",
        "|---|---|---|---|",
        "| udpos | F1 | 55.6 ± 4.3 | – |",
        "| xsid | intent accuracy | – | – |",
        "| xsid | exact match | – | – |",
        "| tatoeba | accuracy | 6.3 | – |",
        "",
        "Processor of this run: Some Processor.",
    ]


def test_only_what_is_between_the_marks_is_written(tmp_path: Path) -> None:
    readme, run = tmp_path / "README.md", tmp_path / "demo"
    readme.write_text(f"before\n{table.BEGIN}stale\n{table.END}after\n")
    for folder in table.STUDIES.values():
        (run / folder).mkdir(parents=True)
        (run / folder / "summary.json").write_text(json.dumps({"summaries": FOUND}))
    stage = run / "store/stages/evaluation/k"
    stage.mkdir(parents=True)
    (stage / "manifest.json").write_text(json.dumps({"provenance": {"processor": "P"}}))
    table.main(run, readme)
    text = readme.read_text()
    assert text.startswith(f"before\n{table.BEGIN}| target |")
    assert text.endswith(f"Processor of this run: P.\n{table.END}after\n")
    table.main(run, readme)
    assert readme.read_text() == text


def test_a_run_that_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="run `make demo` first"):
        table.main(tmp_path, tmp_path / "README.md")


def test_the_readme_has_a_table_of_a_run() -> None:
    readme = Path(__file__).parents[2] / "README.md"
    between = readme.read_text(encoding="utf-8").partition(table.BEGIN)[2].partition(table.END)[0]
    assert between.startswith("| target | metric | pretrained | control |\n")
    assert "Processor of this run: " in between
