"""Tiny learnable tasks of every kind, and a tiny encoder: what the tests of training share.

Rules that a two-layer model learns from 32 rows: the first word tells the class, a word tells its tag, a number word is
the answer, the choice with "right" is right.
"""

from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory, mkdtemp
from typing import Any

from xstilts.api.training import ParserSettings, TrainingSettings
from xstilts.core.catalogue import TaskKind
from xstilts.tasks.examples import (
    Answer,
    Classification,
    Example,
    IntentAndSlots,
    MultipleChoice,
    Retrieval,
    SemanticParse,
    SpanExtraction,
    Tagging,
    Text,
)
from xstilts.training import TaskData, TextData, init_model
from xstilts.training.heads import HEADS, Lengths
from xstilts.training.heads.language_model import LanguageModelHead
from xstilts.training.tables import Encoding, TokenTable, write_table
from xstilts.training.tokenizer import Tokenizer

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
    TaskKind.SEMANTIC_PARSING: "exact_match",
}


def settings(**changes: Any) -> TrainingSettings:
    """Fast learning at tiny sizes; dropout stays on."""
    parser = ParserSettings(decoder_layers=1, beam_size=2, max_parse_tokens=12)
    return TrainingSettings(
        **{
            "parser": parser,
            "learning_rate": "0.003",
            "batch_size": 8,
            "max_length": 48,
            "doc_stride": 16,
            "epochs": "1",
        }
        | changes
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
        case TaskKind.SEMANTIC_PARSING:
            parse = (f"[IN:{OPENERS[tokens[0]].upper()}", "[SL:NUMBER", tokens.index(answer), "]", "]")
            return SemanticParse(id=row, words=tuple(tokens), parse=parse)
        case TaskKind.RETRIEVAL:
            return Retrieval(id=row, text=text, english=text)


def rows(kind: TaskKind, number: int = 32) -> Sequence[Example]:
    return [example(kind, row) for row in range(number)]


def task(
    kind: TaskKind,
    number: int = 32,
    *,
    train: Sequence[Example] | None = None,
    dev: Sequence[Example] | None = None,
    max_length: int = 48,
    **changes: Any,
) -> TaskData:
    """The dev rows are the training rows: tests ask whether a head learns, not whether it generalizes."""
    data = {
        "name": str(kind),
        "kind": kind,
        "metric": METRICS[kind],
        "rules": "top" if kind is TaskKind.SEMANTIC_PARSING else "squad",
        "train": table(HEADS[kind], rows(kind, number) if train is None else train, max_length=max_length),
        "dev": table(HEADS[kind], rows(kind, number) if dev is None else dev, max_length=max_length),
    }
    return TaskData(**data | changes)


def text(lines: Mapping[str, int], **changes: Any) -> TextData:
    """So many lines of each language."""
    examples = {
        language: [Text(id="", text=" ".join(words(Random(f"{language} {row}")))) for row in range(number)]
        for language, number in lines.items()
    }
    tables = {language: table(LanguageModelHead, found) for language, found in examples.items()}
    return TextData(lines=tables, **changes)


def table(encoding: Encoding, examples: Sequence[Example], max_length: int = 48) -> TokenTable:
    """Tokens of the tiny encoder, in a folder that goes with the process."""
    folder = Path(mkdtemp(dir=_folder().name))
    lengths = Lengths(max_length=max_length, doc_stride=16)
    write_table(folder, examples, encoding=encoding, tokenizer=_tokenizer(), lengths=lengths)
    return TokenTable.open(folder)


@cache
def _folder() -> TemporaryDirectory[str]:
    return TemporaryDirectory(prefix="training-rows-")


@cache
def _tokenizer() -> Tokenizer:
    return Tokenizer.load(tiny_encoder(Path(_folder().name, "encoder")))
