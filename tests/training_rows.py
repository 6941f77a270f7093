"""Tiny learnable tasks of every kind, and a tiny encoder: what the tests of training share.

Rules that a two-layer model learns from 32 rows: the first word tells the class, a word tells its tag, a number word is
the answer, the choice with "right" is right.
"""

from collections.abc import Sequence
from pathlib import Path
from random import Random
from typing import Any

from xstilts.api.training import TrainingSettings
from xstilts.core.catalogue import TaskKind
from xstilts.tasks.examples import (
    Answer,
    Classification,
    Example,
    IntentAndSlots,
    MultipleChoice,
    Retrieval,
    SpanExtraction,
    Tagging,
)
from xstilts.training import TaskData, init_model

OPENERS = {"set": "alarm", "play": "music", "call": "phone"}
NUMBERS = ("one", "two", "three", "four", "five", "six")
FILLERS = ("the", "red", "house", "of", "my", "old", "friend", "near", "green", "river")
TAGS = {**dict.fromkeys(OPENERS, "VERB"), **dict.fromkeys(NUMBERS, "NUM"), **dict.fromkeys(FILLERS, "X")}

METRICS = {
    TaskKind.CLASSIFICATION: "accuracy",
    TaskKind.MULTIPLE_CHOICE: "accuracy",
    TaskKind.TAGGING: "accuracy",
    TaskKind.INTENT_AND_SLOTS: "exact_match",
    TaskKind.SPAN_EXTRACTION: "exact_match",
}


def settings(**changes: Any) -> TrainingSettings:
    """Fast learning at tiny sizes; dropout stays on."""
    return TrainingSettings(
        **{"learning_rate": "0.003", "batch_size": 8, "max_length": 48, "doc_stride": 16, "epochs": "1"} | changes
    )


def tiny_encoder(folder: Path, **sizes: Any) -> Path:
    texts = [" ".join(words(Random(seed))) for seed in range(200)] + ["right wrong which number pick"] * 20
    init_model(texts, folder, **{"vocab_size": 150, "hidden_size": 32, "max_length": 64} | sizes)
    return folder


def words(random: Random) -> list[str]:
    """An opener, and fillers with one number between them."""
    middle = random.choices(FILLERS, k=random.randint(2, 6))
    middle.insert(random.randint(0, len(middle)), random.choice(NUMBERS))
    return [random.choice(sorted(OPENERS)), *middle]


def example(kind: TaskKind, number: int) -> Example:
    random = Random(f"{kind} {number}")
    row, tokens = str(number), words(random)
    text, tags = " ".join(tokens), tuple(TAGS[word] for word in tokens)
    answer = next(word for word in tokens if word in NUMBERS)
    match kind:
        case TaskKind.CLASSIFICATION:
            return Classification(id=row, first=text, second="the river", label=OPENERS[tokens[0]])
        case TaskKind.TAGGING:
            return Tagging(id=row, words=tuple(tokens), tags=tags)
        case TaskKind.INTENT_AND_SLOTS:
            slots = tuple("B-number" if tag == "NUM" else "O" for tag in tags)
            return IntentAndSlots(id=row, words=tuple(tokens), slots=slots, intent=OPENERS[tokens[0]])
        case TaskKind.MULTIPLE_CHOICE:
            label = random.randrange(3)
            choices = tuple("right" if choice == label else "wrong" for choice in range(3))
            return MultipleChoice(id=row, prompt=text, choices=choices, label=label)
        case TaskKind.SPAN_EXTRACTION:
            where = Answer(answer, text.index(f" {answer}") + 1)
            return SpanExtraction(id=row, question="which number", context=text, answers=(where,))
        case TaskKind.RETRIEVAL:
            return Retrieval(id=row, text=text, english=text)


def rows(kind: TaskKind, number: int = 32) -> Sequence[Example]:
    return [example(kind, row) for row in range(number)]


def task(kind: TaskKind, number: int = 32, **changes: Any) -> TaskData:
    """The dev rows are the training rows: tests ask whether a head learns, not whether it generalizes."""
    data = {
        "name": str(kind),
        "kind": kind,
        "metric": METRICS[kind],
        "train": rows(kind, number),
        "dev": rows(kind, number),
    }
    return TaskData(**data | changes)
