"""Semantic parsing as intent and slots: xSID, MASSIVE and Facebook's multilingual TOD.

XTREME has no such task, and the paper no recipe for one: all of them take the recipe of the tagging targets.
"""

import re
import unicodedata
from collections.abc import Iterable, Iterator
from functools import partial
from itertools import chain, pairwise
from operator import index
from pathlib import Path

from xstilts.api.training import TrainingSettings
from xstilts.core.catalogue import Source, TaskKind, TaskSpec
from xstilts.core.errors import UserError
from xstilts.tasks import strata
from xstilts.tasks.definitions import HUB_NAMES, Dataset, Layout, Task, hub_layouts
from xstilts.tasks.examples import IntentAndSlots
from xstilts.tasks.files import Row, blocks, headless_table, json_lines, parquet, parquet_classes

_XSID_LANGUAGES = ("ar", "da", "de", "en", "gsw", "id", "it", "ja", "kk", "sr", "tr", "zh")
_MASSIVE_LOCALES = (
    "af-ZA", "am-ET", "ar-SA", "az-AZ", "bn-BD", "ca-ES", "cy-GB", "da-DK", "de-DE", "el-GR", "en-US", "es-ES", "fa-IR",
    "fi-FI", "fr-FR", "he-IL", "hi-IN", "hu-HU", "hy-AM", "id-ID", "is-IS", "it-IT", "ja-JP", "jv-ID", "ka-GE", "km-KH",
    "kn-IN", "ko-KR", "lv-LV", "ml-IN", "mn-MN", "ms-MY", "my-MM", "nb-NO", "nl-NL", "pl-PL", "pt-PT", "ro-RO", "ru-RU",
    "sl-SL", "sq-AL", "sv-SE", "sw-KE", "ta-IN", "te-IN", "th-TH", "tl-PH", "tr-TR", "ur-PK", "vi-VN", "zh-CN", "zh-TW",
)  # fmt: skip
_MASSIVE_LANGUAGES = {locale: locale if locale == "zh-TW" else locale[:2] for locale in _MASSIVE_LOCALES}
_SPLIT_BY_CHARACTER = {"ja-JP", "zh-CN", "zh-TW"}

_MASSIVE_CHUNK = re.compile(r"\[\s*(?P<slot>[^:\[\]]*[^:\[\]\s])\s*:(?P<filler>[^\[\]]*)\]|(?P<outside>[^\[\]]+)")
_MASSIVE_PARTITIONS = ("train", "dev", "test", "MMNLU-22")
"""The last one holds the utterances of a contest, without labels."""
_XSID_COLUMNS = ("number", "word", "intent", "slot")
_XSID_ID = re.compile(r"# id\s*[=:]\s*(\S+)")
_OUTSIDE = "O"


def xsid_conll(path: Path) -> Iterator[IntentAndSlots]:
    """xSID 0.7: comments, then number, word, intent and slot of each word."""
    for block in blocks(path):
        identity = next((match[1] for _, line in block if (match := _XSID_ID.match(line))), "")
        rows = [_xsid_row(path, number, line) for number, line in block if not line.startswith("#")]
        if rows:
            yield IntentAndSlots(
                id=identity,
                words=tuple(row.text("word") for row in rows),
                slots=tuple(_xsid_slot(row) for row in rows),
                intent=rows[0].text("intent"),
            )


def _xsid_row(path: Path, number: int, line: str) -> Row:
    fields = line.split("\t")
    if len(fields) != len(_XSID_COLUMNS):
        raise UserError(
            f"{path}, line {number}: {len(fields)} tab-separated fields in {line[:80]!r};"
            f" expected {', '.join(_XSID_COLUMNS)}"
        )
    return Row(path, f"line {number}", dict(zip(_XSID_COLUMNS, fields, strict=True)))


def _xsid_slot(row: Row) -> str:
    slot = row.text("slot")
    if slot.startswith(("B-", "I-")):
        return slot
    if slot.startswith(_OUTSIDE):  # published files have a few like `Orecurring_datetime`
        return _OUTSIDE
    raise row.error("slot", "O, B-<slot> or I-<slot>")


def massive_jsonl(path: Path, *, partition: str) -> Iterator[IntentAndSlots]:
    """MASSIVE: one file a locale with all partitions; slots stand in `annot_utt` as `[label : filler]`.

    Words are split at spaces; Japanese and Chinese by character where a chunk is not Latin, as in upstream's code.
    """
    for row in json_lines(path):
        own = row.text("partition")
        if own not in _MASSIVE_PARTITIONS:
            raise row.error("partition", f"one of {', '.join(_MASSIVE_PARTITIONS)}")
        if own == partition:
            yield _massive(row, intent=row.text("intent"))


def massive_parquet(path: Path) -> Iterator[IntentAndSlots]:
    """The hub's MASSIVE, a file a partition, with intents as numbers. Columns as in scripts derived from its own."""
    intents = parquet_classes(path, "intent")
    for row in parquet(path, ("id", "locale", "intent", "utt", "annot_utt")):
        yield _massive(row, intent=row.label("intent", intents))


def _massive(row: Row, *, intent: str) -> IntentAndSlots:
    """Raises UserError for brackets that are not closed, slots without words, and, as upstream's converter does, where
    the annotated utterance has not as many words as the utterance: a word may end behind the bracket of its slot."""
    by_character = row.text("locale") in _SPLIT_BY_CHARACTER
    chunks = list(_MASSIVE_CHUNK.finditer(row.text("annot_utt")))
    tagged = [list(_slot_words(chunk, by_character)) for chunk in chunks]
    slots_without_words = any(chunk["slot"] and not words for chunk, words in zip(chunks, tagged, strict=True))
    if "".join(chunk[0] for chunk in chunks) != row.text("annot_utt") or slots_without_words or not any(tagged):
        raise row.error("annot_utt", "words, with slots written as [label : filler], each with a filler and closed")
    words, slots = zip(*chain.from_iterable(tagged), strict=True)
    plain = "".join(chunk["outside"] if chunk["slot"] is None else chunk["filler"].strip() for chunk in chunks)
    if not by_character and "utt" in row.values and len(plain.split()) != len(row.text("utt").split()):
        raise row.error("annot_utt", f"the {len(row.text('utt').split())} words of utt {row.text('utt')!r}")
    return IntentAndSlots(id=row.text("id"), words=words, slots=slots, intent=intent)


def _slot_words(chunk: re.Match[str], by_character: bool) -> Iterator[tuple[str, str]]:
    text = chunk["outside"] if chunk["slot"] is None else chunk["filler"]
    words = [part for word in text.split() for part in (word if by_character and not word.isascii() else (word,))]
    return zip(words, _iob2(chunk["slot"], len(words)), strict=True)


def _iob2(slot: str | None, length: int) -> list[str]:
    if slot is None:
        return [_OUTSIDE] * length
    return [f"{prefix}-{slot}" for prefix in ("B" + "I" * length)[:length]]


def tod_tsv(path: Path) -> Iterator[IntentAndSlots]:
    """Facebook's multilingual TOD: intent, slots by code points of the utterance, utterance, locale, tokens.

    Words are cut out of the utterance at the spans of the tokens, which themselves are lower-cased.
    """
    columns = ("intent", "slots", "utterance", "locale", "tokenizations")
    for row in headless_table(path, columns):
        utterance, spans, slots = row.text("utterance"), _token_spans(row), list(_slot_spans(row))
        if lost := [slot for slot in slots if not any(slot[0] < end and start < slot[1] for start, end in spans)]:
            raise row.error("slots", f"spans with a word of the utterance in them; {lost[0]} has none")
        yield IntentAndSlots(
            id="",
            words=tuple(utterance[start:end] for start, end in spans),
            slots=tuple(_span_tags(spans, slots)),
            intent=row.text("intent"),
        )


def _token_spans(row: Row) -> list[tuple[int, int]]:
    """Start and end of each token in code points. A few Spanish rows upstream count bytes: told by the tokens."""
    try:
        tokenization = row.json("tokenizations")["tokenizations"][0]
        spans = [(index(span["start"]), index(span["start"] + span["length"])) for span in tokenization["tokenSpans"]]
        tokens = [_folded(token) for token in tokenization["tokens"]]
    except (LookupError, TypeError, AttributeError) as error:
        raise row.error("tokenizations", 'JSON with "tokenizations" of "tokens" and "tokenSpans"') from error
    utterance = row.text("utterance")
    encoded = utterance.encode()
    by_bytes = [(_code_points(encoded[:start]), _code_points(encoded[:end])) for start, end in spans]
    found = by_bytes if [_folded(utterance[start:end]) for start, end in by_bytes] == tokens else spans
    if not found or not all(utterance[start:end] for start, end in found):
        raise row.error("tokenizations", "spans that cut words out of the utterance")
    return found


def _folded(text: str) -> str:
    """Tokens are lower-cased and, in Thai, decomposed."""
    return unicodedata.normalize("NFKD", text).lower()


def _code_points(prefix: bytes) -> int:
    return len(prefix.decode(errors="replace"))


def _slot_spans(row: Row) -> Iterator[tuple[int, int, str]]:
    for slot in filter(None, row.text("slots").split(",")):
        try:
            start, end, name = slot.split(":", 2)
            yield int(start), int(end), name
        except ValueError:
            raise row.error("slots", "start:end:name, separated by commas") from None


def _span_tags(words: Iterable[tuple[int, int]], slots: list[tuple[int, int, str]]) -> Iterator[str]:
    """IOB2 tags of words that overlap a slot."""
    covering = [next((slot for slot in slots if slot[0] < end and start < slot[1]), None) for start, end in words]
    for before, slot in pairwise([None, *covering]):
        yield f"{'I' if slot is before else 'B'}-{slot[2]}" if slot else _OUTSIDE


DATASETS = (
    Dataset(
        name="xsid",
        licence="CC BY-SA 4.0",
        layouts=(
            Layout(
                name="conll",
                patterns=("{language}.{split}.conll",),
                splits={"train": "train", "valid": "dev", "test": "test"},
                read=xsid_conll,
            ),
        ),
    ),
    Dataset(
        name="massive",
        licence="CC BY 4.0",
        layouts=(
            *(
                Layout(
                    name=f"jsonl-{split}",
                    patterns=("{language}.jsonl",),
                    split=split,
                    languages=_MASSIVE_LANGUAGES,
                    selective=True,
                    read=partial(massive_jsonl, partition=split),
                )
                for split in ("train", "dev", "test")
            ),
            *hub_layouts(
                "AmazonScience/massive",
                massive_parquet,
                config="{language}",
                splits={**HUB_NAMES, "test": "test"},
                languages=_MASSIVE_LANGUAGES,
            ),
        ),
        hub=("AmazonScience/massive",),
    ),
    Dataset(
        name="fb_tod",
        licence="CC BY-SA",
        layouts=(
            Layout(
                name="tsv",
                patterns=("{language}/{split}-{language}.tsv",),
                splits={"train": "train", "eval": "dev", "test": "test"},
                read=tod_tsv,
            ),
        ),
    ),
)

_SETTINGS = TrainingSettings(batch_size=32, epochs="10")  # [V] for jiant's tagging targets


def _task(
    name: str,
    description: str,
    *,
    languages: Iterable[str],
    published_rows: dict[str, int],
    licence: str,
    reference: str,
) -> Task:
    spec = TaskSpec(
        name=name,
        version=1,
        kind=TaskKind.INTENT_AND_SLOTS,
        description=description,
        train=Source(name, "train"),
        dev=Source(name, "dev"),
        test=Source(name, "test"),
        languages=tuple(languages),
        metric="exact_match",
        settings=_SETTINGS,
        published_rows={Source(name, split): rows for split, rows in published_rows.items()},
        licence=licence,
        reference=reference,
    )
    return Task(spec=spec, stratum=strata.by_intent)


TASKS = (
    _task(
        "xsid",
        "Intents and slots of voice commands, translated into European and Asian languages and dialects",
        languages=_XSID_LANGUAGES,
        published_rows={"train": 43_605, "dev": 300, "test": 500},  # [M] dev and test per language
        licence="CC BY-SA 4.0",
        reference="van der Goot et al. 2021; recipe of jiant's tagging targets",
    ),
    _task(
        "massive",
        "Intents and slots of voice assistant requests in 52 locales",
        languages=_MASSIVE_LANGUAGES.values(),
        published_rows={"train": 11_514, "dev": 2_033, "test": 2_974},  # [D] per locale
        licence="CC BY 4.0",
        reference="FitzGerald et al. 2022; recipe of jiant's tagging targets",
    ),
    _task(
        "fb_tod",
        "Intents and slots of alarm, reminder and weather requests",
        languages=("en", "es", "th"),
        published_rows={"train": 30_521, "dev": 4_181, "test": 8_621},  # [M] in English
        licence="CC BY-SA",
        reference="Schuster et al. 2019; recipe of jiant's tagging targets",
    ),
)
