"""Semantic parsing proper: MTOP's nested trees and MCWQ's queries, with pointers to the words that a parse copies.

XTREME has no such task. Recipes are those of XSemPLR (Zhang et al. 2023) for XLM-R with a pointer decoder.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from xstilts.api.training import TrainingSettings
from xstilts.core.catalogue import ENGLISH, Source, TaskKind, TaskSpec
from xstilts.core.errors import UserError
from xstilts.core.trees import read_tree, with_pointers
from xstilts.tasks import strata
from xstilts.tasks.definitions import SAME_NAMES, Dataset, Layout, Task
from xstilts.tasks.examples import SemanticParse
from xstilts.tasks.files import Row, headless_table, json_document, json_list

_MTOP_COLUMNS = ("id", "intent", "slots", "utterance", "domain", "locale", "decoupled form", "tokens")
_MTOP_LANGUAGES = ("de", "en", "es", "fr", "hi", "th")
_MCWQ_LANGUAGES = ("en", "he", "kn", "zh")
_PLACEHOLDER = re.compile(r"((?<![A-Za-z0-9])M[0-9]+(?![0-9]))")


def mtop_tsv(path: Path) -> Iterator[SemanticParse]:
    """MTOP's own files. Words are those of the tokens column, which leaves are made of; the utterance has others."""
    for row in headless_table(path, _MTOP_COLUMNS):
        yield _tree(row, row.text("id"), _tokens(row), row.text("decoupled form"), "decoupled form")


def _tokens(row: Row) -> list[str]:
    try:
        tokens = row.json("tokens")["tokens"]
    except (LookupError, TypeError) as error:
        raise row.error("tokens", 'JSON with a list of "tokens"') from error
    if not isinstance(tokens, list) or not tokens or not all(isinstance(token, str) for token in tokens):
        raise row.error("tokens", 'JSON with a list of "tokens"')
    return tokens


def mtop_xsemplr(path: Path, *, language: str) -> Iterator[SemanticParse]:
    """XSemPLR's parallel part of MTOP: one file a split with all languages; questions are tokens joined by spaces."""
    for row in json_list(path):
        trees, questions = _inner(row, "mr", "slot_intent"), _inner(row, "question")
        if (language in trees) != (language in questions):
            raise row.error("mr" if language in questions else "question", f"the row in {language}, as the other has")
        if language in trees:
            yield _tree(row, row.text("id"), questions[language].split(), trees[language], "mr")


def _tree(row: Row, identity: str, words: Sequence[str], text: str, field: str) -> SemanticParse:
    """A row with its tree, which may be blank, as in test files without gold."""
    tree = read_tree(text)
    if tree is None and text:
        raise row.error(field, "one tree of brackets such as [IN:GET_EVENT [SL:LOCATION Rome ] ]")
    return SemanticParse(id=identity, words=tuple(words), parse=with_pointers(tree, words) if tree else ())


def mcwq_json(dataset: Path, split: Path, *, split_name: str, language: str) -> Iterator[SemanticParse]:
    """MCWQ's own files: all questions in all languages, and the places in it of a split's questions."""
    rows = list(json_list(dataset))
    suffix = "" if language == ENGLISH else f"_{language}"
    places = json_document(split)
    for place in places.items(f"{split_name}Idxs"):
        if not isinstance(place, int) or not 0 <= place < len(rows):
            raise UserError(f"{split}: {split_name}Idxs has {place!r}; expected places from 0 to {len(rows) - 1}")
        row = rows[place]
        question, query = row.text(f"questionPatternModEntities{suffix}"), row.text("sparqlPatternModEntities")
        yield _query(str(place), question, query)


def mcwq_xsemplr(path: Path, *, language: str) -> Iterator[SemanticParse]:
    """XSemPLR's part of MCWQ: one file a split with all languages, without ids."""
    for row in json_list(path):
        queries, questions = _inner(row, "mr"), _inner(row, "question")
        if language in questions:
            if "sparql" not in queries:
                raise row.error("mr", "the query as sparql")
            yield _query("", questions[language], queries["sparql"])


def _query(identity: str, question: str, query: str) -> SemanticParse:
    """Words are split at spaces and around placeholders, to which translations stick affixes and commas."""
    words = [part for word in question.split() for part in _PLACEHOLDER.split(word) if part]
    places = {word: place for place, word in reversed(list(enumerate(words))) if _PLACEHOLDER.fullmatch(word)}
    return SemanticParse(
        id=identity, words=tuple(words), parse=tuple(places.get(token, token) for token in query.split())
    )


def _inner(row: Row, *fields: str) -> Mapping[str, str]:
    """A JSON object of texts, under one or several names."""
    value: Any = row.values
    for field in fields:
        value = value.get(field) if isinstance(value, Mapping) else None
    if not isinstance(value, Mapping) or not all(isinstance(text, str) for text in value.values()):
        raise row.error(fields[0], f"texts under {' and '.join(fields)}")
    return value


def _mcwq(name: str, split_file: str) -> Dataset:
    """MCWQ under one of its choices of splits."""
    folder = split_file.removesuffix("_split")
    return Dataset(
        name=name,
        licence="CC BY 4.0",
        layouts=(
            *(
                Layout(
                    name=f"json-{split}-{language}",
                    patterns=("dataset.json", f"split*/{split_file}.json"),
                    split=split,
                    language=language,
                    selective=True,
                    read=partial(mcwq_json, split_name=split, language=language),
                )
                for split in SAME_NAMES
                for language in _MCWQ_LANGUAGES
            ),
            *(
                Layout(
                    name=f"xsemplr-{language}",
                    patterns=(f"{folder}/{{split}}.json",),
                    language=language,
                    selective=True,
                    read=partial(mcwq_xsemplr, language=language),
                )
                for language in _MCWQ_LANGUAGES
            ),
        ),
    )


_MCWQ = {
    "mcwq": ("mcd1", {"dev": 5_408, "test": 5_310}),
    "mcwq_mcd2": ("mcd2", {"dev": 5_929, "test": 5_891}),
    "mcwq_mcd3": ("mcd3", {"dev": 6_034, "test": 6_151}),
    "mcwq_random": ("random_split", {"dev": 6_163, "test": 6_282}),
}
"""Name to upstream's choice of splits and their rows in every language."""  # [V] lines of upstream's files

DATASETS = (
    Dataset(
        name="mtop",
        licence="CC BY-SA 4.0",
        layouts=(
            Layout(
                name="tsv",
                patterns=("{language}/{split}.txt",),
                splits={"train": "train", "eval": "dev", "test": "test"},
                read=mtop_tsv,
            ),
            *(
                Layout(
                    name=f"xsemplr-{language}",
                    patterns=("mtop*/{split}.json",),
                    language=language,
                    selective=True,
                    read=partial(mtop_xsemplr, language=language),
                )
                for language in _MTOP_LANGUAGES
            ),
        ),
    ),
    *(_mcwq(name, split_file) for name, (split_file, _) in _MCWQ.items()),
)

_SETTINGS = TrainingSettings(learning_rate="0.00005", batch_size=32, epochs="100", max_length=128)  # [V] XSemPLR's


def _task(
    name: str,
    description: str,
    *,
    rules: str,
    languages: Sequence[str],
    published_rows: Mapping[str, int],
    licence: str,
    reference: str,
) -> Task:
    spec = TaskSpec(
        name=name,
        version=2,  # 1 was planned with only
        kind=TaskKind.SEMANTIC_PARSING,
        description=description,
        train=Source(name, "train"),
        dev=Source(name, "dev"),
        test=Source(name, "test"),
        languages=tuple(languages),
        metric="exact_match",
        settings=_SETTINGS,
        published_rows={Source(name, split): rows for split, rows in published_rows.items()},
        licence=licence,
        reference=f"{reference}; recipe of XSemPLR (Zhang et al. 2023)",
    )
    return Task(spec=spec, stratum=strata.by_root, rules=rules)


TASKS = (
    _task(
        "mtop",
        "Nested task-oriented parses over eleven domains",
        rules="top",
        languages=_MTOP_LANGUAGES,
        published_rows={"train": 15_667, "dev": 2_235, "test": 4_386},  # [V] in English
        licence="CC BY-SA 4.0",
        reference="Li et al. 2021",
    ),
    *(
        _task(
            name,
            f"Questions to SPARQL over Wikidata, split {split_file.removesuffix('_split')}",
            rules="sparql",
            languages=_MCWQ_LANGUAGES,
            published_rows=rows,
            licence="CC BY 4.0",
            reference="Cui et al. 2022",
        )
        for name, (split_file, rows) in _MCWQ.items()
    ),
)
