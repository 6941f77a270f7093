"""Opening upstream files: lines, tables, JSON and Parquet as `Row`s that can name their place when they are bad.

Row functions of the tasks sit on top. Text is UTF-8 with or without a byte order mark, with LF or CRLF line ends, and
otherwise left as it is: no Unicode normalisation, no stripping. What no UTF-8 text can hold (half a surrogate pair) or
what only another encoding leaves behind (NUL) is refused, as is whatever a parser would drop without a word: a key or a
column that is given twice, and fields beyond the header.
"""

import csv
import json
import logging
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any, BinaryIO

from xstilts.core.errors import UserError

log = logging.getLogger(__name__)

BATCH_ROWS = 1024
"""Rows of a Parquet file that are decoded at once: bounds memory, whatever the size of its row groups."""

_LONGEST_SHOWN = 300
_WHOLE_NUMBER = re.compile(r"-?[0-9]{1,18}")
_SURROGATE = re.compile("[\ud800-\udfff]")
_SURROGATE_ESCAPE = re.compile(r"\\u[dD][89a-fA-F]")


@dataclass(frozen=True, slots=True)
class Row:
    """One record of an upstream file and where it stands."""

    path: Path
    place: str
    """Such as `line 7`."""
    values: Mapping[str, Any]

    def error(self, field: str, expected: str) -> UserError:
        """What is wrong with `field`: to be raised by the caller."""
        found = "is missing"
        if field in self.values:
            shown = repr(self.values[field])
            found = f"is {shown if len(shown) <= _LONGEST_SHOWN else f'{shown[:_LONGEST_SHOWN]}...'}"
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
        if isinstance(value, int) and not isinstance(value, bool):
            return value
        if not isinstance(value, str) or not _WHOLE_NUMBER.fullmatch(value):
            raise self.error(field, "a whole number")
        return int(value)

    def items(self, field: str) -> list[Any]:
        """A JSON list."""
        value = self.values.get(field)
        if not isinstance(value, list):
            raise self.error(field, "a list")
        return value

    def texts(self, field: str) -> list[str]:
        """A JSON list of strings."""
        values = self.items(field)
        if not all(isinstance(value, str) for value in values):
            raise self.error(field, "a list of texts")
        return values

    def json(self, field: str) -> Any:
        """What a text holds in JSON."""
        return _json(self.path, self.text(field), f"{self.place}, {field}")

    def label(self, field: str, words: Mapping[Any, str]) -> str:
        """The label word for what upstream writes; empty where upstream leaves the label out, as in test files."""
        value = self.values.get(field, "")
        if value is None or value == "":
            return ""
        if isinstance(value, bool) or not isinstance(value, int | str) or value not in words:  # True equals 1
            raise self.error(field, f"one of {', '.join(map(str, words))}")
        return words[value]

    def index(self, field: str, count: int) -> int:
        """The index of the right choice among `count`; -1 where upstream leaves it out."""
        value = self.values.get(field, "")
        if value is None or value == "":
            return -1
        index = self.integer(field)
        if not 0 <= index < count:
            raise self.error(field, f"a choice from 0 to {count - 1}")
        return index


def lines(path: Path) -> Iterator[tuple[int, str]]:
    """Numbered lines without their ends; only a line feed ends a line, so that U+2028 and the like stay text."""
    return ((number, line.removesuffix("\n").removesuffix("\r")) for number, line in enumerate(_decoded(path), 1))


def _decoded(path: Path) -> Iterator[str]:
    """Lines with their ends. Raises UserError for what is no UTF-8, and for NUL, which UTF-16 and UTF-32 leave."""
    with _opened(path) as file:
        for number, line in enumerate(file, 1):
            try:
                text = line.decode("utf-8-sig" if number == 1 else "utf-8")
            except UnicodeDecodeError as error:
                raise UserError(
                    f"{path}, line {number}: byte {error.start} is not UTF-8; save the file as UTF-8"
                ) from error
            if "\0" in text:
                raise UserError(f"{path}, line {number}: holds NUL, as UTF-16 does; save the file as UTF-8")
            yield text


@contextmanager
def _opened(path: Path) -> Iterator[BinaryIO]:
    """A file, whose errors of reading name it, as Python's do not."""
    try:
        with path.open("rb") as file:
            yield file
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror}") from error


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
    rows, short = lines(path), list[int]()
    header = next(rows, (1, ""))[1].split("\t")
    _check_header(path, header, columns, expected="tab-separated columns with a header")
    for number, line in rows:
        fields = line.split("\t")
        if len(fields) == len(header):
            yield Row(path, f"line {number}", dict(zip(header, fields, strict=True)))
        elif skip_short:
            short.append(number)
        elif line:
            raise _wrong_width(path, number, line, f"{len(header)} columns as in the header")
    if short:
        log.warning(
            "%s: left out %d lines that have not the %d columns of the header, the first of them line %d",
            path, len(short), len(header), short[0],
        )  # fmt: skip


def headless_table(path: Path, columns: Sequence[str]) -> Iterator[Row]:
    """Rows of a tab-separated file without header; the last column, the label, is absent in XTREME's test files."""
    for number, line in lines(path):
        fields = line.split("\t")
        if not line:
            continue
        if len(fields) not in (len(columns) - 1, len(columns)):
            raise _wrong_width(path, number, line, f"{len(columns)} columns: {', '.join(columns)}")
        yield Row(path, f"line {number}", dict(zip(columns, fields, strict=False)))


def _check_header(path: Path, header: Sequence[str], columns: Sequence[str], *, expected: str) -> None:
    missing = [column for column in columns if column not in header]
    if missing:
        shown = " ".join(header)[:200]
        raise UserError(f"{path}, line 1: header {shown!r} lacks {', '.join(missing)}; expected {expected}")
    if twice := [column for column in columns if header.count(column) > 1]:
        raise UserError(f"{path}, line 1: the header has {', '.join(twice)} twice; keep one of the two columns")


def _wrong_width(path: Path, number: int, line: str, expected: str) -> UserError:
    found = len(line.split("\t"))
    return UserError(f"{path}, line {number}: {found} tab-separated fields in {line[:80]!r}; expected {expected}")


def csv_table(path: Path, columns: Sequence[str]) -> Iterator[Row]:
    """Rows of an RFC 4180 file with a header: quoted fields may hold commas, quotes and line ends."""
    reader = csv.reader(_decoded(path), strict=True)
    try:
        header = next(reader, [])
        _check_header(path, header, columns, expected="comma-separated columns with a header")
        for fields in reader:
            if len(fields) == len(header):
                yield Row(path, f"line {reader.line_num}", dict(zip(header, fields, strict=True)))
            elif fields:
                raise UserError(
                    f"{path}, line {reader.line_num}: {len(fields)} comma-separated fields;"
                    f" expected {len(header)} columns as in the header"
                )
    except csv.Error as error:
        raise UserError(f"{path}, line {reader.line_num}: invalid comma-separated text: {error}") from error


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
    except (pyarrow.ArrowException, OSError, UnicodeDecodeError) as error:
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
        value = json.loads(text, object_pairs_hook=_object)
    except RecursionError:
        raise UserError(f"{path}, {place}: brackets are nested too deeply for any known format") from None
    except ValueError as error:  # also of numbers with thousands of digits, and of keys that are given twice
        raise UserError(f"{path}, {place}: not JSON: {error}") from error
    if _SURROGATE_ESCAPE.search(text) and (halves := next(_half_surrogates(value), None)):
        where, found = halves
        raise UserError(
            f"{path}, {place}{where}: {found!r} holds half of a surrogate pair, which no UTF-8 text can;"
            " write the whole character, or remove the half"
        )
    return value


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(pairs)
    if len(values) < len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise ValueError(f"key {twice[:80]!r} is given twice in one object")
    return values


def _half_surrogates(value: Any, where: str = "") -> Iterator[tuple[str, str]]:
    """Path and surroundings of each text that no UTF-8 can hold."""
    match value:
        case str():
            if half := _SURROGATE.search(value):
                yield where, value[max(half.start() - 20, 0) : half.end() + 20]
        case dict():
            for key, inner in value.items():
                yield from _half_surrogates(key, where)
                yield from _half_surrogates(inner, f"{where}.{key}" if where else f", {key}")
        case list():
            for number, inner in enumerate(value):
                yield from _half_surrogates(inner, f"{where}[{number}]")
