"""Extractive question answering in SQuAD's JSON: SQuAD 1.1 and 2.0 to train on; XQuAD, MLQA, TyDiQA to evaluate on."""

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from xstilts.api.training import TrainingSettings
from xstilts.core.catalogue import Source, TaskKind, TaskSpec
from xstilts.core.errors import UserError
from xstilts.tasks import strata
from xstilts.tasks.definitions import HUB_NAMES, TRANSLATIONS, Dataset, Layout, Task, hub_layouts
from xstilts.tasks.examples import Answer, SpanExtraction
from xstilts.tasks.files import Row, json_document, parquet

_XQUAD_LANGUAGES = ("ar", "de", "el", "en", "es", "hi", "ru", "th", "tr", "vi", "zh")
_MLQA_LANGUAGES = ("ar", "de", "en", "es", "hi", "vi", "zh")
_TYDIQA_NAMES = {
    "arabic": "ar",
    "bengali": "bn",
    "english": "en",
    "finnish": "fi",
    "indonesian": "id",
    "korean": "ko",
    "russian": "ru",
    "swahili": "sw",
    "telugu": "te",
}


def squad_json(path: Path, *, unanswerable: bool = False) -> Iterator[SpanExtraction]:
    """Every question of a file in SQuAD's form; each answer is checked to stand at its `answer_start`.

    `unanswerable` says whether the data set has questions without answer, as SQuAD 2.0 does. Elsewhere a question
    without answers has lost them, as happens in translation, and is refused: to train on it as unanswerable would
    teach the model to answer nothing.
    """
    for paragraph in _paragraphs(path):
        context = paragraph.text("context")
        for number, values in enumerate(paragraph.items("qas")):
            row = _child(paragraph, f"qas[{number}]", values)
            yield SpanExtraction(
                id=row.text("id"),
                question=row.text("question"),
                context=context,
                answers=_answers(row, context, unanswerable),
            )


def squad_parquet(path: Path, *, unanswerable: bool = False) -> Iterator[SpanExtraction]:
    """SQuAD and its kin on the hub: a row a question, answers as two lists.

    Columns of SQuAD as in HF's loading scripts; those of XQuAD, MLQA and TyDiQA from memory (unverified).
    """
    for row in parquet(path, ("id", "question", "context", "answers")):
        if not isinstance(row.values["answers"], dict):
            raise row.error("answers", "lists of text and answer_start")
        context, answers = row.text("context"), Row(path, f"{row.place}, answers", row.values["answers"])
        texts, starts = answers.items("text"), answers.items("answer_start")
        if len(texts) != len(starts):
            raise answers.error("answer_start", f"one start for each of {len(texts)} texts")
        if not texts and not unanswerable:
            raise answers.error("text", _EXPECTED_ANSWER)
        rows = [
            Row(path, f"{row.place}, answers[{number}]", {"text": text, "answer_start": start})
            for number, (text, start) in enumerate(zip(texts, starts, strict=True))
        ]
        yield SpanExtraction(
            id=row.text("id"),
            question=row.text("question"),
            context=context,
            answers=tuple(_answer(answer, context) for answer in rows),
        )


def of_language(
    path: Path, *, read: Callable[[Path], Iterator[SpanExtraction]], prefix: str
) -> Iterator[SpanExtraction]:
    """The original TyDiQA-GoldP: all languages in one file, told apart by the first part of the id."""
    for example in read(path):
        own = example.id.split("-")[0]
        if own not in _TYDIQA_NAMES:
            raise UserError(
                f"{path}: id {example.id[:80]!r} begins with no language; expected one of {', '.join(_TYDIQA_NAMES)}"
            )
        if own == prefix:
            yield example


def _paragraphs(path: Path) -> Iterator[Row]:
    document = json_document(path)
    for number, values in enumerate(document.items("data")):
        article = _child(Row(path, "", {}), f"data[{number}]", values)
        for inner, paragraph in enumerate(article.items("paragraphs")):
            yield _child(article, f"paragraphs[{inner}]", paragraph)


def _child(parent: Row, step: str, values: Any) -> Row:
    place = f"{parent.place}.{step}".removeprefix(".")
    if not isinstance(values, dict):
        raise UserError(f"{parent.path}, {place}: {values!r} is not a JSON object")
    return Row(parent.path, place, values)


_EXPECTED_ANSWER = (
    "an answer, as every question of this data set has one; remove the question if its answer was lost, or import"
    " the file as squad_v2 if the context holds none"
)


def _answers(question: Row, context: str, unanswerable: bool) -> tuple[Answer, ...]:
    rows = [_child(question, f"answers[{number}]", values) for number, values in enumerate(question.items("answers"))]
    impossible = question.values.get("is_impossible")
    if impossible not in (None, True, False):
        raise question.error("is_impossible", "true or false")
    if impossible and all(row.values.get("text") == "" for row in rows):  # a blank answer is how some tools write none
        rows = []
    if impossible and rows:
        raise question.error("answers", "[], as is_impossible is true; write false there if the answers are right")
    if not rows and not unanswerable:
        raise question.error("answers", _EXPECTED_ANSWER)
    if not rows and impossible is False:
        raise question.error("answers", "an answer, as is_impossible is false; write true there if there is none")
    if unanswerable and any(row.values.get("text") == "" for row in rows):
        raise question.error("answers", 'answers with text; a question without answer has "answers": []')
    return tuple(_answer(row, context) for row in rows)


def _answer(row: Row, context: str) -> Answer:
    answer = Answer(row.text("text"), row.integer("answer_start"))
    if not answer.text:  # as in test files without gold, whatever the position
        return Answer("", 0)
    if not context.startswith(answer.text, answer.start) or answer.start < 0:
        there = context[max(answer.start, 0) :][: len(answer.text)]
        raise row.error("answer_start", f"the position of {answer.text!r} in the context; {there!r} stands there")
    return answer


DATASETS = (
    Dataset(
        name="squad_v1",
        licence="CC BY-SA 4.0",
        layouts=(
            Layout(name="json", patterns=("{split}-v1.1.json",), read=squad_json),
            Layout(
                name="json-by-language",  # own translations
                patterns=("{split}-v1.1.{language}.json",),
                languages=TRANSLATIONS,
                read=squad_json,
            ),
            Layout(
                name="xtreme-translated-json",
                patterns=("squad.translate.{split}.en-{language}.json",),
                splits={"train": "train", "dev": "dev"},
                read=squad_json,
            ),
            *hub_layouts("rajpurkar/squad", squad_parquet, config="plain_text"),
        ),
        hub=("rajpurkar/squad",),
    ),
    Dataset(
        name="squad_v2",
        licence="CC BY-SA 4.0",
        layouts=(
            Layout(name="json", patterns=("{split}-v2.0.json",), read=partial(squad_json, unanswerable=True)),
            Layout(
                name="json-by-language",  # own translations
                patterns=("{split}-v2.0.{language}.json",),
                languages=TRANSLATIONS,
                read=partial(squad_json, unanswerable=True),
            ),
            *hub_layouts("rajpurkar/squad_v2", partial(squad_parquet, unanswerable=True), config="squad_v2"),
        ),
        hub=("rajpurkar/squad_v2",),
    ),
    Dataset(
        name="xquad",
        licence="CC BY-SA 4.0",
        layouts=(
            Layout(name="json", patterns=("xquad.{language}.json",), split="test", read=squad_json),
            *hub_layouts("google/xquad", squad_parquet, config="xquad.{language}", splits={"validation": "test"}),
        ),
        hub=("google/xquad",),
    ),
    Dataset(
        name="mlqa",
        licence="CC BY-SA 3.0",
        layouts=(
            Layout(
                name="json",
                patterns=("{split}-context-{language}-question-{language}.json",),
                splits={"dev": "dev", "test": "test"},
                read=squad_json,
            ),
            *hub_layouts(
                "facebook/mlqa",
                squad_parquet,
                config="mlqa.{language}.{language}",
                splits={"validation": "dev", "test": "test"},
            ),
        ),
        hub=("facebook/mlqa",),
    ),
    Dataset(
        name="tydiqa",
        licence="Apache 2.0",
        layouts=(
            Layout(
                name="xtreme-json",
                patterns=("tydiqa.goldp.{language}.{split}.json",),
                splits={"train": "train", "dev": "dev"},
                read=squad_json,
            ),
            Layout(
                name="dev-json",
                patterns=("tydiqa-goldp-dev-{language}.json",),
                split="dev",
                languages=_TYDIQA_NAMES,
                read=squad_json,
            ),
            *(
                Layout(
                    name=f"json-{language}",
                    patterns=("tydiqa-goldp-v1.1-{split}.json",),
                    splits={"train": "train", "dev": "dev"},
                    language=language,
                    selective=True,
                    read=partial(of_language, read=squad_json, prefix=name),
                )
                for name, language in _TYDIQA_NAMES.items()
            ),
            *(
                Layout(
                    name=f"parquet-{language}",
                    patterns=("tydiqa/secondary_task/{split}-*.parquet",),
                    splits=HUB_NAMES,
                    language=language,
                    selective=True,
                    read=partial(of_language, read=squad_parquet, prefix=name),
                )
                for name, language in _TYDIQA_NAMES.items()
            ),
        ),
        hub=("google-research-datasets/tydiqa",),
    ),
)

_SQUAD_ROWS = {Source("squad_v1", "train"): 87_599, Source("squad_v1", "dev"): 10_570}  # [M]
_TARGET_SETTINGS = TrainingSettings(batch_size=16, epochs="2", max_length=384)  # [V]
_INTERMEDIATE_SETTINGS = TrainingSettings(batch_size=8, epochs="3", max_length=384)  # [M]

TASKS = (
    Task(
        spec=TaskSpec(
            name="squad_v1",
            version=1,
            kind=TaskKind.SPAN_EXTRACTION,
            description="Questions about Wikipedia paragraphs that hold the answer",
            train=Source("squad_v1", "train"),
            dev=Source("squad_v1", "dev"),
            metric="score",
            settings=_INTERMEDIATE_SETTINGS,
            published_rows=_SQUAD_ROWS,
            licence="CC BY-SA 4.0",
            reference="Rajpurkar et al. 2016; recipe of Phang et al. 2020, appendix",
        ),
        stratum=strata.by_answer,
    ),
    Task(
        spec=TaskSpec(
            name="squad_v2",
            version=2,
            kind=TaskKind.SPAN_EXTRACTION,
            description="Questions about Wikipedia paragraphs, a third of them without an answer",
            train=Source("squad_v2", "train"),
            dev=Source("squad_v2", "dev"),
            metric="score",
            settings=_INTERMEDIATE_SETTINGS,
            published_rows={Source("squad_v2", "train"): 130_319, Source("squad_v2", "dev"): 11_873},  # [M]
            licence="CC BY-SA 4.0",
            reference="Rajpurkar et al. 2018; recipe of Phang et al. 2020, appendix",
        ),
        stratum=strata.by_answer,
        rules="squad_v2",
    ),
    Task(
        spec=TaskSpec(
            name="xquad",
            version=1,
            kind=TaskKind.SPAN_EXTRACTION,
            description="240 paragraphs of SQuAD with their questions, translated into ten languages",
            train=Source("squad_v1", "train"),
            # As in XTREME. XQuAD's paragraphs come from this set, so select on the part of it without them where
            # the English score matters; XQuAD itself is the only evaluation set.
            dev=Source("squad_v1", "dev"),
            test=Source("xquad", "test"),
            languages=_XQUAD_LANGUAGES,
            metric="score",
            settings=_TARGET_SETTINGS,
            published_rows={**_SQUAD_ROWS, Source("xquad", "test"): 1_190},  # [V] per language
            licence="CC BY-SA 4.0",
            reference="Artetxe et al. 2020; recipe of jiant's XTREME scripts",
        ),
        stratum=strata.by_answer,
    ),
    Task(
        spec=TaskSpec(
            name="mlqa",
            version=1,
            kind=TaskKind.SPAN_EXTRACTION,
            description="Questions about Wikipedia paragraphs in seven languages, question and context in the same",
            train=Source("squad_v1", "train"),
            dev=Source("squad_v1", "dev"),  # of the training task, as in the paper; MLQA's own dev stays unseen
            test=Source("mlqa", "test"),
            languages=_MLQA_LANGUAGES,
            metric="score",
            settings=_TARGET_SETTINGS,
            published_rows=_SQUAD_ROWS,
            licence="CC BY-SA 3.0",
            reference="Lewis et al. 2020; recipe of jiant's XTREME scripts",
        ),
        stratum=strata.by_answer,
        rules="mlqa",
    ),
    Task(
        spec=TaskSpec(
            name="tydiqa",
            version=1,
            kind=TaskKind.SPAN_EXTRACTION,
            description="Questions that native speakers asked, with the Wikipedia passage that holds the answer",
            train=Source("tydiqa", "train"),
            # Gold passages have no test set, so XTREME evaluates on dev. Selection sees its English part alone: only
            # the English score is optimistic, as questions are written anew in each language.
            dev=Source("tydiqa", "dev"),
            test=Source("tydiqa", "dev"),
            languages=tuple(sorted(_TYDIQA_NAMES.values())),
            metric="score",
            settings=_TARGET_SETTINGS,
            published_rows={Source("tydiqa", "train"): 3_696, Source("tydiqa", "dev"): 440},  # [V] in English
            licence="Apache 2.0",
            reference="Clark et al. 2020; recipe of jiant's XTREME scripts",
        ),
        stratum=strata.by_answer,
    ),
)
