"""One entry for every kind of task: gold and predictions in JSON form in, percentages out.

The forms are those that prediction files hold, row by row:

    kind              gold                          prediction
    classification    label                         label
    span-extraction   answer texts, [] for none     text, "" for none
    multiple-choice   index                         index
    tagging           tags of the words             tags of the words
    intent-and-slots  {"intent": ..., "slots": []}  {"intent": ..., "slots": []}
    semantic-parsing  text of the parse             text, "" for none
    retrieval         row number                    row number
    bitext-mining     ids of translations           {"id": ..., "score": ...}, null for none
"""

from collections.abc import Callable, Sequence
from typing import Any

from xstilts.core.catalogue import TaskKind
from xstilts.core.errors import UserError
from xstilts.metrics.answers import answer_scores
from xstilts.metrics.bitext import pair_scores
from xstilts.metrics.chunks import chunk_f1, seqeval_0_0_12
from xstilts.metrics.parses import parse_scores

Scores = dict[str, float]


def score(
    kind: TaskKind, gold: Sequence[Any], predictions: Sequence[Any], *, rules: str = "squad", language: str = "en"
) -> Scores:
    """Metrics of one language, each from 0 to 100.

    `rules` and `language` choose how answers are normalised before they are compared: `squad` and `squad_v2` do the
    same in every language, `mlqa` knows articles and segmentation of its seven languages. Of semantic parses, `rules`
    is the language that they are in: `top` or `sparql`. Raises UserError, naming the example, where gold and
    predictions do not fit together.
    """
    _check_rows(gold, predictions)
    if kind is TaskKind.SPAN_EXTRACTION:
        return answer_scores(gold, predictions, rules=rules, language=language)
    if kind is TaskKind.SEMANTIC_PARSING:
        return parse_scores(gold, predictions, rules=rules)
    return _SCORERS[kind](gold, predictions)


def _accuracy(gold: Sequence[Any], predictions: Sequence[Any]) -> Scores:
    return {"accuracy": _percent(gold, predictions)}


def _tagging(gold: Sequence[Sequence[str]], predictions: Sequence[Sequence[str]]) -> Scores:
    """Chunk F1 as seqeval 0.0.13 and later compute it, the same by 0.0.12, and accuracy over words."""
    _check_lengths(gold, predictions, "tags")
    return {
        "f1": chunk_f1(gold, predictions),
        "f1_seqeval_0_0_12": chunk_f1(gold, predictions, seqeval_0_0_12),
        "accuracy": _percent([tag for tags in gold for tag in tags], [tag for tags in predictions for tag in tags]),
    }


def _intent_and_slots(gold: Sequence[Any], predictions: Sequence[Any]) -> Scores:
    """A parse matches exactly if its intent and every slot tag are right (MASSIVE, FitzGerald et al. 2022)."""
    gold_slots, slots = [parse["slots"] for parse in gold], [parse["slots"] for parse in predictions]
    _check_lengths(gold_slots, slots, "slot tags")
    return {
        "exact_match": _percent(
            [(parse["intent"], list(parse["slots"])) for parse in gold],
            [(parse["intent"], list(parse["slots"])) for parse in predictions],
        ),
        "intent_accuracy": _percent([parse["intent"] for parse in gold], [parse["intent"] for parse in predictions]),
        "slot_f1": chunk_f1(gold_slots, slots),
        "slot_f1_seqeval_0_0_12": chunk_f1(gold_slots, slots, seqeval_0_0_12),
    }


_SCORERS: dict[TaskKind, Callable[[Sequence[Any], Sequence[Any]], Scores]] = {
    TaskKind.CLASSIFICATION: _accuracy,
    TaskKind.MULTIPLE_CHOICE: _accuracy,
    TaskKind.RETRIEVAL: _accuracy,
    TaskKind.BITEXT_MINING: pair_scores,
    TaskKind.TAGGING: _tagging,
    TaskKind.INTENT_AND_SLOTS: _intent_and_slots,
}


def _percent(gold: Sequence[Any], predictions: Sequence[Any]) -> float:
    right = sum(one == other for one, other in zip(gold, predictions, strict=True))
    return 100 * right / len(gold) if gold else 0.0


def _check_rows(gold: Sequence[Any], predictions: Sequence[Any]) -> None:
    if len(gold) != len(predictions):
        raise UserError(f"{len(predictions)} predictions for {len(gold)} examples; expected one for each, in order")
    if not gold:
        raise UserError("nothing to score: no examples")


def _check_lengths(gold: Sequence[Sequence[str]], predictions: Sequence[Sequence[str]], what: str) -> None:
    for row, (expected, found) in enumerate(zip(gold, predictions, strict=True)):
        if len(expected) != len(found):
            raise UserError(f"example {row} (from 0): {len(found)} {what} predicted for {len(expected)} words")
