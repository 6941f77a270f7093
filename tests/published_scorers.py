"""The scorers of SQuAD 1.1, SQuAD 2.0 and MLQA, restated from their rules."""

import re
import string
import unicodedata
from collections import Counter


def squad_words(text):
    """Lower case, ASCII punctuation out, then English articles out, then split at white space."""
    kept = [character for character in text.lower() if character not in string.punctuation]
    return re.sub(r"\b(a|an|the)\b", " ", "".join(kept)).split()


MLQA_ARTICLES = {
    "en": "a an the",
    "es": "un una unos unas el la los las",
    "de": "ein eine einen einem eines einer der die das den dem des",
    "vi": "của là cái chiếc những",
}


def mlqa_words(text, language):
    """Lower case, punctuation of all scripts out, the language's articles out; Chinese signs are words by themselves."""
    kept = "".join(
        character
        for character in text.lower()
        if character not in string.punctuation and unicodedata.category(character)[0] != "P"
    )
    if language == "ar":
        kept = kept.replace("ال", " ")
    elif language in MLQA_ARTICLES:
        kept = re.sub(rf"\b({'|'.join(MLQA_ARTICLES[language].split())})\b", " ", kept)
    if language != "zh":
        return kept.split()
    words, latin = [], ""
    for character in kept:
        if 0x4E00 <= ord(character) <= 0x9FA5:
            words += [*latin.split(), character]
            latin = ""
        else:
            latin += character
    return [*words, *latin.split()]


def bag_f1(found, expected):
    same = sum((Counter(found) & Counter(expected)).values())
    return 2 / (len(found) / same + len(expected) / same) if same else 0.0


def v1_scores(gold, predictions, words):
    """evaluate-v1.1.py and mlqa_evaluation_v1.py: the best gold answer counts, for each measure by itself."""
    exact = [
        max(words(answer) == words(text) for answer in answers) for answers, text in zip(gold, predictions, strict=True)
    ]
    f1 = [
        max(bag_f1(words(text), words(answer)) for answer in answers)
        for answers, text in zip(gold, predictions, strict=True)
    ]
    return 100 * sum(exact) / len(gold), 100 * sum(f1) / len(gold)


def v2_scores(gold, predictions):
    """evaluate-v2.0.py: answers of nothing are no answers; where one side is nothing, F1 is whether both are."""
    exact, f1 = [], []
    for answers, text in zip(gold, predictions, strict=True):
        expected = [squad_words(answer) for answer in answers if squad_words(answer)] or [[]]
        found = squad_words(text)
        exact.append(max(words == found for words in expected))
        f1.append(max(bag_f1(found, words) if found and words else float(found == words) for words in expected))
    return 100 * sum(exact) / len(gold), 100 * sum(f1) / len(gold)
