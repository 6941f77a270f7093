"""Opening upstream files: lines, tables, JSON and Parquet as `Row`s that can name their place when they are bad.

Row functions of the tasks sit on top. Text is UTF-8 with or without a byte order mark, with LF or CRLF line ends, and
otherwise left as it is: no Unicode normalisation, no stripping.
"""

import csv
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

from xstilts.core.errors import UserError

BATCH_ROWS = 1024
"""Rows of a Parquet file that are decoded at once: bounds memory, whatever the size of its row groups."""


@dataclass(frozen=True, slots=True)
class Row:
    """One record of an upstream file and where it stands."""

    path: Path
    place: str
    """Such as `line 7`."""
    values: Mapping[str, Any]

    def error(self, field: str, expected: str) -> UserError:
        """What is wrong with `field`: to be raised by the caller."""
        found = f"is {self.values[field]!r}" if field in self.values else "is missing"
        return UserError(f"{self.path}, {self.place}: {field} {found}; expected {expected}")

    def text(self, field: str) -> str:
        """A string, which may be empty."""
        value = self.values.get(field)
        if not isinstance(value, str):
            raise self.error(field, "text")
        return value

    def integer(self, field: str) -> int:
        """A whole number, written as one or as text."""
        value = self.values.get(field)
        if isinstance(value, bool) or not isinstance(value, int | str):
            raise self.error(field, "a whole number")
        try:
            return int(value)
        except ValueError:
            raise self.error(field, "a whole number") from None

    def items(self, field: str) -> list[Any]:
        """A JSON list."""
        value = self.values.get(field)
        if not isinstance(value, list):
            raise self.error(field, "a list")
        return value

    def label(self, field: str, words: Mapping[Any, str]) -> str:
        """The label word for what upstream writes; empty where upstream leaves the label out, as in test files."""
        value = self.values.get(field, "")
        if value in ("", None):
            return ""
        if value not in words:
            raise self.error(field, f"one of {', '.join(map(str, words))}")
        return words[value]

    def index(self, field: str, count: int) -> int:
        """The index of the right choice among `count`; -1 where upstream leaves it out."""
        if self.values.get(field, "") in ("", None):
            return -1
        index = self.integer(field)
        if not 0 <= index < count:
            raise self.error(field, f"a choice from 0 to {count - 1}")
        return index


def lines(path: Path) -> Iterator[tuple[int, str]]:
    """Numbered lines without their ends; only a line feed ends a line, so that U+2028 and the like stay text."""
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            try:
                text = line.decode("utf-8-sig" if number == 1 else "utf-8")
            except UnicodeDecodeError as error:
                raise UserError(
                    f"{path}, line {number}: byte {error.start} is not UTF-8; save the file as UTF-8"
                ) from error
            yield number, text.removesuffix("\n").removesuffix("\r")


def blocks(path: Path) -> Iterator[list[tuple[int, str]]]:
    """Runs of numbered lines between empty lines: the sentences of CoNLL-like files."""
    block: list[tuple[int, str]] = []
    for number, line in lines(path):
        if line.strip(" \t"):
            block.append((number, line))
        elif block:
            yield block
            block = []
    if block:
        yield block


def table(path: Path, columns: Sequence[str], *, skip_short: bool = False) -> Iterator[Row]:
    """Rows of a tab-separated file with a header that names at least `columns`; quotes are ordinary characters."""
    rows = lines(path)
    header = next(rows, (1, ""))[1].split("\t")
    missing = [column for column in columns if column not in header]
    if missing:
        raise UserError(
            f"{path}, line 1: header {' '.join(header)[:200]!r} lacks {', '.join(missing)};"
            f" expected tab-separated columns with a header"
        )
    for number, line in rows:
        fields = line.split("\t")
        if len(fields) == len(header):
            yield Row(path, f"line {number}", dict(zip(header, fields, strict=True)))
        elif not skip_short and line:
            raise _wrong_width(path, number, line, f"{len(header)} columns as in the header")


def headless_table(path: Path, columns: Sequence[str]) -> Iterator[Row]:
    """Rows of a tab-separated file without header; the last column, the label, is absent in XTREME's test files."""
    for number, line in lines(path):
        fields = line.split("\t")
        if not line:
            continue
        if len(fields) not in (len(columns) - 1, len(columns)):
            raise _wrong_width(path, number, line, f"{len(columns)} columns: {', '.join(columns)}")
        yield Row(path, f"line {number}", dict(zip(columns, fields, strict=False)))


def _wrong_width(path: Path, number: int, line: str, expected: str) -> UserError:
    found = len(line.split("\t"))
    return UserError(f"{path}, line {number}: {found} tab-separated fields in {line[:80]!r}; expected {expected}")


def csv_table(path: Path, columns: Sequence[str]) -> Iterator[Row]:
    """Rows of an RFC 4180 file with a header: quoted fields may hold commas, quotes and line ends."""
    with path.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.DictReader(file, strict=True)
        missing = [column for column in columns if column not in (reader.fieldnames or ())]
        if missing:
            raise UserError(f"{path}, line 1: header lacks {', '.join(missing)}")
        try:
            for values in reader:
                yield Row(path, f"line {reader.line_num}", values)
        except (csv.Error, UnicodeDecodeError) as error:
            raise UserError(f"{path}, line {reader.line_num}: no comma-separated UTF-8 text: {error}") from error


def parquet(path: Path, columns: Sequence[str]) -> Iterator[Row]:
    """Rows of a Parquet file, as the hub holds them, of which `columns` are read; one batch in memory at a time."""
    import pyarrow
    from pyarrow.parquet import ParquetFile

    try:
        with ParquetFile(path) as file:
            missing = [column for column in columns if column not in file.schema_arrow.names]
            if missing:
                there = ", ".join(file.schema_arrow.names)
                raise UserError(f"{path}: lacks the columns {', '.join(missing)}; it has {there}")
            batches = file.iter_batches(BATCH_ROWS, columns=list(columns))
            for number, values in enumerate(chain.from_iterable(batch.to_pylist() for batch in batches), 1):
                yield Row(path, f"row {number}", values)
    except (pyarrow.ArrowException, OSError) as error:
        raise UserError(f"{path}: not readable as Parquet: {error}") from error


def parquet_classes(path: Path, column: str) -> dict[int, str]:
    """What the integers of a column stand for: the hub writes it into the metadata of each file."""
    from pyarrow.parquet import read_schema

    metadata = read_schema(path).metadata or {}
    try:
        names = json.loads(metadata[b"huggingface"])["info"]["features"][column]["names"]
    except (KeyError, ValueError) as error:
        raise UserError(
            f"{path}: its metadata does not name the classes of {column}; take the files of upstream instead"
        ) from error
    return dict(enumerate(names))


def json_lines(path: Path) -> Iterator[Row]:
    """One JSON object a line."""
    for number, line in lines(path):
        if line.strip():
            yield Row(path, f"line {number}", _json_object(path, line, f"line {number}"))


def json_document(path: Path) -> Row:
    """A file that is one JSON object."""
    text = "\n".join(line for _, line in lines(path))
    return Row(path, "top level", _json_object(path, text, "top level"))


def json_list(path: Path) -> Iterator[Row]:
    """A file that is one JSON list of objects."""
    values = _json(path, "\n".join(line for _, line in lines(path)), "top level")
    if not isinstance(values, list):
        raise UserError(f"{path}, top level: expected a JSON list of objects")
    for number, value in enumerate(values, 1):
        if not isinstance(value, dict):
            raise UserError(f"{path}, item {number}: {str(value)[:80]!r} is not a JSON object")
        yield Row(path, f"item {number}", value)


def _json_object(path: Path, text: str, place: str) -> dict[str, Any]:
    value = _json(path, text, place)
    if not isinstance(value, dict):
        raise UserError(f"{path}, {place}: {text[:80]!r} is not a JSON object")
    return value


def _json(path: Path, text: str, place: str) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise UserError(f"{path}, {place}: not JSON: {error}") from error
