"""One tag a word: parts of speech, named entities, and CCG supertags."""

import re
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path

from xstilts.api.training import TrainingSettings
from xstilts.core.catalogue import Source, TaskKind, TaskSpec
from xstilts.core.errors import UserError
from xstilts.tasks import strata
from xstilts.tasks.definitions import HUB_NAMES, SAME_NAMES, Dataset, Layout, Task, hub_layouts
from xstilts.tasks.examples import Tagging
from xstilts.tasks.files import Row, blocks, lines, parquet

UPOS = tuple("ADJ ADP ADV AUX CCONJ DET INTJ NOUN NUM PART PRON PROPN PUNCT SCONJ SYM VERB X".split())  # noqa: SIM905
NAMES = ("O", "B-PER", "I-PER", "B-ORG", "I-ORG", "B-LOC", "I-LOC")

_UDPOS_LANGUAGES = (
    "af", "ar", "bg", "de", "el", "en", "es", "et", "eu", "fa", "fi", "fr", "he", "hi", "hu", "id", "it", "ja", "kk",
    "ko", "mr", "nl", "pt", "ru", "ta", "te", "th", "tl", "tr", "ur", "vi", "yo", "zh",
)  # fmt: skip
_PANX_LANGUAGES = tuple(sorted({*_UDPOS_LANGUAGES, "bn", "jv", "ka", "ml", "ms", "my", "sw"}))
_UNER_LANGUAGES = ("de", "en", "pt", "ru", "zh")

_HUB_UDPOS_LANGUAGES = {
    "Afrikaans": "af", "Arabic": "ar", "Bulgarian": "bg", "German": "de", "Greek": "el", "English": "en",
    "Spanish": "es", "Estonian": "et", "Basque": "eu", "Persian": "fa", "Finnish": "fi", "French": "fr",
    "Hebrew": "he", "Hindi": "hi", "Hungarian": "hu", "Indonesian": "id", "Italian": "it", "Japanese": "ja",
    "Kazakh": "kk", "Korean": "ko", "Marathi": "mr", "Dutch": "nl", "Portuguese": "pt", "Russian": "ru",
    "Tamil": "ta", "Telugu": "te", "Thai": "th", "Tagalog": "tl", "Turkish": "tr", "Urdu": "ur",
    "Vietnamese": "vi", "Yoruba": "yo", "Chinese": "zh",
}  # fmt: skip
_HUB_SPLITS = {**HUB_NAMES, "test": "test"}

_UPOS_WORDS = {tag: tag for tag in UPOS}
_NAME_WORDS = {tag: tag for tag in NAMES}

_CONLLU_COLUMNS = ("id", "form", "lemma", "upos", "xpos", "feats", "head", "deprel", "deps", "misc")
_UNER_COLUMNS = ("id", "token", "tag", "empty", "annotator")
_WHOLE_WORD = re.compile(r"[0-9]+")
_NUMBER = re.compile(r"[0-9]+([-.][0-9]+)?")
_AUTO_LEAF = re.compile(r"<L (?P<tag>\S+) \S+ \S+ (?P<word>\S+) \S+>")
_SENT_ID = "# sent_id ="


def conllu(path: Path) -> Iterator[Tagging]:
    """Universal Dependencies: words and universal tags.

    Multiword ranges (`1-2`) and empty nodes (`8.1`) are no words. Words without form or tag (`_`) are left out, as in
    XTREME's copy on the hub; a sentence that has no others goes with them.
    """
    for comments, rows in _numbered_sentences(path, _CONLLU_COLUMNS):
        tagged = [row for row in rows if "_" not in (row.text("form"), row.text("upos"))]
        if tagged:
            yield Tagging(
                id=_sentence_id(comments),
                words=tuple(row.text("form") for row in tagged),
                tags=tuple(row.label("upos", _UPOS_WORDS) for row in tagged),
            )


def uner_iob2(path: Path) -> Iterator[Tagging]:
    """Universal NER: names in the sentences of Universal Dependencies."""
    for comments, rows in _numbered_sentences(path, _UNER_COLUMNS):
        yield Tagging(
            id=_sentence_id(comments),
            words=tuple(row.text("token") for row in rows),
            tags=tuple(row.label("tag", _NAME_WORDS) for row in rows),
        )


def _numbered_sentences(path: Path, columns: tuple[str, ...]) -> Iterator[tuple[list[str], list[Row]]]:
    """Comments and words of each sentence in a file whose first column numbers the words."""
    for block in blocks(path):
        comments = [line for _, line in block if line.startswith("#")]
        rows = [_row(path, number, line, columns) for number, line in block if not line.startswith("#")]
        for row in rows:
            if not _NUMBER.fullmatch(row.text(columns[0])):
                raise row.error(columns[0], "the number of a word (1), of several (1-2), or of an empty node (8.1)")
        words = [row for row in rows if _WHOLE_WORD.fullmatch(row.text(columns[0]))]
        if words:
            yield comments, words


def _row(path: Path, number: int, line: str, columns: tuple[str, ...]) -> Row:
    fields = line.split("\t")
    if len(fields) != len(columns):
        raise UserError(
            f"{path}, line {number}: {len(fields)} tab-separated fields in {line[:80]!r};"
            f" expected {len(columns)}: {', '.join(columns)}"
        )
    return Row(path, f"line {number}", dict(zip(columns, fields, strict=True)))


def _sentence_id(comments: list[str]) -> str:
    return next((line.removeprefix(_SENT_ID).strip() for line in comments if line.startswith(_SENT_ID)), "")


def xtreme_pos(path: Path) -> Iterator[Tagging]:
    """XTREME's rewriting of Universal Dependencies; its test files have no tags."""
    return _token_tag(path, _UPOS_WORDS)


def xtreme_names(path: Path) -> Iterator[Tagging]:
    """XTREME's rewriting of WikiANN; its test files have no tags."""
    return _token_tag(path, _NAME_WORDS)


def wikiann(path: Path, *, language: str) -> Iterator[Tagging]:
    """WikiANN as Rahimi et al. split it: every token bears its language, as in `sw:Msimbo`.

    Raises UserError for a token without it, of which the text before a colon would else be lost. What is empty
    without it stays a word, as in the hub's copy.
    """
    return _token_tag(path, _NAME_WORDS, prefix=f"{language}:")


def _token_tag(path: Path, words: Mapping[str, str], *, prefix: str = "") -> Iterator[Tagging]:
    for block in blocks(path):
        rows = [Row(path, f"line {number}", _token(line)) for number, line in block]
        for row in rows:
            if not row.text("token").startswith(prefix):
                raise row.error("token", f"the prefix {prefix} of WikiANN, as on every token; XTREME's form has none")
        yield Tagging(
            id="",
            words=tuple(row.text("token").removeprefix(prefix) for row in rows),
            tags=tuple(row.label("tag", words) for row in rows),
        )


def _token(line: str) -> dict[str, str]:
    token, _, tag = line.partition("\t")
    return {"token": token, "tag": tag}


def tags_parquet(path: Path, *, column: str, names: tuple[str, ...]) -> Iterator[Tagging]:
    """Parts of speech and names in the hub's XTREME, as numbers. Columns and labels as in the hub's card."""
    for row in parquet(path, ("tokens", column)):
        words, tags = row.texts("tokens"), row.items(column)
        if len(words) != len(tags) or not all(tag in range(len(names)) for tag in tags):
            raise row.error(column, f"{len(words)} numbers from 0 to {len(names) - 1}")
        if words:
            yield Tagging(id="", words=tuple(words), tags=tuple(names[tag] for tag in tags))


def ccg_pipes(path: Path) -> Iterator[Tagging]:
    """A sentence a line, each word as `word|POS|supertag`."""
    for number, line in lines(path):
        if not line.strip() or (line.startswith("#") and not line.startswith("#|")):  # `#` may be the first word
            continue
        triples = [word.rsplit("|", 2) for word in line.split()]
        if any(len(triple) != 3 for triple in triples):
            raise UserError(f"{path}, line {number}: {line[:80]!r} is not a line of word|POS|supertag")
        yield Tagging(id="", words=tuple(triple[0] for triple in triples), tags=tuple(triple[2] for triple in triples))


def ccgbank_auto(path: Path) -> Iterator[Tagging]:
    """CCGbank's derivations: the leaves are the words with their categories, the line above names the sentence."""
    identity = ""
    for number, line in lines(path):
        if line.startswith("ID="):
            identity = line.split()[0].removeprefix("ID=")
        elif line.strip():
            leaves = _AUTO_LEAF.findall(line)
            if not leaves or len(leaves) != line.count("<L "):
                raise UserError(
                    f"{path}, line {number}: {line[:80]!r} has no leaves such as <L N NN NN word N>, or others"
                )
            yield Tagging(id=identity, words=tuple(word for _, word in leaves), tags=tuple(tag for tag, _ in leaves))


_CCG_SECTIONS = {**{f"{section:02}": "train" for section in range(2, 22)}, "00": "dev", "23": "test"}

DATASETS = (
    Dataset(
        name="udpos",
        licence="CC BY-SA 3.0 or 4.0, some treebanks non-commercial",
        layouts=(
            # XTREME joins all treebanks of a language; put in the folder those that are wanted.
            Layout(name="conllu", patterns=("{language}_*-ud-{split}.conllu",), read=conllu, scattered=True),
            Layout(name="xtreme-tsv", patterns=("{split}-{language}.tsv",), read=xtreme_pos),
            *hub_layouts(
                "google/xtreme",
                partial(tags_parquet, column="pos_tags", names=UPOS),
                config="udpos.{language}",
                splits=_HUB_SPLITS,
                languages=_HUB_UDPOS_LANGUAGES,
            ),
        ),
        hub=("google/xtreme",),
    ),
    Dataset(
        name="panx",
        licence="none stated",
        layouts=(
            Layout(name="xtreme-tsv", patterns=("{split}-{language}.tsv",), read=xtreme_names),
            Layout(name="wikiann", patterns=("{language}/{split}",), read=wikiann, by_language=True),
            Layout(name="wikiann-flat", patterns=("{language}-{split}",), read=wikiann, by_language=True),
            *hub_layouts(
                "google/xtreme",
                partial(tags_parquet, column="ner_tags", names=NAMES),
                config="PAN-X.{language}",
                splits=_HUB_SPLITS,
                languages={language: language for language in _PANX_LANGUAGES},
            ),
        ),
        hub=("google/xtreme",),
    ),
    Dataset(
        name="uner",
        licence="CC BY-SA 3.0 or 4.0",
        layouts=(Layout(name="iob2", patterns=("{language}_*-ud-{split}.iob2",), read=uner_iob2, scattered=True),),
    ),
    Dataset(
        name="ccg",
        licence="LDC, bring your own",
        layouts=(
            Layout(name="auto", patterns=("AUTO/{split}/wsj_*.auto",), splits=_CCG_SECTIONS, read=ccgbank_auto),
            Layout(
                name="pipes",
                patterns=("wsj{split}.stagged",),
                splits={"02-21": "train", "00": "dev", "23": "test"},
                read=ccg_pipes,
            ),
            Layout(name="named-pipes", patterns=("ccg.{split}",), splits=SAME_NAMES, read=ccg_pipes),
        ),
    ),
)

_TARGET_SETTINGS = TrainingSettings(batch_size=32, epochs="10")  # [V]

TASKS = (
    Task(
        spec=TaskSpec(
            name="udpos",
            version=1,
            kind=TaskKind.TAGGING,
            description="Universal part-of-speech tags",
            train=Source("udpos", "train"),
            dev=Source("udpos", "dev"),
            test=Source("udpos", "test"),
            languages=_UDPOS_LANGUAGES,
            labels=UPOS,
            metric="f1",
            settings=_TARGET_SETTINGS,
            published_rows={Source("udpos", "train"): 12_544, Source("udpos", "dev"): 2_001},  # [M] English-EWT
            licence="CC BY-SA 3.0 or 4.0, some treebanks non-commercial",
            reference="Nivre et al. 2020; recipe of jiant's XTREME scripts",
        ),
        stratum=strata.by_length,
    ),
    Task(
        spec=TaskSpec(
            name="panx",
            version=1,
            kind=TaskKind.TAGGING,
            description="Names of persons, organisations and places in Wikipedia",
            train=Source("panx", "train"),
            dev=Source("panx", "dev"),
            test=Source("panx", "test"),
            languages=_PANX_LANGUAGES,
            labels=NAMES,
            metric="f1",
            settings=_TARGET_SETTINGS,
            published_rows={Source("panx", "train"): 20_000, Source("panx", "dev"): 10_000},  # [M] in English
            licence="none stated",
            reference="Pan et al. 2017, Rahimi et al. 2019; recipe of jiant's XTREME scripts",
        ),
        stratum=strata.by_length,
    ),
    Task(
        spec=TaskSpec(
            name="uner",
            version=1,
            kind=TaskKind.TAGGING,
            description="Names of persons, organisations and places, annotated by hand",
            train=Source("uner", "train"),
            dev=Source("uner", "dev"),
            test=Source("uner", "test"),
            languages=_UNER_LANGUAGES,
            labels=NAMES,
            metric="f1",
            settings=_TARGET_SETTINGS,
            licence="CC BY-SA 3.0 or 4.0",
            reference="Mayhew et al. 2024; recipe of jiant's PANX",
        ),
        stratum=strata.by_length,
    ),
    Task(
        spec=TaskSpec(
            name="ccg",
            version=1,
            kind=TaskKind.TAGGING,
            description="Combinatory categorial grammar supertags of CCGbank",
            train=Source("ccg", "train"),
            dev=Source("ccg", "dev"),
            # Supertags are categories, not chunks of equal tags.
            metric="accuracy",
            settings=TrainingSettings(batch_size=24, epochs="15"),  # [M]
            published_rows={Source("ccg", "train"): 38_015},  # [M]
            licence="LDC, bring your own",
            reference="Hockenmaier and Steedman 2007; recipe of Phang et al. 2020, appendix",
        ),
        stratum=strata.by_length,
    ),
)
