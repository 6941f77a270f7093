"""Natural language inference: MNLI, SNLI and ANLI to train on, XNLI and AmericasNLI to evaluate on."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path

from xstilts.api.training import TrainingSettings
from xstilts.core.catalogue import ENGLISH, Source, TaskKind, TaskSpec
from xstilts.tasks import strata
from xstilts.tasks.definitions import HUB_NAMES, SAME_NAMES, TRANSLATIONS, Dataset, Layout, Task, hub_layouts
from xstilts.tasks.examples import Classification
from xstilts.tasks.files import Row, headless_table, json_lines, parquet, table

LABELS = ("entailment", "neutral", "contradiction")

_WORDS = {label: label for label in LABELS}
_TRANSLATED_WORDS = {"entailment": "entailment", "neutral": "neutral", "contradictory": "contradiction"}
_HUB_WORDS = {**dict(enumerate(LABELS)), -1: ""}
_LETTERS = {"e": "entailment", "n": "neutral", "c": "contradiction"}
_NO_MAJORITY = "-"
_XNLI_LANGUAGES = ("ar", "bg", "de", "el", "en", "es", "fr", "hi", "ru", "sw", "th", "tr", "ur", "vi", "zh")
_AMERICAN_LANGUAGES = ("aym", "bzd", "cni", "gn", "hch", "nah", "oto", "quy", "shp", "tar")

_GLUE_COLUMNS = ("pairID", "sentence1", "sentence2", "gold_label")
_XNLI_COLUMNS = ("language", "gold_label", "sentence1", "sentence2", "pairID")


def _pair(row: Row) -> Classification:
    return Classification(
        id=row.text("pairID"),
        first=row.text("sentence1"),
        second=row.text("sentence2"),
        label=row.label("gold_label", _WORDS),
    )


def glue_tsv(path: Path) -> Iterator[Classification]:
    """GLUE's MNLI: 12 columns in train, 16 in dev. Rows on which the annotators found no majority are dropped."""
    return (_pair(row) for row in table(path, _GLUE_COLUMNS) if row.text("gold_label") != _NO_MAJORITY)


def snli_jsonl(path: Path) -> Iterator[Classification]:
    """SNLI 1.0 and MNLI 1.0 as their authors publish them."""
    return (_pair(row) for row in json_lines(path) if row.text("gold_label") != _NO_MAJORITY)


def anli_jsonl(path: Path) -> Iterator[Classification]:
    """ANLI 0.1, which calls the premise context."""
    for row in json_lines(path):
        yield Classification(
            id=row.text("uid"),
            first=row.text("context"),
            second=row.text("hypothesis"),
            label=row.label("label", _LETTERS),
        )


def xnli_tsv(path: Path, *, language: str) -> Iterator[Classification]:
    """XNLI 1.0: 19 columns, all languages in one file."""
    return (_pair(row) for row in table(path, _XNLI_COLUMNS) if _language(row) == language)


def xnli_jsonl(path: Path, *, language: str) -> Iterator[Classification]:
    """XNLI 1.0 as JSON lines, all languages in one file."""
    return (_pair(row) for row in json_lines(path) if _language(row) == language)


def _language(row: Row) -> str:
    """Raises UserError for a language that no layout would pick, so that no row is left out unseen."""
    if (language := row.text("language")) not in _XNLI_LANGUAGES:
        raise row.error("language", f"one of {', '.join(_XNLI_LANGUAGES)}")
    return language


def translated_tsv(path: Path) -> Iterator[Classification]:
    """XNLI-MT 1.0: MNLI's training set in machine translation, with a label word of its own."""
    for row in table(path, ("premise", "hypo", "label")):
        yield Classification(
            id="", first=row.text("premise"), second=row.text("hypo"), label=row.label("label", _TRANSLATED_WORDS)
        )


def xtreme_translated_tsv(path: Path) -> Iterator[Classification]:
    """XTREME's translation of MNLI's training set: English pair, translated pair, label; no header."""
    for row in headless_table(path, ("english1", "english2", "sentence1", "sentence2", "label")):
        yield Classification(
            id="",
            first=row.text("sentence1"),
            second=row.text("sentence2"),
            label=row.label("label", {**_WORDS, **_TRANSLATED_WORDS}),
        )


def pair_parquet(path: Path) -> Iterator[Classification]:
    """MNLI in the hub's GLUE, and the hub's SNLI and XNLI, none of which has ids (GLUE's `idx` numbers the rows).

    Rows without majority, which the hub labels -1, are dropped as in files. Columns and labels as in HF's cards.
    """
    for row in parquet(path, ("premise", "hypothesis", "label")):
        if label := row.label("label", _HUB_WORDS):
            yield Classification(id="", first=row.text("premise"), second=row.text("hypothesis"), label=label)


def anli_parquet(path: Path) -> Iterator[Classification]:
    """The hub's ANLI. Columns and labels as in HF's `dataset_infos` of `anli`."""
    for row in parquet(path, ("uid", "premise", "hypothesis", "label")):
        yield Classification(
            id=row.text("uid"),
            first=row.text("premise"),
            second=row.text("hypothesis"),
            label=row.label("label", _HUB_WORDS),
        )


def xtreme_tsv(path: Path) -> Iterator[Classification]:
    """XTREME's rewriting of XNLI; test files have no third column."""
    for row in headless_table(path, ("premise", "hypothesis", "label")):
        yield Classification(
            id="", first=row.text("premise"), second=row.text("hypothesis"), label=row.label("label", _WORDS)
        )


def americas_tsv(path: Path) -> Iterator[Classification]:
    """AmericasNLI: XNLI translated into indigenous languages of the Americas."""
    for row in table(path, ("id", "premise", "hypothesis", "label")):
        yield Classification(
            id=row.text("id"),
            first=row.text("premise"),
            second=row.text("hypothesis"),
            label=row.label("label", _WORDS),
        )


_HUB_SPLITS = {**HUB_NAMES, "test": "test"}
_GLUE_SPLITS = {"train": "train", "dev_matched": "dev", "dev_mismatched": "dev_mismatched"}
_GLUE_HUB_SPLITS = {"train": "train", "validation_matched": "dev", "validation_mismatched": "dev_mismatched"}

DATASETS = (
    Dataset(
        name="mnli",
        licence="OANC, CC BY 3.0, CC BY-SA 3.0",
        layouts=(
            Layout(name="glue-tsv", patterns=("MNLI/{split}.tsv",), splits=_GLUE_SPLITS, read=glue_tsv),
            Layout(name="jsonl", patterns=("multinli_1.0_{split}.jsonl",), splits=_GLUE_SPLITS, read=snli_jsonl),
            Layout(
                name="glue-tsv-by-language",  # own translations, as the next one
                patterns=("MNLI/{split}.{language}.tsv",),
                splits=_GLUE_SPLITS,
                languages=TRANSLATIONS,
                read=glue_tsv,
            ),
            Layout(
                name="jsonl-by-language",
                patterns=("multinli_1.0_{split}.{language}.jsonl",),
                splits=_GLUE_SPLITS,
                languages=TRANSLATIONS,
                read=snli_jsonl,
            ),
            Layout(
                name="translated-tsv",
                patterns=("multinli.{split}.{language}.tsv",),
                splits={"train": "train"},
                read=translated_tsv,
            ),
            Layout(
                name="xtreme-translated-tsv",
                patterns=("XNLI/translate-train/en-{language}-translated.tsv",),
                split="train",
                read=xtreme_translated_tsv,
            ),
            *hub_layouts("nyu-mll/glue", pair_parquet, config="mnli", splits=_GLUE_HUB_SPLITS),
            Layout(
                name="translated-parquet",  # XNLI-MT, which is the training set of the hub's XNLI
                patterns=("xnli/{language}/train-*.parquet",),
                split="train",
                languages={language: language for language in _XNLI_LANGUAGES if language != ENGLISH},
                read=pair_parquet,
            ),
        ),
        hub=("nyu-mll/glue",),
    ),
    Dataset(
        name="snli",
        licence="CC BY-SA 4.0",
        layouts=(
            Layout(name="jsonl", patterns=("snli_1.0_{split}.jsonl",), read=snli_jsonl),
            *hub_layouts("stanfordnlp/snli", pair_parquet, config="plain_text", splits=_HUB_SPLITS),
        ),
        hub=("stanfordnlp/snli",),
    ),
    Dataset(
        name="anli",
        licence="CC BY-NC 4.0",
        layouts=(
            Layout(name="jsonl", patterns=("R*/{split}.jsonl",), read=anli_jsonl),
            *hub_layouts("facebook/anli", anli_parquet, config="plain_text", splits=SAME_NAMES, part="_r*"),
        ),
        hub=("facebook/anli",),
    ),
    Dataset(
        name="xnli",
        licence="CC BY-NC 4.0",
        layouts=(
            *(
                Layout(
                    name=f"{form}-{language}",
                    patterns=(f"xnli.{{split}}.{form}",),
                    splits={"dev": "dev", "test": "test"},
                    language=language,
                    selective=True,
                    read=partial(read, language=language),
                )
                for form, read in (("tsv", xnli_tsv), ("jsonl", xnli_jsonl))
                for language in _XNLI_LANGUAGES
            ),
            Layout(name="xtreme-tsv", patterns=("{split}-{language}.tsv",), read=xtreme_tsv),
            # its `train` is MNLI in machine translation
            *hub_layouts(
                "facebook/xnli", pair_parquet, config="{language}", splits={"validation": "dev", "test": "test"}
            ),
        ),
        hub=("facebook/xnli",),
    ),
    Dataset(
        name="americasnli",
        licence="CC BY-SA 4.0; translated from XNLI, which is CC BY-NC 4.0",
        layouts=(
            Layout(
                name="tsv",
                patterns=("{split}/{language}.tsv",),
                splits={split: split for split in SAME_NAMES if split != "train"},
                read=americas_tsv,
            ),
        ),
    ),
)

_XNLI_SPEC = TaskSpec(
    name="xnli",
    version=1,
    kind=TaskKind.CLASSIFICATION,
    description="Does the premise entail or contradict the hypothesis? Human translations into 14 languages",
    train=Source("mnli", "train"),
    # MNLI's own matched dev, as the paper stopped on the training task. XTREME selects on XNLI's English dev, but
    # that is translated row by row into the dev sets of the target languages.
    dev=Source("mnli", "dev"),
    test=Source("xnli", "test"),
    languages=_XNLI_LANGUAGES,
    labels=LABELS,
    settings=TrainingSettings(batch_size=32, epochs="2", max_length=256),  # [V]
    published_rows={
        Source("mnli", "train"): 392_702,  # [M]
        Source("mnli", "dev"): 9_815,  # [M]
        Source("xnli", "test"): 5_010,  # [M] per language
    },
    licence="CC BY-NC 4.0",
    reference="Conneau et al. 2018; recipe of jiant's XTREME scripts",
)

TASKS = (
    Task(
        spec=TaskSpec(
            name="mnli",
            version=1,
            kind=TaskKind.CLASSIFICATION,
            description="Natural language inference over ten genres",
            train=Source("mnli", "train"),
            dev=Source("mnli", "dev"),
            labels=LABELS,
            settings=TrainingSettings(batch_size=24, epochs="2"),  # [M]
            published_rows={Source("mnli", "train"): 392_702, Source("mnli", "dev"): 9_815},  # [M]
            licence="OANC, CC BY 3.0, CC BY-SA 3.0",
            reference="Williams et al. 2018; recipe of Phang et al. 2020, appendix",
        ),
        stratum=strata.by_label,
    ),
    Task(
        spec=TaskSpec(
            name="snli",
            version=1,
            kind=TaskKind.CLASSIFICATION,
            description="Natural language inference over image captions; a part of ANLI+",
            train=Source("snli", "train"),
            dev=Source("snli", "dev"),
            labels=LABELS,
            settings=TrainingSettings(batch_size=24, epochs="2"),  # [M] of ANLI+
            published_rows={Source("snli", "train"): 549_367},  # [M]
            licence="CC BY-SA 4.0",
            reference="Bowman et al. 2015; recipe of Phang et al. 2020, appendix",
        ),
        stratum=strata.by_label,
    ),
    Task(
        spec=TaskSpec(
            name="anli",
            version=1,
            kind=TaskKind.CLASSIFICATION,
            description="Adversarial natural language inference, rounds 1 to 3; a part of ANLI+",
            train=Source("anli", "train"),
            dev=Source("anli", "dev"),
            labels=LABELS,
            settings=TrainingSettings(batch_size=24, epochs="2"),  # [M] of ANLI+
            published_rows={Source("anli", "train"): 162_865, Source("anli", "dev"): 3_200},  # [V]
            licence="CC BY-NC 4.0",
            reference="Nie et al. 2020; recipe of Phang et al. 2020, appendix",
        ),
        stratum=strata.by_label,
    ),
    Task(spec=_XNLI_SPEC, stratum=strata.by_label),
    Task(
        spec=TaskSpec(
            name="americasnli",
            version=1,
            kind=TaskKind.CLASSIFICATION,
            description="XNLI in ten indigenous languages of the Americas",
            train=Source("mnli", "train"),
            dev=Source("mnli", "dev"),
            test=Source("americasnli", "test"),
            languages=_AMERICAN_LANGUAGES,
            labels=LABELS,
            settings=_XNLI_SPEC.settings,
            published_rows={Source("mnli", "train"): 392_702, Source("mnli", "dev"): 9_815},  # [M]
            licence="CC BY-SA 4.0; translated from XNLI, which is CC BY-NC 4.0",
            reference="Ebrahimi et al. 2022; recipe of jiant's XNLI",
        ),
        stratum=strata.by_label,
    ),
)
