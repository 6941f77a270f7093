"""Writes the table of the demo's numbers into README.md from what `make demo` left: `make demo-table`."""

import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

BEGIN, END = "<!-- make demo-table: begin -->\n", "<!-- make demo-table: end -->\n"
ROWS = (
    ("udpos", "f1", "F1"),
    ("xsid", "intent_accuracy", "intent accuracy"),
    ("xsid", "exact_match", "exact match"),
    ("tatoeba", "accuracy", "accuracy"),
)
STUDIES = {"pretrained": "report", "control": "control"}
"""Columns, and the folders of their reports."""


def table(summaries: dict[str, Sequence[dict[str, Any]]], processor: str) -> str:
    """`summaries` are those of each column's summary.json."""
    lines = [f"| target | metric | {' | '.join(summaries)} |", "|---|---|" + "---|" * len(summaries)]
    for target, metric, words in ROWS:
        cells = [_baseline(found, target, metric) for found in summaries.values()]
        lines.append(f"| {target} | {words} | {' | '.join(cells)} |")
    return "\n".join([*lines, "", f"Processor of this run: {processor}.", ""])


def _baseline(summaries: Sequence[dict[str, Any]], target: str, metric: str) -> str:
    """Mean over the languages without labelled rows, and half of its interval over seeds; a dash where it is none."""
    for summary in summaries:
        found = (summary["target"], summary["metric"], summary["scope"], summary["condition"]["recipe"])
        if found == (target, metric, "other-languages", "baseline") and summary["protocol"] == "best":
            estimate = summary["estimate"]
            low = estimate["interval"][0] if estimate["interval"] else None
            return f"{estimate['mean']:.1f}" + ("" if low is None else f" ± {estimate['mean'] - low:.1f}")
    return "–"


def processors(store: Path) -> Iterator[str]:
    """Those that worked on stages of a store."""
    for manifest in store.glob("stages/*/*/manifest.json"):
        yield json.loads(manifest.read_text(encoding="utf-8"))["provenance"]["processor"]


def write(readme: Path, content: str) -> None:
    before, _, rest = readme.read_text(encoding="utf-8").partition(BEGIN)
    _, end, after = rest.partition(END)
    if not end:
        sys.exit(f"{readme} lacks the lines {BEGIN.strip()!r} and {END.strip()!r}")
    readme.write_text(f"{before}{BEGIN}{content}{END}{after}", encoding="utf-8")


def main(run: Path, readme: Path) -> None:
    summaries = {}
    for column, folder in STUDIES.items():
        file = run / folder / "summary.json"
        if not file.is_file():
            sys.exit(f"{file} is missing; run `make demo` first")
        summaries[column] = json.loads(file.read_text(encoding="utf-8"))["summaries"]
    write(readme, table(summaries, " and ".join(sorted(set(processors(run / "store"))))))


if __name__ == "__main__":
    main(Path("runs/demo"), Path("README.md"))
