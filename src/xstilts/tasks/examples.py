"""One example of each kind of task: what readers yield, what training encodes, what metrics compare."""

import hashlib
from collections.abc import Hashable, Sequence
from dataclasses import asdict, dataclass
from typing import NamedTuple


@dataclass(frozen=True, kw_only=True, slots=True)
class Example:
    """Root of all examples. `id` is upstream's where there is one, else empty: then the content identifies it."""

    id: str

    @property
    def identity(self) -> str:
        """Upstream id, else a hash of the content, which duplicates share."""
        return self.id or hashlib.sha256(repr(asdict(self)).encode()).hexdigest()[:24]


@dataclass(frozen=True, kw_only=True, slots=True)
class Text(Example):
    """A line of plain text, without any label."""

    text: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Classification(Example):
    """A sentence pair (`second` is empty for single sentences) and its label word."""

    first: str
    second: str
    label: str


class Answer(NamedTuple):
    """A span of the context; `start` counts code points."""

    text: str
    start: int


@dataclass(frozen=True, kw_only=True, slots=True)
class SpanExtraction(Example):
    """A question about a context; no answers means that the context holds none."""

    question: str
    context: str
    answers: tuple[Answer, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class MultipleChoice(Example):
    """A prompt, its continuations, and the index of the right one."""

    prompt: str
    choices: tuple[str, ...]
    label: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Tagging(Example):
    """Words and one tag each."""

    words: tuple[str, ...]
    tags: tuple[str, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class IntentAndSlots(Example):
    """Words, one IOB2 slot tag each, and the intent of the utterance."""

    words: tuple[str, ...]
    slots: tuple[str, ...]
    intent: str


@dataclass(frozen=True, kw_only=True, slots=True)
class BitextSentence(Example):
    """A sentence of one of two corpora, and the ids of its translations in the other. Its own id is upstream's."""

    text: str
    english: bool
    translations: tuple[str, ...] | None
    """Empty on the English side: a pair is written once. None where upstream leaves the pairs out."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SemanticParse(Example):
    """Words and the tokens of their parse; a number copies the word of that place, a text stands for itself."""

    words: tuple[str, ...]
    parse: tuple[str | int, ...]


def spelled(words: Sequence[str], parse: Sequence[str | int]) -> str:
    """A parse as one string: tokens joined by single spaces, numbers replaced by the words of those places."""
    return " ".join(words[token] if isinstance(token, int) else token for token in parse)


@dataclass(frozen=True, kw_only=True, slots=True)
class Retrieval(Example):
    """A sentence and its English translation: row i of either side belongs to row i of the other."""

    text: str
    english: str


def inputs(example: Example) -> Hashable:
    """What a model may read of an example, so that equal inputs have equal answers: neither id nor gold."""
    match example:
        case Classification():
            return example.first, example.second
        case SpanExtraction():
            return example.question, example.context
        case MultipleChoice():
            return example.prompt, example.choices
        case Tagging() | IntentAndSlots() | SemanticParse():
            return example.words
    return example
