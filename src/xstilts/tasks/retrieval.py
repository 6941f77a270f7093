"""Finding the English translation of a sentence, without training: Tatoeba and BUCC 2018."""

from collections.abc import Iterator
from pathlib import Path

from xstilts.core.catalogue import Source, TaskKind, TaskSpec
from xstilts.core.errors import UserError
from xstilts.tasks import strata
from xstilts.tasks.definitions import Dataset, Layout, Task, hub_layouts
from xstilts.tasks.examples import Retrieval
from xstilts.tasks.files import lines, parquet

_FEWEST_FOR_ORDER = 20
"""Lines from which on alphabetical order is no accident."""

_TATOEBA_CODES = {
    "afr": "af", "ara": "ar", "bul": "bg", "ben": "bn", "deu": "de", "ell": "el", "spa": "es", "est": "et",
    "eus": "eu", "pes": "fa", "fin": "fi", "fra": "fr", "heb": "he", "hin": "hi", "hun": "hu", "ind": "id",
    "ita": "it", "jpn": "ja", "jav": "jv", "kat": "ka", "kaz": "kk", "kor": "ko", "mal": "ml", "mar": "mr",
    "nld": "nl", "por": "pt", "rus": "ru", "swh": "sw", "tam": "ta", "tel": "te", "tha": "th", "tgl": "tl",
    "tur": "tr", "urd": "ur", "vie": "vi", "cmn": "zh",
}  # fmt: skip
"""ISO 639-3 to XTREME's codes, for its 36 languages."""


def parallel_lines(text: Path, english: Path) -> Iterator[Retrieval]:
    """Two files of which line i of one translates line i of the other.

    XTREME sorts the English side to hide the pairs; such a file is refused, as no gold could be told from it.
    """
    sentences = [line for _, line in lines(text)]
    translations = [line for _, line in lines(english)]
    if len(sentences) != len(translations):
        raise UserError(
            f"{text} has {len(sentences)} lines, {english} has {len(translations)}; expected one translation a line"
        )
    if len(translations) >= _FEWEST_FOR_ORDER and translations == sorted(translations):
        raise UserError(
            f"{english} is in alphabetical order, as XTREME leaves it, so its lines do not belong to those of"
            f" {text.name}; use the files of LASER"
        )
    for sentence, translation in zip(sentences, translations, strict=True):
        yield Retrieval(id="", text=sentence, english=translation)


def pairs_parquet(path: Path) -> Iterator[Retrieval]:
    """Tatoeba in the hub's XTREME, where pairs stay together. Columns as in the hub's card; lines keep their ends."""
    for row in parquet(path, ("source_sentence", "target_sentence")):
        text, english = (row.text(column).rstrip("\n") for column in ("source_sentence", "target_sentence"))
        yield Retrieval(id="", text=text, english=english)


DATASETS = (
    Dataset(
        name="tatoeba",
        licence="CC BY 2.0 FR",
        layouts=(
            Layout(
                name="laser",
                patterns=("tatoeba.{language}-eng.{language}", "tatoeba.{language}-eng.eng"),
                split="test",
                languages=_TATOEBA_CODES,
                read=parallel_lines,
            ),
            Layout(
                name="two-letter",
                patterns=("{language}-en.{language}", "{language}-en.en"),
                split="test",
                read=parallel_lines,
            ),
            *hub_layouts(
                "google/xtreme",
                pairs_parquet,
                config="tatoeba.{language}",
                splits={"validation": "test"},
                languages=_TATOEBA_CODES,
            ),
        ),
        hub=("google/xtreme",),
    ),
    Dataset(name="bucc2018", licence="none stated"),
)

TASKS = (
    Task(
        spec=TaskSpec(
            name="tatoeba",
            version=1,
            kind=TaskKind.RETRIEVAL,
            description="The English translation among those of all sentences",
            test=Source("tatoeba", "test"),
            languages=tuple(sorted(_TATOEBA_CODES.values())),
            published_rows={Source("tatoeba", "test"): 1_000},  # [M] per language, fewer for some
            licence="CC BY 2.0 FR",
            reference="Artetxe and Schwenk 2019; jiant's retrieval",
        ),
        stratum=strata.undivided,
    ),
    Task(
        spec=TaskSpec(
            name="bucc2018",
            version=1,
            kind=TaskKind.RETRIEVAL,
            description="Translations hidden in two monolingual corpora; planned with, not readable yet",
            test=Source("bucc2018", "test"),
            languages=("de", "fr", "ru", "zh"),
            metric="f1",
            licence="none stated",
            reference="Zweigenbaum et al. 2018; XTREME",
        ),
        stratum=strata.undivided,
    ),
)
