"""Every head learns 64 real training examples by heart: what a label that is shifted by a word would forbid.

The files are those of `XSTILTS_DATA` (see test_real_formats). What is trained and saved is scored by a prediction of its
own, as an evaluation stage does it.
"""

import os
from collections.abc import Callable, Sequence
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import pytest

from training_rows import settings
from xstilts.api.training import ParserSettings
from xstilts.core.catalogue import TaskKind
from xstilts.metrics import score
from xstilts.tasks import datasets, registry
from xstilts.tasks.examples import (
    Classification,
    Example,
    IntentAndSlots,
    MultipleChoice,
    SemanticParse,
    SpanExtraction,
    Tagging,
)
from xstilts.training import Budget, TaskData, fit, init_model, predict
from xstilts.training.heads import HEADS, Lengths
from xstilts.training.tables import TokenTable, write_table
from xstilts.training.tokenizer import Tokenizer

ROOT = Path(os.environ.get("XSTILTS_DATA", Path(__file__).parents[2] / "../shared/data"))
ROWS = 64

pytestmark = pytest.mark.skipif(
    not ROOT.is_dir(), reason=f"no real data under {ROOT}: set XSTILTS_DATA to the folder with the upstream samples"
)


class Case(NamedTuple):
    dataset: str
    folder: str
    kind: TaskKind
    metric: str
    split: str = "train:en"
    files: dict[str, str] | None = None
    wanted: Callable[[Example], bool] = lambda _: True
    max_length: int = 64
    batch_size: int = 16
    steps: int = 200
    learning_rate: str = "0.002"

    def __str__(self) -> str:
        return f"{self.kind} on {self.dataset}"


def short(*, longest: int) -> Callable[[Example], bool]:
    """Whether an example, as characters, is of a length that a tiny encoder reads in no time.

    An answer that ends within a word is no sequence of tokens, so nothing could say it.
    """

    def wanted(example: Example) -> bool:
        whole = not isinstance(example, SpanExtraction) or all(
            not example.context[answer.start + len(answer.text) :][:1].isalnum() for answer in example.answers
        )
        return whole and sum(len(part) for part in texts(example)) <= longest

    return wanted


def texts(example: Example) -> Sequence[str]:
    match example:
        case Classification():
            return example.first, example.second
        case Tagging() | IntentAndSlots() | SemanticParse():
            return example.words
        case MultipleChoice():
            return example.prompt, *example.choices
        case SpanExtraction():
            return example.question, example.context
    raise TypeError(example)


CASES = [
    Case(
        "pawsx",
        "pawsx/xtreme_format",
        TaskKind.CLASSIFICATION,
        "accuracy",
        files={"train:en": "dev-en.rows1-1600.tsv"},
    ),
    Case("udpos", "ud", TaskKind.TAGGING, "f1"),
    Case("uner", "uner", TaskKind.TAGGING, "f1", split="dev:en", wanted=lambda e: set(e.tags) > {"O"}),
    Case(
        "squad_v1",
        "squad_v1.1",
        TaskKind.SPAN_EXTRACTION,
        "f1",
        wanted=short(longest=400),
        max_length=256,
        batch_size=8,
        steps=500,
    ),
    Case(  # each context in several windows
        "squad_v2",
        "squad_v2.0",
        TaskKind.SPAN_EXTRACTION,
        "f1",
        files={"train:en": "dev-v2.0.train-part.json", "dev:en": "dev-v2.0.dev-part.json"},
        wanted=short(longest=700),
    ),
    Case("xsid", "xsid", TaskKind.INTENT_AND_SLOTS, "exact_match"),
    Case(
        "mtop",
        "mtop_xsemplr",
        TaskKind.SEMANTIC_PARSING,
        "exact_match",
        files={"train:en": "dev.json"},
        wanted=lambda e: len(e.parse) > 4,  # not an intent alone
        steps=800,
        learning_rate="0.002",
    ),
    Case("xnli", "noncommercial/xnli/xtreme_format", TaskKind.CLASSIFICATION, "accuracy", split="dev:en"),
    Case("commonsenseqa", "commonsenseqa", TaskKind.MULTIPLE_CHOICE, "accuracy"),
    Case("hellaswag", "hellaswag", TaskKind.MULTIPLE_CHOICE, "accuracy", wanted=short(longest=500)),
    Case("cosmosqa", "cosmosqa", TaskKind.MULTIPLE_CHOICE, "accuracy", split="dev:en", wanted=short(longest=500)),
]


def examples(case: Case) -> list[Example]:
    manifest = datasets.scan(case.dataset, ROOT / case.folder, case.files)
    (split,) = (split for split in manifest.splits if f"{split.split}:{split.language}" == case.split)
    rows = datasets.read_split(split, [ROOT / case.folder / file.path for file in split.files])
    return list(islice((row for row in rows if case.wanted(row)), ROWS))


@pytest.mark.parametrize("case", CASES, ids=str)
def test_head_learns_real_rows_by_heart(case: Case, tmp_path: Path) -> None:
    rows = examples(case)
    assert len(rows) == ROWS
    encoder = tmp_path / "encoder"
    init_model(
        [text for row in rows for text in texts(row)],
        encoder,
        vocab_size=1000,
        hidden_size=64,
        max_length=case.max_length,
    )
    (tmp_path / "table").mkdir()
    write_table(
        tmp_path / "table",
        rows,
        encoding=HEADS[case.kind],
        tokenizer=Tokenizer.load(encoder),
        lengths=Lengths(max_length=case.max_length, doc_stride=16),
    )
    table = TokenTable.open(tmp_path / "table")
    learning = settings(
        learning_rate=case.learning_rate,
        batch_size=case.batch_size,
        max_length=case.max_length,
        dropout="0",
        parser=ParserSettings(decoder_layers=1),
        evaluate_every_steps=case.steps,
    )
    result = fit(
        encoder=encoder,
        tasks=[TaskData(name=case.dataset, kind=case.kind, metric=case.metric, train=table, dev=table.select([]))],
        budget=Budget(steps=case.steps),
        seed=0,
        settings=learning,
        workdir=tmp_path / "run",
    )
    answered = predict(
        checkpoint=result.checkpoints["last"].folder, task=case.dataset, examples={"en": rows}, settings=learning
    )["en"]
    rules = registry.get(case.dataset).rules
    scores = score(case.kind, [row.gold for row in answered], [row.prediction for row in answered], rules=rules)
    assert scores[case.metric] >= 99
