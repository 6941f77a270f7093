"""Paraphrase identification: QQP to train on, PAWS-X to train and evaluate on."""

from collections.abc import Iterator
from pathlib import Path

from xstilts.api.training import TrainingSettings
from xstilts.core.catalogue import Source, TaskKind, TaskSpec
from xstilts.tasks import strata
from xstilts.tasks.definitions import HUB_NAMES, TRANSLATIONS, Dataset, Layout, Task, hub_layouts
from xstilts.tasks.examples import Classification
from xstilts.tasks.files import headless_table, parquet, table

LABELS = ("0", "1")
"""No paraphrase, paraphrase: the words of upstream's files and of XTREME's predictions."""

_WORDS = {label: label for label in LABELS}
_HUB_WORDS = {0: "0", 1: "1", -1: ""}
_PAWSX_LANGUAGES = ("de", "en", "es", "fr", "ja", "ko", "zh")


def pawsx_tsv(path: Path) -> Iterator[Classification]:
    """PAWS-X as published. Translations that failed upstream are the literal `NS` and stay, as in every score."""
    for row in table(path, ("id", "sentence1", "sentence2", "label")):
        yield Classification(
            id=row.text("id"),
            first=row.text("sentence1"),
            second=row.text("sentence2"),
            label=row.label("label", _WORDS),
        )


def xtreme_tsv(path: Path) -> Iterator[Classification]:
    """XTREME's rewriting, without unquoting: XTREME's own reader leaves the doubled quotes in the text as well."""
    for row in headless_table(path, ("sentence1", "sentence2", "label")):
        yield Classification(
            id="", first=row.text("sentence1"), second=row.text("sentence2"), label=row.label("label", _WORDS)
        )


def qqp_tsv(path: Path) -> Iterator[Classification]:
    """GLUE's QQP; the rows that line breaks inside questions tore apart are dropped, as everyone does."""
    for row in table(path, ("id", "question1", "question2", "is_duplicate"), skip_short=True):
        yield Classification(
            id=row.text("id"),
            first=row.text("question1"),
            second=row.text("question2"),
            label=row.label("is_duplicate", _WORDS),
        )


def qqp_parquet(path: Path) -> Iterator[Classification]:
    """QQP in the hub's GLUE. `idx` only numbers the rows. Columns as in HF's card of `nyu-mll/glue`."""
    for row in parquet(path, ("question1", "question2", "label")):
        yield Classification(
            id="", first=row.text("question1"), second=row.text("question2"), label=row.label("label", _HUB_WORDS)
        )


def pawsx_parquet(path: Path) -> Iterator[Classification]:
    """The hub's PAWS-X. Columns as in HF's loading script of `paws-x`."""
    for row in parquet(path, ("id", "sentence1", "sentence2", "label")):
        yield Classification(
            id=str(row.integer("id")),
            first=row.text("sentence1"),
            second=row.text("sentence2"),
            label=row.label("label", _HUB_WORDS),
        )


DATASETS = (
    Dataset(
        name="qqp",
        licence="Quora's terms, non-commercial",
        layouts=(
            Layout(
                name="glue-tsv",
                patterns=("QQP/{split}.tsv",),
                splits={"train": "train", "dev": "dev"},
                read=qqp_tsv,
            ),
            Layout(
                name="glue-tsv-by-language",  # own translations
                patterns=("QQP/{split}.{language}.tsv",),
                splits={"train": "train", "dev": "dev"},
                languages=TRANSLATIONS,
                read=qqp_tsv,
            ),
            *hub_layouts("nyu-mll/glue", qqp_parquet, config="qqp"),
        ),
        hub=("nyu-mll/glue",),
    ),
    Dataset(
        name="pawsx",
        licence="free for any purpose; acknowledge Google LLC",
        layouts=(
            Layout(
                name="tsv",
                patterns=("{language}/{split}.tsv",),
                splits={"train": "train", "translated_train": "train", "dev_2k": "dev", "test_2k": "test"},
                read=pawsx_tsv,
            ),
            Layout(name="xtreme-tsv", patterns=("{split}-{language}.tsv",), read=xtreme_tsv),
            *hub_layouts(
                "google-research-datasets/paws-x",
                pawsx_parquet,
                config="{language}",
                splits={**HUB_NAMES, "test": "test"},
            ),
        ),
        hub=("google-research-datasets/paws-x",),
    ),
)

TASKS = (
    Task(
        spec=TaskSpec(
            name="qqp",
            version=1,
            kind=TaskKind.CLASSIFICATION,
            description="Do two questions ask the same?",
            train=Source("qqp", "train"),
            dev=Source("qqp", "dev"),
            labels=LABELS,
            settings=TrainingSettings(batch_size=24, epochs="3"),  # [M]
            published_rows={Source("qqp", "train"): 363_846, Source("qqp", "dev"): 40_430},  # [M]
            licence="Quora's terms, non-commercial",
            reference="Quora 2017, in GLUE; recipe of Phang et al. 2020, appendix",
        ),
        stratum=strata.by_label,
    ),
    Task(
        spec=TaskSpec(
            name="pawsx",
            version=1,
            kind=TaskKind.CLASSIFICATION,
            description="Are two sentences with much the same words paraphrases? Human translations",
            train=Source("pawsx", "train"),
            # The English dev set, as in XTREME: PAWS has no other one of its domain. Its rows are disjoint from the
            # test rows, though the dev sets of the target languages translate them.
            dev=Source("pawsx", "dev"),
            test=Source("pawsx", "test"),
            languages=_PAWSX_LANGUAGES,
            labels=LABELS,
            settings=TrainingSettings(batch_size=32, epochs="5"),  # [V]
            published_rows={
                Source("pawsx", "train"): 49_401,  # [M]
                Source("pawsx", "dev"): 2_000,  # [M] per language
                Source("pawsx", "test"): 2_000,  # [M] per language
            },
            licence="free for any purpose; acknowledge Google LLC",
            reference="Yang et al. 2019; recipe of jiant's XTREME scripts",
        ),
        stratum=strata.by_label,
    ),
)
