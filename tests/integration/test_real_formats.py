"""Every reader on real files of upstream, as they are published.

The files are found by `XSTILTS_DATA` and belong to no repository; its README lists their numbers of rows.
"""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from xstilts.tasks import datasets, registry
from xstilts.tasks.examples import IntentAndSlots, SemanticParse, SpanExtraction, Tagging
from xstilts.tasks.gold import gold, is_labelled

ROOT = Path(os.environ.get("XSTILTS_DATA", Path(__file__).parents[2] / "../shared/data"))

pytestmark = pytest.mark.skipif(
    not ROOT.is_dir(), reason=f"no real data under {ROOT}: set XSTILTS_DATA to the folder with the upstream samples"
)


class Sample(NamedTuple):
    """A folder of upstream files and the rows that each split must have."""

    dataset: str
    folder: str
    rows: dict[str, int]
    files: dict[str, str] | None = None

    def __str__(self) -> str:
        return f"{self.dataset} in {self.folder}"


def per_language(split: str, languages: str, rows: int) -> dict[str, int]:
    return {f"{split}:{language}": rows for language in languages.split()}


XNLI = "ar bg de el en es fr hi ru sw th tr ur vi zh"
PAWSX = "de en es fr ja ko zh"
MTOP = "de en es fr hi th"

SAMPLES = [
    Sample("mnli", "mnli_glue_fixture", {"train:en": 1, "dev:en": 1, "dev_mismatched:en": 1}),
    Sample("mnli", "_fixtures/glue_mnli", {"train:en": 3, "dev:en": 2, "dev_mismatched:en": 2}),
    Sample("mnli", "noncommercial/xnli/_fixtures/XNLI-MT-1.0", per_language("train", XNLI, 4)),
    Sample(
        "xnli",
        "noncommercial/xnli/xtreme_format",
        {**per_language("dev", "ar de en es hi sw th ur zh", 300), "train:en": 2_100},
        {"train:en": "dev-en.rows1-2100.tsv"},
    ),
    Sample(
        "xnli",
        "noncommercial/xnli/_fixtures/XNLI-1.0",
        {**per_language("dev", XNLI, 1), **per_language("test", XNLI, 1)},
    ),
    Sample("anli", "noncommercial/anli/_fixtures", {"train:en": 9, "dev:en": 9, "test:en": 9}),
    Sample(
        "americasnli",
        "americasnli",
        {**per_language("dev", "aym gn nah quy", 300), **per_language("test", "aym gn nah quy", 300)},
    ),
    Sample(
        "pawsx",
        "pawsx",
        {**per_language("dev", PAWSX, 300), **per_language("test", "de zh", 300), "train:en": 1_600},
        {"train:en": "xtreme_format/dev-en.rows1-1600.tsv", "dev:zh": "xtreme_format/dev-zh.tsv"},
    ),
    Sample(
        "pawsx",
        "_fixtures/paws-x",
        {f"{split}:{language}": 4 for split in ("train", "dev", "test") for language in PAWSX.split()},
    ),
    Sample("squad_v1", "squad_v1.1", {"train:en": 4_370, "dev:en": 661}),
    Sample(
        "squad_v2",
        "squad_v2.0",
        {"train:en": 3_041, "dev:en": 624},
        {"train:en": "dev-v2.0.train-part.json", "dev:en": "dev-v2.0.dev-part.json"},
    ),
    Sample("squad_v2", "_fixtures/squad_v2", {"train:en": 2, "dev:en": 2}),
    Sample("xquad", "xquad", per_language("test", "ar de en es hi ru th tr zh", 250)),
    Sample("mlqa", "mlqa", {**per_language("dev", "ar de en es vi zh", 250), "dev:hi": 251}),
    Sample("tydiqa", "tydiqa", {"train:en": 3_696, "dev:bn": 113, **per_language("dev", "ar en fi ko ru sw te", 250)}),
    Sample("tydiqa", "_fixtures/tydiqa_goldp", {"train:fi": 2, "dev:ar": 1}),
    Sample("hellaswag", "hellaswag", {"train:en": 3_368, "dev:en": 1_000}),
    Sample("hellaswag", "_fixtures/hellaswag", {"train:en": 2, "dev:en": 2}),
    Sample("cosmosqa", "cosmosqa", {"dev:en": 2_985}),
    Sample("cosmosqa", "_fixtures/cosmosqa", {"train:en": 2, "dev:en": 2}),
    Sample("commonsenseqa", "commonsenseqa", {"train:en": 5_000, "dev:en": 1_221}),
    Sample(
        "udpos",
        "ud",
        {
            "train:en": 4_002,
            "dev:en": 500,
            "test:en": 300,
            "dev:zh": 250,
            **per_language("test", "ar de es hi yo zh", 250),
        },
    ),
    Sample(
        "udpos",
        "_fixtures/ud_crlf",
        {f"{split}:{language}": 1 for split in ("train", "dev", "test") for language in ("de", "en", "hi")},
    ),
    Sample("uner", "uner", {"dev:en": 2_001, "test:en": 1_500, **per_language("test", "de pt ru zh", 300)}),
    Sample(
        "xsid",
        "xsid",
        {
            "train:en": 4_178,
            "dev:en": 300,
            "test:en": 500,
            "test:ja": 250,
            **per_language("test", "ar da de gsw id it kk sr tr zh", 300),
        },
    ),
    Sample(
        "fb_tod",
        "fb_multilingual_tod",
        {
            "test:en": 4_000,
            "dev:en": 500,
            **per_language("test", "es th", 300),
            **per_language("dev", "es th", 100),
            **per_language("train", "es th", 100),
        },
    ),
    Sample("mtop", "mtop_xsemplr", {**per_language("dev", MTOP, 859), **per_language("test", MTOP, 1_237)}),
    Sample("tatoeba", "tatoeba", {**per_language("test", "ar de es hi ka sw th tr zh", 300), "test:jv": 205}),
]


@pytest.fixture(params=SAMPLES, ids=str)
def sample(request) -> Sample:
    return request.param


@pytest.fixture
def manifest(sample):
    return datasets.scan(sample.dataset, ROOT / sample.folder, sample.files)


def examples(sample, manifest) -> Iterator:
    for split in manifest.splits:
        yield from datasets.read_split(split, [ROOT / sample.folder / file.path for file in split.files])


def test_every_row_is_read_and_counted(sample, manifest):
    assert {f"{split.split}:{split.language}": split.rows for split in manifest.splits} == sample.rows


def test_every_example_is_sound(sample, manifest):
    tasks = [
        task for task in registry.tasks().values() if sample.dataset in {s.dataset for s in task.spec.published_rows}
    ]
    for example in examples(sample, manifest):
        assert is_labelled(example)
        match example:
            case SpanExtraction():
                for answer in example.answers:
                    assert example.context[answer.start : answer.start + len(answer.text)] == answer.text
            case Tagging():
                assert len(example.words) == len(example.tags) > 0
                assert all(word.strip() for word in example.words)
            case IntentAndSlots():  # two Chinese sentences of xSID have an empty word
                assert len(example.words) == len(example.slots) > 0
                assert sample.dataset == "xsid" or all(word.strip() for word in example.words)
            case SemanticParse():
                labels = [token for token in example.parse if isinstance(token, str)]
                assert all(label == "]" or label.startswith("[") for label in labels), "every leaf is a word"
        assert all(task.stratum(example) for task in tasks)


def test_ids_are_unique_within_a_split(sample, manifest):
    for split in manifest.splits:
        rows = datasets.read_split(split, [ROOT / sample.folder / file.path for file in split.files])
        ids = [example.id for example in rows if example.id]
        assert len(set(ids)) == len(ids)


def test_every_tree_of_mtop_comes_back_from_its_pointers():
    sample = next(sample for sample in SAMPLES if sample.dataset == "mtop")
    for split in datasets.scan(sample.dataset, ROOT / sample.folder).splits:
        path = ROOT / sample.folder / split.files[0].path
        trees = [row["mr"]["slot_intent"][split.language] for row in json.loads(path.read_text(encoding="utf-8"))]
        assert [gold(example) for example in datasets.read_split(split, [path])] == [
            " ".join(tree.split()) for tree in trees
        ]


def test_mtops_english_rows_can_be_trained_on_and_tested_in_all_languages_without_a_common_id():
    root = ROOT / "mtop_xsemplr"
    manifest = datasets.scan("mtop", root, {"train:en": "dev.json", "dev:en": "test.json"})
    ids = {}
    for split, language in (("train", "en"), ("test", "en"), ("test", "th")):
        found = manifest.find(split, language)
        assert found is not None
        ids[split, language] = {row.id for row in datasets.read_split(found, [root / found.files[0].path])}
    assert ids["test", "en"] == ids["test", "th"]
    assert ids["train", "en"].isdisjoint(ids["test", "en"])
