"""A submission to XTREME: predictions in the files that its `evaluate.py` reads. Pure.

    xnli, pawsx          <task>/test-<language>.tsv    a label a line
    udpos, panx          <task>/test-<language>.tsv    a tag a line, an empty line after each sentence
    xquad, mlqa, tydiqa  <task>/test-<language>.json   {question id: answer text}
    bucc2018             <task>/test-<language>.tsv    id TAB English id, a line a pair
    tatoeba              <task>/test-<language>.tsv    a line an English sentence: the line of its translation, from 0

XTREME compares line i with line i of its labels, but for questions and pairs, which it finds by their ids. So rows
must come in upstream's order. It sorts the English sentences of Tatoeba (`tatoeba_preprocess` of its
`utils_preprocess.py`: by code points, stripped, equal ones in upstream's order), and leaves the other language alone.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from xstilts.core.errors import UserError
from xstilts.tasks import registry

FUSED_LAYOUT = "xtreme-tsv"
"""The only layout of UDPOS with XTREME's words."""

_ROWS = {"xnli": 5_010, "pawsx": 2_000}
"""Rows of a test file, in every language."""


class Row(NamedTuple):
    """One prediction, in the form of prediction files (see `xstilts.metrics.scoring`).

    That of BUCC is `{"id": English id, ...}`, or None for a sentence without translation.
    """

    id: str
    prediction: Any
    english: str = ""
    """Tatoeba's English sentence."""


def file_name(task: str, language: str) -> str:
    """Path in the submission's folder."""
    return f"{task}/test-{language}.{'json' if _WRITERS[task] is _answers else 'tsv'}"


def content(task: str, rows: Sequence[Row]) -> str:
    """What the file of one task and language holds; ASCII, as XTREME reads files in the encoding of its machine.

    Rows are in upstream's order. Raises UserError for a question without an id of its own.
    """
    return _WRITERS[task](rows)


class Origin(NamedTuple):
    """Where the predictions of one language come from."""

    rows: int
    layout: str
    """Of the split, as it was imported."""


def shortcomings(task: str, found: Mapping[str, Origin]) -> list[str]:
    """Why XTREME would not score the task, or not rightly: a sentence each. `found` is by language."""
    expected = registry.get(task).spec.languages
    if not found:
        return [f"{task}: no predictions, so XTREME has no score over all tasks"]
    complaints = []
    if missing := [language for language in expected if language not in found]:
        complaints.append(f"{task}: {', '.join(missing)} missing; XTREME's evaluate.py ends with FileNotFoundError")
    rows = _ROWS.get(task)
    if short := [f"{language} {count:,}" for language, (count, _) in found.items() if rows and count != rows]:
        complaints.append(f"{task}: XTREME has {rows:,} rows in each language, this has {', '.join(short)}")
    if task == "udpos" and (other := sorted({layout for _, layout in found.values() if layout != FUSED_LAYOUT})):
        complaints.append(
            f"udpos: imported as {', '.join(other)}, with syntactic words; XTREME joins those that are written as one,"
            " so lines differ in number. Import its own files, with their tags, as test-<language>.tsv"
        )
    return complaints


def _labels(rows: Sequence[Row]) -> str:
    return "".join(f"{row.prediction}\n" for row in rows)


def _tags(rows: Sequence[Row]) -> str:
    return "".join("".join(f"{tag}\n" for tag in row.prediction) + "\n" for row in rows)


def _answers(rows: Sequence[Row]) -> str:
    texts = {row.id: row.prediction for row in rows}
    if "" in texts or len(texts) != len(rows):
        raise UserError(
            "XTREME finds answers by the ids of their questions, but some question has none, or one that stands twice;"
            " import the data as published"
        )
    return json.dumps(texts, indent=1) + "\n"


def _pairs(rows: Sequence[Row]) -> str:
    return "".join(f"{row.id}\t{row.prediction['id']}\n" for row in rows if row.prediction is not None)


def _translations(rows: Sequence[Row]) -> str:
    return _labels(sorted(rows, key=lambda row: row.english.strip()))


_WRITERS: dict[str, Callable[[Sequence[Row]], str]] = {
    "xnli": _labels,
    "pawsx": _labels,
    "udpos": _tags,
    "panx": _tags,
    "xquad": _answers,
    "mlqa": _answers,
    "tydiqa": _answers,
    "bucc2018": _pairs,
    "tatoeba": _translations,
}

TASKS = tuple(_WRITERS)
"""XTREME's nine, by the names of its folders, which are our tasks' names."""
