"""Strata of each kind of task: few, stable, and told from the example alone."""

from bisect import bisect_left

from xstilts.tasks.examples import (
    Classification,
    IntentAndSlots,
    MultipleChoice,
    Retrieval,
    SemanticParse,
    SpanExtraction,
    Tagging,
)

_LENGTHS = ((10, "1-10 words"), (20, "11-20 words"), (40, "21-40 words"))
_ANSWERS = ((1, "answer of 1 word"), (3, "answer of 2-3 words"), (6, "answer of 4-6 words"))


def by_label(example: Classification) -> str:
    return example.label


def by_answer(example: SpanExtraction) -> str:
    """Whether there is an answer, and how long the first one is."""
    if not example.answers:
        return "unanswerable"
    return _bucket(len(example.answers[0].text.split()), _ANSWERS, "answer of 7 words and more")


def by_choice(example: MultipleChoice) -> str:
    return f"choice {example.label}"


def by_length(example: Tagging) -> str:
    return _bucket(len(example.words), _LENGTHS, "41 words and more")


def by_intent(example: IntentAndSlots) -> str:
    return example.intent


def by_root(example: SemanticParse) -> str:
    """The intent at the root of a tree, or the form of a query."""
    return str(example.parse[0]).removeprefix("[")


def undivided(_: Retrieval) -> str:
    """Retrieval is never subsampled."""
    return "all"


def _bucket(value: int, bounds: tuple[tuple[int, str], ...], above: str) -> str:
    position = bisect_left([bound for bound, _ in bounds], value)
    return bounds[position][1] if position < len(bounds) else above
