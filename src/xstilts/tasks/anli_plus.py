"""ANLI+, an intermediate task of the paper: SNLI, MNLI and the three rounds of ANLI, joined under one head.

It is one data set whose files are read together, so that its rows are drawn in proportion, its subsets are nested and
its sizes count rows like those of any other task. A recipe of three tasks would have a head for each.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from xstilts.api.training import TrainingSettings
from xstilts.core.catalogue import Source, TaskKind, TaskSpec
from xstilts.tasks.definitions import Dataset, Layout, Task
from xstilts.tasks.examples import Classification
from xstilts.tasks.inference import LABELS, anli_jsonl, anli_parquet, glue_tsv, pair_parquet, snli_jsonl

Reader = Callable[[Path], Iterator[Classification]]

CORPORA = ("snli", "mnli", "anli-r1", "anli-r2", "anli-r3")
"""In the order of the files of each layout."""

_LICENCE = "CC BY-SA 4.0 (SNLI), OANC, CC BY 3.0, CC BY-SA 3.0 (MNLI), CC BY-NC 4.0 (ANLI)"


@dataclass(frozen=True, kw_only=True, slots=True)
class CorpusPair(Classification):
    """A sentence pair and the corpus that it comes from."""

    corpus: str


def joined(*paths: Path, readers: Mapping[str, Reader]) -> Iterator[CorpusPair]:
    """One file of each corpus, one after the other; ids are made unique by the name of their corpus."""
    for path, (corpus, read) in zip(paths, readers.items(), strict=True):
        for pair in read(path):
            yield CorpusPair(
                id=f"{corpus}/{pair.id}" if pair.id else "",
                first=pair.first,
                second=pair.second,
                label=pair.label,
                corpus=corpus,
            )


def by_corpus_and_label(example: CorpusPair) -> str:
    """Subsets keep the shares of the corpora, which differ more than the labels within one do."""
    return f"{example.corpus}, {example.label}"


def _layouts(name: str, files: Mapping[str, tuple[str, ...]], *readers: Reader) -> Iterator[Layout]:
    """A layout a split: the names of its files differ between corpora in more than the split."""
    for split, patterns in files.items():
        yield Layout(
            name=f"{name}-{split}",
            patterns=patterns,
            split=split,
            read=partial(joined, readers=dict(zip(CORPORA, readers, strict=True))),
        )


def _anli(pattern: str) -> tuple[str, ...]:
    return tuple(pattern.format(number) for number in (1, 2, 3))


DATASETS = (
    Dataset(
        name="anli_plus",
        licence=_LICENCE,
        layouts=(
            *_layouts(
                "jsonl",
                {
                    "train": ("snli_1.0_train.jsonl", "multinli_1.0_train.jsonl", *_anli("R{}/train.jsonl")),
                    "dev": ("snli_1.0_dev.jsonl", "multinli_1.0_dev_matched.jsonl", *_anli("R{}/dev.jsonl")),
                },
                *(snli_jsonl, snli_jsonl, anli_jsonl, anli_jsonl, anli_jsonl),
            ),
            *_layouts(
                "glue",
                {
                    "train": ("snli_1.0_train.jsonl", "MNLI/train.tsv", *_anli("R{}/train.jsonl")),
                    "dev": ("snli_1.0_dev.jsonl", "MNLI/dev_matched.tsv", *_anli("R{}/dev.jsonl")),
                },
                *(snli_jsonl, glue_tsv, anli_jsonl, anli_jsonl, anli_jsonl),
            ),
            *_layouts(
                "parquet",
                {
                    "train": (
                        "snli/plain_text/train-*.parquet",
                        "glue/mnli/train-*.parquet",
                        *_anli("anli/plain_text/train_r{}-*.parquet"),
                    ),
                    "dev": (
                        "snli/plain_text/validation-*.parquet",
                        "glue/mnli/validation_matched-*.parquet",
                        *_anli("anli/plain_text/dev_r{}-*.parquet"),
                    ),
                },
                *(pair_parquet, pair_parquet, anli_parquet, anli_parquet, anli_parquet),
            ),
        ),
        hub=("stanfordnlp/snli", "nyu-mll/glue", "facebook/anli"),
    ),
)

TASKS = (
    Task(
        spec=TaskSpec(
            name="anli_plus",
            version=1,
            kind=TaskKind.CLASSIFICATION,
            description="Natural language inference over SNLI, MNLI and the three rounds of ANLI, under one head",
            train=Source("anli_plus", "train"),
            dev=Source("anli_plus", "dev"),
            labels=LABELS,
            settings=TrainingSettings(batch_size=24, epochs="2"),  # [M]
            published_rows={Source("anli_plus", "train"): 1_104_934},  # [D]
            licence=_LICENCE,
            reference="Nie et al. 2020; recipe of Phang et al. 2020, appendix",
        ),
        stratum=by_corpus_and_label,
    ),
)
