"""Exact match and F1 of answer texts by the published evaluation scripts.

`squad` is SQuAD 1.1's script, which XTREME uses for XQuAD and TyDiQA in every language, with SQuAD 2.0's rule for
questions without an answer. `squad_v2` is all of SQuAD 2.0's (`evaluate-v2.0.py`): a gold answer of which nothing is
left after normalisation is no answer. `mlqa` is MLQA's (`mlqa_evaluation_v1.py`): punctuation of all scripts, articles
of the language, and Chinese compared by character.
"""

import re
import string
import unicodedata
from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from itertools import groupby
from operator import itemgetter

from xstilts.core.errors import UserError

Normalise = Callable[[str], str]

_MLQA_ARTICLES = {
    "ar": "\u0627\u0644",  # the article al-, wherever its letters stand, as published
    "de": r"\b(ein|eine|einen|einem|eines|einer|der|die|das|den|dem|des)\b",
    "en": r"\b(a|an|the)\b",
    "es": r"\b(un|una|unos|unas|el|la|los|las)\b",
    "hi": "",
    "vi": r"\b(của|là|cái|chiếc|những)\b",
    "zh": "",
}
_HAN = re.compile("[\u4e00-\u9fa5]")


def answer_scores(
    gold: Sequence[Sequence[str]], predictions: Sequence[str], *, rules: str, language: str
) -> dict[str, float]:
    """Means in percent of `exact_match`, `f1`, and of both, which is XTREME's `score` of a question-answering task.

    Of several gold answers the best one counts; no gold answer means that the empty answer is right.
    """
    normalise = _normaliser(rules, language)
    pairs = list(zip(_said(gold, rules, normalise), predictions, strict=True))
    exact = 100 * sum(_best(_exact_match, answers, text, normalise) for answers, text in pairs) / len(pairs)
    f1 = 100 * sum(_best(_token_f1, answers, text, normalise) for answers, text in pairs) / len(pairs)
    return {"exact_match": exact, "f1": f1, "score": (exact + f1) / 2}


def best_null_threshold(
    gold: Sequence[Sequence[str]],
    predictions: Sequence[str],
    null_odds: Sequence[float],
    *,
    rules: str = "squad_v2",
    language: str = "en",
) -> float:
    """The threshold with the highest F1 if a question is left unanswered wherever its null odds are above it.

    `predictions` are the best answers that are not empty, `null_odds` how much higher "no answer" scored. Of equal
    thresholds the lowest; one below all odds answers nothing. As `find_best_thresh` of `evaluate-v2.0.py`, but that
    equal odds fall to one side together, and that answering nothing is a choice like the others. For English dev data:
    a threshold chosen on a target language is no zero-shot result.
    """
    normalise = _normaliser(rules, language)
    rows = zip(null_odds, _said(gold, rules, normalise), predictions, strict=True)
    gains = sorted(
        (odds, _best(_token_f1, answers, text, normalise) - _best(_token_f1, answers, "", normalise))
        for odds, answers, text in rows
    )
    threshold, total, best = gains[0][0] - 1, 0.0, 0.0
    for odds, group in groupby(gains, key=itemgetter(0)):
        total += sum(gain for _, gain in group)
        if total > best:
            threshold, best = odds, total
    return threshold


def _said(gold: Sequence[Sequence[str]], rules: str, normalise: Normalise) -> Sequence[Sequence[str]]:
    """The gold answers that count: all, or for SQuAD 2.0 those of which something is left."""
    return [[answer for answer in answers if normalise(answer)] for answers in gold] if rules == "squad_v2" else gold


def _normaliser(rules: str, language: str) -> Normalise:
    if rules in ("squad", "squad_v2"):
        return normalise_squad
    if rules != "mlqa":
        raise UserError(f"rules: {rules!r} are not known; expected squad, squad_v2 or mlqa")
    if language not in _MLQA_ARTICLES:
        raise UserError(f"MLQA's rules do not know {language!r}; they know {', '.join(_MLQA_ARTICLES)}")
    return partial(normalise_mlqa, language=language)


def normalise_squad(text: str) -> str:
    """Lower case without ASCII punctuation, English articles and extra spaces."""
    bare = "".join(character for character in text.lower() if character not in string.punctuation)
    return " ".join(re.sub(r"\b(a|an|the)\b", " ", bare).split())


def normalise_mlqa(text: str, *, language: str) -> str:
    """Lower case without punctuation, the language's articles and extra spaces; Chinese with spaces between signs."""
    bare = "".join(character for character in text.lower() if not _is_punctuation(character))
    if _MLQA_ARTICLES[language]:
        bare = re.sub(_MLQA_ARTICLES[language], " ", bare)
    if language == "zh":
        bare = _HAN.sub(r" \g<0> ", bare)
    return " ".join(bare.split())


def _is_punctuation(character: str) -> bool:
    """Unicode's punctuation (categories P*) and ASCII's, which has symbols besides."""
    return character in string.punctuation or unicodedata.category(character).startswith("P")


def _best(measure: Callable[[str, str], float], answers: Sequence[str], text: str, normalise: Normalise) -> float:
    prediction = normalise(text)
    if not answers:
        return float(not prediction)
    return max(measure(normalise(answer), prediction) for answer in answers)


def _exact_match(answer: str, prediction: str) -> float:
    return float(answer == prediction)


def _token_f1(answer: str, prediction: str) -> float:
    """F1 over the bags of tokens."""
    expected, found = answer.split(), prediction.split()
    same = sum((Counter(expected) & Counter(found)).values())
    return 2 * same / (len(expected) + len(found)) if same else 0.0
