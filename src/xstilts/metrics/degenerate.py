"""Whether a run has learnt anything: its predictions against a constant answer and against chance.

Chance is a random predictor with the frequencies of the run's own answers: the same answers in a random order, so that
none has to do with its row. Tags go to random words, chunks (a tag and the I- tags after it) as a whole. Answers to
questions are random runs of words of their own contexts, as long as the run's answers are, since a word of the right
context is often right by chance.

The test is exact for rows of any number (Phipson and Smyth 2010): if a run's answers are random, its score is one of
DRAWS + 1 that are alike, and the highest of them with a probability of 1 / (DRAWS + 1).
"""

from collections import Counter
from collections.abc import Sequence
from itertools import chain, islice
from random import Random
from typing import Any

from xstilts.core.catalogue import TaskKind
from xstilts.metrics.scoring import Scores, score

DRAWS = 49
"""2 % of all random predictors pass."""
JUDGED = 1000
"""Rows that are judged at most, evenly spaced: the test is exact for any number, and each row costs DRAWS scores."""

_DECISIVE = {
    TaskKind.CLASSIFICATION: ("accuracy",),
    TaskKind.MULTIPLE_CHOICE: ("accuracy",),
    TaskKind.RETRIEVAL: ("accuracy",),
    TaskKind.SPAN_EXTRACTION: ("score",),
    TaskKind.BITEXT_MINING: ("f1",),
    TaskKind.TAGGING: ("f1",),
    # A young model may have no utterance fully right and still have learnt: it is judged by its parts.
    TaskKind.INTENT_AND_SLOTS: ("intent_accuracy", "slot_f1"),
    TaskKind.SEMANTIC_PARSING: ("exact_match", "intent_accuracy", "slot_f1"),
}


def degenerate(
    kind: TaskKind,
    gold: Sequence[Any],
    predictions: Sequence[Any],
    *,
    contexts: Sequence[str] = (),
    rules: str = "squad",
    language: str = "en",
) -> str | None:
    """Why the predictions are no better than a constant answer or than chance; None if they are, or all right.

    Forms are those of `score`; `contexts` are the texts that answers to questions are from, one a row. The constant is
    the majority label, the empty answer, the commonest tag, the commonest intent without slots, or the commonest parse.
    Of several metrics one must be better than the constant's, and their sum better than chance.
    """
    if list(gold) == list(predictions):
        return None
    every = -(-len(gold) // JUDGED)
    gold, predictions, contexts = gold[::every], predictions[::every], contexts[::every]
    decisive = _DECISIVE[kind]
    reached = score(kind, gold, predictions, rules=rules, language=language)
    constant, words = _constant(kind, gold)
    trivial = score(kind, gold, constant, rules=rules, language=language)
    if not any(reached[metric] > trivial[metric] for metric in decisive):
        return f"no better than {words}: {_against(decisive, reached, trivial)}"
    random = Random("degenerate")  # noqa: S311 - equal predictions are judged alike
    for _ in range(DRAWS):
        drawn, words = _drawn(kind, predictions, contexts, random)
        chance = score(kind, gold, drawn, rules=rules, language=language)
        if sum(reached[metric] for metric in decisive) <= sum(chance[metric] for metric in decisive):
            return f"no better than {words}: {_against(decisive, reached, chance)}"
    return None


def _against(metrics: Sequence[str], reached: Scores, other: Scores) -> str:
    return ", ".join(f"{metric} {reached[metric]:.1f} against {other[metric]:.1f}" for metric in metrics)


def _constant(kind: TaskKind, gold: Sequence[Any]) -> tuple[list[Any], str]:
    """The best constant predictions and their description."""
    if kind is TaskKind.SPAN_EXTRACTION:
        return [""] * len(gold), "no answer throughout"
    if kind is TaskKind.BITEXT_MINING:
        return [None] * len(gold), "no pair at all"
    if kind is TaskKind.TAGGING:
        tag = _commonest(tag for tags in gold for tag in tags)
        return [[tag] * len(tags) for tags in gold], f"the tag {tag!r} throughout"
    if kind is TaskKind.INTENT_AND_SLOTS:
        intent = _commonest(parse["intent"] for parse in gold)
        parses = [{"intent": intent, "slots": ["O"] * len(parse["slots"])} for parse in gold]
        return parses, f"the intent {intent!r} without slots throughout"
    label = _commonest(gold)
    return [label] * len(gold), f"{label!r} throughout"


def _commonest(values: Any) -> Any:
    """The first of the most frequent values; a word where there are none."""
    return next((value for value, _ in Counter(values).most_common(1)), "O")


def _drawn(
    kind: TaskKind, predictions: Sequence[Any], contexts: Sequence[str], random: Random
) -> tuple[list[Any], str]:
    """Predictions of one random predictor and their description."""
    if kind is TaskKind.SPAN_EXTRACTION and contexts:
        lengths = _shuffled([len(text.split()) for text in predictions], random)
        words = [_words(context, length, random) for context, length in zip(contexts, lengths, strict=True)]
        return words, "random words of the contexts"
    if kind is TaskKind.TAGGING:
        return _moved(predictions, random), "the same tags at random words"
    if kind is TaskKind.INTENT_AND_SLOTS:
        intents = _shuffled([parse["intent"] for parse in predictions], random)
        slots = _moved([parse["slots"] for parse in predictions], random)
        parses = [{"intent": intent, "slots": tags} for intent, tags in zip(intents, slots, strict=True)]
        return parses, "the same intents and slots at random"
    return _shuffled(predictions, random), "the same answers in random order"


def _shuffled(values: Sequence[Any], random: Random) -> list[Any]:
    return random.sample(values, len(values))


def _moved(sentences: Sequence[Sequence[str]], random: Random) -> list[list[str]]:
    """The tags of all sentences in random order, chunks as a whole, in sentences as long as before."""
    chunks = list[list[str]]()
    for tag in chain.from_iterable(sentences):
        if chunks and tag.startswith("I-"):
            chunks[-1].append(tag)
        else:
            chunks.append([tag])
    rest = chain.from_iterable(_shuffled(chunks, random))
    return [list(islice(rest, len(sentence))) for sentence in sentences]


def _words(context: str, number: int, random: Random) -> str:
    """So many words that follow each other in the context, or all."""
    words = context.split()
    start = random.randint(0, max(0, len(words) - number))
    return " ".join(words[start : start + number])
