"""Finding the English translation of a sentence, without training: Tatoeba and BUCC 2018."""

from collections.abc import Iterator
from pathlib import Path

from xstilts.core.catalogue import Source, TaskKind, TaskSpec
from xstilts.core.errors import UserError
from xstilts.tasks import strata
from xstilts.tasks.definitions import Dataset, Layout, Task, hub_layouts
from xstilts.tasks.examples import BitextSentence, Retrieval
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


_BUCC_SPLITS = {"sample": "dev", "training": "test", "dev": "dev", "test": "test"}
"""BUCC's own names, and XTREME's."""


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


def bitext(text: Path, english: Path, gold: Path) -> Iterator[BitextSentence]:
    """BUCC 2018: two corpora of `id TAB sentence` a line, and the pairs of ids that are translations."""
    sentences, translations = dict(_identified(text)), dict(_identified(english))
    pairs: dict[str, dict[str, None]] = {}
    for number, line in lines(gold):
        foreign, tab, partner = line.partition("\t")
        if not tab or foreign not in sentences or partner not in translations:
            raise UserError(
                f"{gold}, line {number}: {line[:80]!r}; expected an id of {text.name}, a tab, and one of {english.name}"
            )
        pairs.setdefault(foreign, {})[partner] = None  # pairs are a set
    for identity, sentence in sentences.items():
        yield BitextSentence(id=identity, text=sentence, english=False, translations=tuple(pairs.get(identity, ())))
    for identity, sentence in translations.items():
        yield BitextSentence(id=identity, text=sentence, english=True, translations=())


def bitext_without_gold(text: Path, english: Path) -> Iterator[BitextSentence]:
    """The corpora alone, as XTREME's download leaves those of the test split."""
    for path, is_english in ((text, False), (english, True)):
        for identity, sentence in _identified(path):
            yield BitextSentence(id=identity, text=sentence, english=is_english, translations=None)


def _identified(path: Path) -> Iterator[tuple[str, str]]:
    seen: set[str] = set()
    for number, line in lines(path):
        identity, tab, sentence = line.partition("\t")
        if not tab or not identity or identity in seen:
            raise UserError(f"{path}, line {number}: {line[:80]!r}; expected a new id, a tab and a sentence")
        seen.add(identity)
        yield identity, sentence


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
    Dataset(
        name="bucc2018",
        licence="none stated",
        layouts=(
            Layout(
                name="bucc",
                patterns=(
                    "{language}-en.{split}.{language}",
                    "{language}-en.{split}.en",
                    "{language}-en.{split}.gold",
                ),
                splits=_BUCC_SPLITS,
                read=bitext,
            ),
            Layout(
                name="bucc-without-gold",
                patterns=("{language}-en.{split}.{language}", "{language}-en.{split}.en"),
                splits=_BUCC_SPLITS,
                read=bitext_without_gold,
            ),
        ),
    ),
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
            kind=TaskKind.BITEXT_MINING,
            description="Translations hidden in two monolingual corpora",
            dev=Source("bucc2018", "dev"),
            test=Source("bucc2018", "test"),
            languages=("de", "fr", "ru", "zh"),
            metric="f1",
            licence="none stated",
            reference="Zweigenbaum et al. 2018; XTREME",
        ),
        stratum=strata.undivided,
    ),
)
