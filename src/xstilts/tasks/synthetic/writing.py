"""Files of the corpora: UTF-8, line feeds, the same bytes on every machine."""

import json
from collections.abc import Iterable, Sequence
from pathlib import Path


def write_lines(path: Path, lines: Iterable[str]) -> None:
    """One line each, with its end; makes the folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8", newline="\n")


def write_tsv(path: Path, rows: Iterable[Sequence[str]]) -> None:
    """Unquoted cells between tabs."""
    write_lines(path, ("\t".join(row) for row in rows))


def write_json_lines(path: Path, documents: Iterable[object]) -> None:
    """One JSON document a line; a file of one line is a plain JSON file."""
    write_lines(path, (json.dumps(document, ensure_ascii=False) for document in documents))
