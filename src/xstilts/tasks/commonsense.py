"""Multiple choice over everyday situations, to train on: HellaSwag, Cosmos QA, CommonsenseQA."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from xstilts.api.training import TrainingSettings
from xstilts.core.catalogue import Source, TaskKind, TaskSpec
from xstilts.tasks import strata
from xstilts.tasks.definitions import SAME_NAMES, TRANSLATIONS, Dataset, Layout, Task, hub_layouts
from xstilts.tasks.examples import MultipleChoice
from xstilts.tasks.files import Row, csv_table, json_lines, parquet

_WIKIHOW_START = "[header]"
_COSMOSQA_ANSWERS = tuple(f"answer{number}" for number in range(4))
_COSMOSQA_COLUMNS = ("id", "context", "question", *_COSMOSQA_ANSWERS, "label")


def hellaswag_jsonl(path: Path) -> Iterator[MultipleChoice]:
    """Prompt and continuations as in jiant: the last, broken-off sentence of the context is repeated in each choice."""
    return map(_hellaswag, json_lines(path))


def hellaswag_parquet(path: Path) -> Iterator[MultipleChoice]:
    """The hub's HellaSwag, with labels as text. Columns as in HF's card of `Rowan/hellaswag`."""
    return map(_hellaswag, parquet(path, ("ind", "ctx_a", "ctx_b", "endings", "label")))


def _hellaswag(row: Row) -> MultipleChoice:
    endings = row.texts("endings")
    return MultipleChoice(
        id=str(row.integer("ind")),
        prompt=row.text("ctx_a"),
        choices=tuple(_joined(row.text("ctx_b"), ending) for ending in endings),
        label=row.index("label", len(endings)),
    )


def _joined(start: str, ending: str) -> str:
    """Some endings go on with a comma, which follows its word without a space; WikiHow's have no start."""
    return start + ending if ending.startswith(",") else f"{start} {ending}".lstrip(" ")


def hellaswag_stratum(example: MultipleChoice) -> str:
    """WikiHow or ActivityNet, two sources of different style and difficulty, and the right choice."""
    source = "wikihow" if example.prompt.startswith(_WIKIHOW_START) else "activitynet"
    return f"{source}, {strata.by_choice(example)}"


def cosmosqa_csv(path: Path) -> Iterator[MultipleChoice]:
    """Context and question make the prompt, as in jiant."""
    return map(_cosmosqa, csv_table(path, _COSMOSQA_COLUMNS))


def cosmosqa_parquet(path: Path) -> Iterator[MultipleChoice]:
    """The hub's Cosmos QA. Columns as in HF's `dataset_infos` of `cosmos_qa`."""
    return map(_cosmosqa, parquet(path, _COSMOSQA_COLUMNS))


def _cosmosqa(row: Row) -> MultipleChoice:
    return MultipleChoice(
        id=row.text("id"),
        prompt=f"{row.text('context')} {row.text('question')}",
        choices=tuple(row.text(answer) for answer in _COSMOSQA_ANSWERS),
        label=row.index("label", len(_COSMOSQA_ANSWERS)),
    )


def commonsenseqa_jsonl(path: Path) -> Iterator[MultipleChoice]:
    """The authors' form, with the question as an object of stem and choices."""
    for row in json_lines(path):
        question = row.values.get("question")
        if not isinstance(question, dict):
            raise row.error("question", "an object with stem and choices")
        inner = Row(path, f"{row.place}, question", question)
        choices = [_choice(inner, choice) for choice in inner.items("choices")]
        yield MultipleChoice(
            id=row.text("id"),
            prompt=inner.text("stem"),
            choices=tuple(text for _, text in choices),
            label=_position(row, [letter for letter, _ in choices]),
        )


def commonsenseqa_parquet(path: Path) -> Iterator[MultipleChoice]:
    """The hub's CommonsenseQA: the stem is `question`, and choices are two lists. Columns as in the hub's card."""
    for row in parquet(path, ("id", "question", "choices", "answerKey")):
        if not isinstance(row.values["choices"], dict):
            raise row.error("choices", "lists of label and text")
        choices = Row(path, f"{row.place}, choices", row.values["choices"])
        texts, letters = choices.texts("text"), choices.texts("label")
        if len(texts) != len(letters):
            raise choices.error("label", f"one letter for each of {len(texts)} texts")
        yield MultipleChoice(
            id=row.text("id"), prompt=row.text("question"), choices=tuple(texts), label=_position(row, letters)
        )


def _choice(question: Row, values: Any) -> tuple[str, str]:
    if not isinstance(values, dict):
        raise question.error("choices", "objects with label and text")
    choice = Row(question.path, f"{question.place}, choices", values)
    return choice.text("label"), choice.text("text")


def _position(row: Row, letters: list[str]) -> int:
    if len(set(letters)) < len(letters):
        raise row.error("answerKey", f"one of choices with different letters, which {' '.join(letters)} are not")
    key = row.label("answerKey", dict.fromkeys(letters, "right")) and row.text("answerKey")
    return letters.index(key) if key else -1


DATASETS = (
    Dataset(
        name="hellaswag",
        licence="MIT",
        layouts=(
            Layout(
                name="jsonl",
                patterns=("hellaswag_{split}.jsonl",),
                splits={"train": "train", "val": "dev", "test": "test"},
                read=hellaswag_jsonl,
            ),
            Layout(
                name="jsonl-by-language",  # own translations
                patterns=("hellaswag_{split}.{language}.jsonl",),
                splits={"train": "train", "val": "dev"},
                languages=TRANSLATIONS,
                read=hellaswag_jsonl,
            ),
            *hub_layouts("Rowan/hellaswag", hellaswag_parquet),
        ),
        hub=("Rowan/hellaswag",),
    ),
    Dataset(
        name="cosmosqa",
        licence="CC BY 4.0",
        layouts=(
            Layout(name="csv", patterns=("{split}.csv",), splits={"train": "train", "valid": "dev"}, read=cosmosqa_csv),
            *hub_layouts("allenai/cosmos_qa", cosmosqa_parquet),
        ),
        hub=("allenai/cosmos_qa",),
    ),
    Dataset(
        name="commonsenseqa",
        licence="MIT",
        layouts=(
            Layout(
                name="jsonl",
                patterns=("{split}_rand_split*.jsonl",),  # the test file ends in `_no_answers`
                splits=SAME_NAMES,
                read=commonsenseqa_jsonl,
            ),
            *hub_layouts("tau/commonsense_qa", commonsenseqa_parquet),
        ),
        hub=("tau/commonsense_qa",),
    ),
)

TASKS = (
    Task(
        spec=TaskSpec(
            name="hellaswag",
            version=1,
            kind=TaskKind.MULTIPLE_CHOICE,
            description="Which of four sentences goes on with the story?",
            train=Source("hellaswag", "train"),
            dev=Source("hellaswag", "dev"),
            settings=TrainingSettings(batch_size=24, epochs="7"),  # [M]
            published_rows={
                Source("hellaswag", "train"): 39_905,  # [V]
                Source("hellaswag", "dev"): 10_042,  # [M]
            },
            licence="MIT",
            reference="Zellers et al. 2019; recipe of Phang et al. 2020, appendix",
        ),
        stratum=hellaswag_stratum,
    ),
    Task(
        spec=TaskSpec(
            name="cosmosqa",
            version=1,
            kind=TaskKind.MULTIPLE_CHOICE,
            description="Which of four answers explains what people in a blog post do or feel?",
            train=Source("cosmosqa", "train"),
            dev=Source("cosmosqa", "dev"),
            settings=TrainingSettings(batch_size=4, epochs="15"),  # [M]
            # 25,588 in the paper [M]
            published_rows={Source("cosmosqa", "train"): 25_262, Source("cosmosqa", "dev"): 2_985},  # [V]
            licence="CC BY 4.0",
            reference="Huang et al. 2019; recipe of Phang et al. 2020, appendix",
        ),
        stratum=strata.by_choice,
    ),
    Task(
        spec=TaskSpec(
            name="commonsenseqa",
            version=1,
            kind=TaskKind.MULTIPLE_CHOICE,
            description="Which of five answers does common sense give?",
            train=Source("commonsenseqa", "train"),
            dev=Source("commonsenseqa", "dev"),
            settings=TrainingSettings(batch_size=4, epochs="10"),  # [M]
            published_rows={Source("commonsenseqa", "train"): 9_741, Source("commonsenseqa", "dev"): 1_221},  # [V]
            licence="MIT",
            reference="Talmor et al. 2019; recipe of Phang et al. 2020, appendix",
        ),
        stratum=strata.by_choice,
    ),
)
