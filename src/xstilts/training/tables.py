"""Tokenized data sets on disk: Arrow files, memory-mapped, that all sizes and seeds of a task share.

A table is a folder: `rows.arrow` has record batches of BLOCK rows, `table.json` what a head must know before the first
row. Rows hold labels as words, so that every head reads them with its own numbers. Neither writing nor reading ever
holds more than a block of rows as Python objects; what was mapped is the system's to drop.
"""

import json
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from itertools import islice, pairwise
from pathlib import Path
from typing import Any, Literal, NamedTuple, Protocol, Self

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from xstilts.api.base import Model
from xstilts.tasks.examples import Example, SpanExtraction
from xstilts.tasks.gold import gold
from xstilts.training.batches import Feature
from xstilts.training.heads import Lengths
from xstilts.training.tokenizer import Tokenizer

ROWS, DOCUMENT = "rows.arrow", "table.json"
BLOCK = 1024
SCHEMA = pa.schema(
    [("sequences", pa.list_(pa.list_(pa.int32()))), ("target", pa.large_string()), ("gold", pa.large_string())]
)

Ids = npt.NDArray[np.int32]
Rows = npt.NDArray[np.int64]


class TableFacts(Model):
    """`table.json`."""

    format: Literal[1] = 1
    rows: int
    labels: dict[str, tuple[str, ...]]
    """Label sets by what they label, sorted."""
    null_answers: bool
    """Whether there are questions without an answer."""


class Encoding(Protocol):
    """A kind of head, as far as it is known before there is a model."""

    def features(self, tokenizer: Tokenizer, examples: Sequence[Any], lengths: Lengths) -> list[Feature]: ...

    def labels(self, examples: Sequence[Any]) -> dict[str, set[str]]: ...


def write_table(
    folder: Path, examples: Iterable[Any], *, encoding: Encoding, tokenizer: Tokenizer, lengths: Lengths
) -> None:
    """Tokenizes the examples, in order; the folder must exist."""
    rows, labels, null_answers = 0, dict[str, set[str]](), False
    with pa.OSFile(str(folder / ROWS), "wb") as sink, pa.ipc.new_file(sink, SCHEMA) as writer:
        stream = iter(examples)
        while chunk := list(islice(stream, BLOCK)):
            writer.write_batch(_block(chunk, encoding.features(tokenizer, chunk, lengths)))
            rows += len(chunk)
            null_answers |= any(isinstance(e, SpanExtraction) and not e.answers for e in chunk)
            for name, found in encoding.labels(chunk).items():
                labels.setdefault(name, set()).update(found)
    facts = TableFacts(
        rows=rows,
        labels={name: tuple(sorted(found)) for name, found in labels.items()},
        null_answers=null_answers,
    )
    (folder / DOCUMENT).write_text(facts.model_dump_json(indent=2) + "\n")


def _block(examples: Sequence[Example], features: Sequence[Feature]) -> pa.RecordBatch:
    columns = (
        [feature.sequences for feature in features],
        [json.dumps(feature.target, ensure_ascii=False) for feature in features],
        [json.dumps(gold(example), ensure_ascii=False) for example in examples],
    )
    return pa.record_batch(
        [pa.array(column, field.type) for column, field in zip(columns, SCHEMA, strict=True)], schema=SCHEMA
    )


class _Block(NamedTuple):
    """Views of a record batch: sequence s of all has the ids from `ends[s]` to `ends[s + 1]`."""

    begins: Ids
    ends: Ids
    ids: Ids
    targets: Any
    golds: Any

    def sequences(self, row: int) -> tuple[Ids, ...]:
        first, last = self.begins[row : row + 2].tolist()
        ends = self.ends[first : last + 1].tolist()
        return tuple(self.ids[begin:end] for begin, end in pairwise(ends))


class TokenTable:
    """Rows of a table on disk, or some of them, by number."""

    def __init__(self, reader: Any, facts: TableFacts, rows: Rows | None = None) -> None:
        self.facts = facts
        self._reader, self._rows = reader, rows
        self._block = lru_cache(maxsize=None)(self._opened)

    @classmethod
    def open(cls, folder: Path) -> Self:
        """What `write_table` wrote."""
        facts = TableFacts.model_validate_json((folder / DOCUMENT).read_text())
        return cls(pa.ipc.open_file(pa.memory_map(str(folder / ROWS))), facts)

    def select(self, rows: Sequence[int] | Rows) -> "TokenTable":
        """Those rows, in that order."""
        chosen = np.asarray(rows, dtype=np.int64)
        return TokenTable(self._reader, self.facts, chosen if self._rows is None else self._rows[chosen])

    def __len__(self) -> int:
        return self.facts.rows if self._rows is None else len(self._rows)

    def __getitem__(self, row: int) -> Feature:
        """Its target is a document with labels as words: see `Head.target`."""
        block, place = self._place(row)
        return Feature(block.sequences(place), json.loads(block.targets[place].as_py()))

    def __iter__(self) -> Iterator[Feature]:
        return (self[row] for row in range(len(self)))

    def gold(self, row: int) -> Any:
        block, place = self._place(row)
        return json.loads(block.golds[place].as_py())

    def mark(self, occurs: npt.NDArray[np.bool_]) -> None:
        """Sets `occurs[id]` for every token id of the rows."""
        if self._rows is None:
            for number in range(self._reader.num_record_batches):
                occurs[self._block(number).ids] = True
        else:
            for row in range(len(self)):
                block, place = self._place(row)
                for sequence in block.sequences(place):
                    occurs[sequence] = True

    def _place(self, row: int) -> tuple[_Block, int]:
        if not 0 <= row < len(self):
            raise IndexError(row)
        number, place = divmod(row if self._rows is None else int(self._rows[row]), BLOCK)
        return self._block(number), place

    def _opened(self, number: int) -> _Block:
        sequences, targets, golds = self._reader.get_batch(number).columns
        inner = sequences.values
        return _Block(sequences.offsets.to_numpy(), inner.offsets.to_numpy(), inner.values.to_numpy(), targets, golds)
