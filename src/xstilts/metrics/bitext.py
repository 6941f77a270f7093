"""Pairs of translations found in two corpora: their F1, and the threshold that is best for it.

As in BUCC's evaluation and LASER's `bucc.py`, which XTREME uses: pairs are a set, the threshold is tuned on dev data.
"""

from collections.abc import Mapping, Sequence
from typing import Any


def pair_scores(gold: Sequence[Sequence[str]], predictions: Sequence[Mapping[str, Any] | None]) -> dict[str, float]:
    """`f1`, `precision` and `recall` in percent over all pairs; each 0 where it has no denominator."""
    found = [(right, pair["id"]) for right, pair in zip(gold, predictions, strict=True) if pair]
    right = sum(english in translations for translations, english in found)
    return _f1(right=right, found=len(found), wanted=sum(map(len, gold)))


def best_threshold(scores: Sequence[float], right: Sequence[bool], *, wanted: int) -> float:
    """The score from which on pairs are taken, so that F1 is highest; 0 where no pair is right.

    `scores` and `right` are those of the candidates, in any order; `wanted` is the number of gold pairs. It lies half
    way between the last pair taken and the first one left. Of thresholds that are equally good it is the highest.
    """
    order = sorted(range(len(scores)), key=lambda index: -scores[index])
    best, threshold, correct = 0.0, 0.0, 0
    for taken, index in enumerate(order, 1):
        correct += right[index]
        f1 = _f1(right=correct, found=taken, wanted=wanted)["f1"]
        if f1 > best:
            following = order[min(taken, len(order) - 1)]
            best, threshold = f1, (scores[index] + scores[following]) / 2
    return threshold


def _f1(*, right: int, found: int, wanted: int) -> dict[str, float]:
    return {
        "f1": 200 * right / (found + wanted) if right else 0.0,
        "precision": 100 * right / found if found else 0.0,
        "recall": 100 * right / wanted if wanted else 0.0,
    }
