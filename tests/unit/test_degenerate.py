"""Which predictions are no better than a constant or than chance: power and false alarms, by kind of task."""

from collections.abc import Callable, Sequence
from random import Random
from typing import Any, NamedTuple

import pytest

from xstilts.core.catalogue import TaskKind
from xstilts.metrics import degenerate

WORDS = "the of a in river house king old war city north born near won to and was year great name".split()  # noqa: SIM905
TAGS = ["NOUN"] * 5 + ["VERB"] * 3 + ["DET"] * 2 + ["CCONJ", "SCONJ"]
SLOTS = ["O"] * 12 + ["B-time", "B-place", "I-place"]
INTENTS = ["alarm"] * 3 + ["music"] * 2 + ["call"]


class Rows(NamedTuple):
    gold: list[Any]
    drawn: list[Any]
    """What a random predictor says, at the frequencies of gold."""
    contexts: Sequence[str] = ()


def rows_of(values: Callable[[Random], Any], number: int = 60) -> Callable[[Random], Rows]:
    return lambda random: Rows([values(random) for _ in range(number)], [values(random) for _ in range(number)])


def words_of(tags: Sequence[str]) -> Callable[[Random], Rows]:
    def make(random: Random) -> Rows:
        lengths = [random.randint(1, 12) for _ in range(40)]
        gold, drawn = ([random.choices(tags, k=length) for length in lengths] for _ in range(2))
        return Rows(gold, drawn)

    return make


def utterances(random: Random) -> Rows:
    slots = words_of(SLOTS)(random)
    gold, drawn = (
        [{"intent": random.choice(INTENTS), "slots": tags} for tags in side] for side in (slots.gold, slots.drawn)
    )
    return Rows(gold, drawn)


def questions(random: Random, *, longest: int) -> Rows:
    """Answers of a few words, and random runs of words of the same contexts."""
    contexts = [" ".join(random.choices(WORDS, k=random.randint(5, 40))) for _ in range(60)]

    def piece(context: str) -> str:
        words = context.split()
        length = random.randint(1, longest)
        start = random.randint(0, max(0, len(words) - length))
        return " ".join(words[start : start + length])

    return Rows([[piece(context)] for context in contexts], [piece(context) for context in contexts], contexts)


def parse(random: Random) -> str:
    return f"[IN:{random.choice(INTENTS).upper()} [SL:TIME {random.choice(WORDS)} ] ]"


CASES = {
    "NLI": (TaskKind.CLASSIFICATION, rows_of(lambda random: random.choice(["entailment", "neutral", "contradiction"]))),
    "paraphrase": (TaskKind.CLASSIFICATION, rows_of(lambda random: random.choice("0001"))),
    "choices": (TaskKind.MULTIPLE_CHOICE, rows_of(lambda random: random.randrange(4))),
    "parts of speech": (TaskKind.TAGGING, words_of(TAGS)),
    "entities": (TaskKind.TAGGING, words_of(SLOTS)),
    "utterances": (TaskKind.INTENT_AND_SLOTS, utterances),
    "words": (TaskKind.SPAN_EXTRACTION, lambda random: questions(random, longest=1)),
    "runs of words": (TaskKind.SPAN_EXTRACTION, lambda random: questions(random, longest=4)),
    "parses": (TaskKind.SEMANTIC_PARSING, rows_of(parse)),
    "retrieval": (TaskKind.RETRIEVAL, lambda random: Rows([*range(60)], random.choices(range(60), k=60))),
    "pairs": (
        TaskKind.BITEXT_MINING,
        lambda random: Rows(
            [[f"en-{number}"] for number in range(60)],
            [{"id": f"en-{random.randrange(60)}", "score": 1.0} for _ in range(60)],
        ),
    ),
}
SAID = {  # gold as a prediction
    TaskKind.SPAN_EXTRACTION: lambda gold: gold[0],
    TaskKind.BITEXT_MINING: lambda gold: {"id": gold[0], "score": 1.0},
}


def judged(kind: TaskKind, rows: Rows, predictions: Sequence[Any]) -> str | None:
    rules = "top" if kind is TaskKind.SEMANTIC_PARSING else "squad"
    return degenerate(kind, rows.gold, predictions, contexts=rows.contexts, rules=rules)


@pytest.mark.parametrize(("kind", "make"), CASES.values(), ids=CASES)
def test_random_predictors_are_noticed(kind: TaskKind, make: Callable[[Random], Rows]) -> None:
    """At least 95 of 100: two would pass if all were judged by chance alone."""
    corpora = [make(Random(seed)) for seed in range(100)]
    assert sum(judged(kind, rows, rows.drawn) is not None for rows in corpora) >= 95


@pytest.mark.parametrize(("kind", "make"), CASES.values(), ids=CASES)
def test_predictors_that_know_three_of_four_rows_pass(kind: TaskKind, make: Callable[[Random], Rows]) -> None:
    for seed in range(10):
        rows, said = make(Random(seed)), SAID.get(kind, lambda gold: gold)
        most = [
            said(gold) if row % 4 else drawn
            for row, (gold, drawn) in enumerate(zip(rows.gold, rows.drawn, strict=True))
        ]
        assert judged(kind, rows, most) is None


@pytest.mark.parametrize(
    ("kind", "gold", "predictions", "reason"),
    [
        (TaskKind.CLASSIFICATION, ["a", "a", "b"], ["a", "a", "a"], "'a' throughout: accuracy 66.7 against 66.7"),
        (TaskKind.CLASSIFICATION, ["a", "a", "b"], ["b", "b", "b"], "accuracy 33.3 against 66.7"),
        (TaskKind.MULTIPLE_CHOICE, [0, 1, 1], [0, 0, 1], "1 throughout"),
        (TaskKind.RETRIEVAL, [0, 1, 2], [1, 1, 1], "throughout"),
        (TaskKind.SPAN_EXTRACTION, [["x"], []], ["", ""], "no answer throughout"),
        (TaskKind.SPAN_EXTRACTION, [["x"]], ["y"], "no answer throughout"),
        (TaskKind.TAGGING, [["O", "B-x"]], [["O", "O"]], "the tag 'O' throughout"),
        (
            TaskKind.INTENT_AND_SLOTS,
            [{"intent": "a", "slots": ["B-x"]}, {"intent": "b", "slots": ["O"]}],
            [{"intent": "a", "slots": ["O"]}, {"intent": "a", "slots": ["O"]}],
            "the intent 'a' without slots throughout",
        ),
    ],
)
def test_constant_and_worse_predictions_are_noticed(
    kind: TaskKind, gold: list[Any], predictions: list[Any], reason: str
) -> None:
    assert reason in str(degenerate(kind, gold, predictions))


@pytest.mark.parametrize(
    ("kind", "gold", "predictions"),
    [
        (TaskKind.CLASSIFICATION, ["a", "a", "b"], ["a", "a", "b"]),
        (TaskKind.CLASSIFICATION, ["a", "a"], ["a", "a"]),  # all right, though constant
        (TaskKind.TAGGING, [["O"]], [["O"]]),
        (TaskKind.SPAN_EXTRACTION, 9 * [["x y"], []], 9 * ["x", ""]),
        (TaskKind.TAGGING, 9 * [["O", "B-x", "B-y"]] + [["O"], ["B-x"]], 9 * [["O", "B-x", "O"]] + [["O"], ["O"]]),
        (
            TaskKind.INTENT_AND_SLOTS,  # not one exact match, yet the slots were learnt
            9 * [{"intent": "a", "slots": ["B-x", "O"]}, {"intent": "b", "slots": ["O", "B-x", "O"]}],
            9 * [{"intent": "c", "slots": ["B-x", "O"]}, {"intent": "c", "slots": ["O", "B-x", "O"]}],
        ),
    ],
)
def test_predictions_that_learnt_something_pass(kind: TaskKind, gold: list[Any], predictions: list[Any]) -> None:
    assert degenerate(kind, gold, predictions) is None


def test_what_is_better_by_luck_is_told_beside_chance() -> None:
    gold, predictions = ["a", "a", "b", "b", "c", "c"], ["a", "b", "b", "c", "c", "a"]
    assert "no better than the same answers in random order: accuracy 50.0 against" in str(
        degenerate(TaskKind.CLASSIFICATION, gold, predictions)
    )


def test_mlqa_rules_and_language_are_passed_on() -> None:
    gold, predictions = 9 * [["东京铁塔"], ["大阪城"]], 9 * ["东京", "大阪"]
    assert degenerate(TaskKind.SPAN_EXTRACTION, gold, predictions)
    assert degenerate(TaskKind.SPAN_EXTRACTION, gold, predictions, rules="mlqa", language="zh") is None


def test_equal_predictions_are_judged_alike() -> None:
    kind, make = CASES["NLI"]
    rows = make(Random(1))
    assert len({judged(kind, rows, rows.drawn) for _ in range(5)}) == 1
