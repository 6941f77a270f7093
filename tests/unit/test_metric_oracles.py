"""Scores against the rules of the official scorers, restated here from their published descriptions.

Predictions are adversarial: every script, combining marks, wide and zero-width spaces, punctuation alone, articles
alone, empty answers, labels that gold never has. XTREME's arithmetic is restated over whole benchmarks of such rows.
"""

import re
import string
import unicodedata
import warnings
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from seqeval.metrics import accuracy_score, f1_score, precision_score, recall_score

from xstilts.core.catalogue import TaskKind
from xstilts.metrics import score
from xstilts.tasks.tagging import UPOS

PIECES = [
    *("the", "The", "a", "an", "AN", "theatre", "ein", "Der", "la", "LOS", "của", "những", "ال", "البرج", "والبرج"),
    *("东京", "塔", "㐀", "𠀀", "東京 tower", "ﾀﾜｰ", "Ｔｏｗｅｒ", "กรุงเทพ", "ๆ", "मीनार", "की", "ि", "مُحَمَّد", "ـ"),
    *("é", "e\u0301", "İ", "ß", "ſ", "Σ", "ς", "1,000", "1000", "$", "€", "+", "`", "^", "|", "½", "३", "٣"),
    *(
        "。",
        "，",
        "「",
        "」",
        "।",
        "؟",
        "¿",
        "«",
        "»",
        "—",
        "-",
        ".",
        "'",
        "’",
        "_",
        "\u00b7",
        "\u3000",
        "\u00a0",
        "\u200b",
    ),
    *(
        "\u200c",
        "\u200d",
        "\u202b",
        "\ufeff",
        "\t",
        "\n",
        "\r\n",
        "\u2028",
        "\x85",
        "\x1f",
        " ",
        "  ",
        "",
        "\U0010ffff",
    ),
]
texts = st.lists(st.sampled_from(PIECES), max_size=6).map("".join) | st.text(max_size=8)
answer_lists = st.lists(texts, min_size=1, max_size=4)


# ---- answers


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


@st.composite
def questions(draw, gold=answer_lists):
    """Gold answers of some questions and a prediction each, often one of the gold answers, whole or damaged."""
    answers = draw(st.lists(gold, min_size=1, max_size=5))
    return answers, [draw(st.sampled_from([*own, *(text[1:] for text in own), ""]) | texts) for own in answers]


def answers_as(exact, f1):
    return pytest.approx({"exact_match": exact, "f1": f1, "score": (exact + f1) / 2})


@settings(deadline=None, max_examples=300)
@given(questions())
def test_squad_1_1(rows):
    assert score(TaskKind.SPAN_EXTRACTION, *rows) == answers_as(*v1_scores(*rows, squad_words))


@settings(deadline=None, max_examples=300)
@given(questions(st.lists(texts, max_size=3)))
def test_squad_2_0(rows):
    assert score(TaskKind.SPAN_EXTRACTION, *rows, rules="squad_v2") == answers_as(*v2_scores(*rows))


@settings(deadline=None)
@given(questions(st.lists(st.sampled_from(["東京 tower", "theatre", "البرج"]), max_size=3)))
def test_both_rules_of_squad_agree_where_every_gold_answer_says_something(rows):
    assert score(TaskKind.SPAN_EXTRACTION, *rows) == answers_as(*v2_scores(*rows))


@pytest.mark.parametrize("language", ["ar", "de", "en", "es", "hi", "vi", "zh"])
def test_mlqa(language):
    @settings(deadline=None, max_examples=150)
    @given(questions())
    def check(rows):
        expected = v1_scores(*rows, lambda text: mlqa_words(text, language))
        assert score(TaskKind.SPAN_EXTRACTION, *rows, rules="mlqa", language=language) == answers_as(*expected)

    check()


# ---- tags


tags = (
    st.sampled_from(["O", "B", "I", "B-PER", "I-PER", "I-LOC", "E-PER", "S-LOC", "NOUN", "CCONJ", "SCONJ", "X", "_"])
    | st.sampled_from(["B-", "I-", "-", "B--x", "I--x", "O-PER", ".", "B-a-b", "b-PER", "Б-имя", "名詞", "I-名", "اسم"])
    | st.text(min_size=1, max_size=3)
)


@st.composite
def sentences(draw, tag=tags):
    gold = draw(st.lists(st.lists(tag, min_size=1, max_size=6), min_size=1, max_size=5))
    return gold, [[draw(st.just(own) | tag) for own in words] for words in gold]


@settings(deadline=None, max_examples=400)
@given(sentences())
def test_tags_of_any_form_score_as_in_seqeval(corpus):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # seqeval warns of tags without prefix and of empty classes
        expected = {"f1": 100 * f1_score(*corpus), "accuracy": 100 * accuracy_score(*corpus)}
    assert score(TaskKind.TAGGING, *corpus) == pytest.approx(expected)


@settings(deadline=None)
@given(sentences(st.sampled_from(UPOS)))
def test_f1_of_parts_of_speech_lies_between_precision_and_recall(corpus):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        bounds = sorted((100 * precision_score(*corpus), 100 * recall_score(*corpus)))
    assert bounds[0] - 1e-9 <= score(TaskKind.TAGGING, *corpus)["f1"] <= bounds[1] + 1e-9


# ---- labels


labels = st.sampled_from(["entailment", "neutral", "contradiction", "", "Entailment", "entailment ", "0", "1"])


@given(st.lists(st.tuples(labels, labels), min_size=1))
def test_accuracy_counts_equal_labels_and_nothing_else(rows):
    gold, predictions = zip(*rows, strict=True)
    right = sum(expected == found for expected, found in rows)
    assert score(TaskKind.CLASSIFICATION, gold, predictions)["accuracy"] == pytest.approx(100 * right / len(rows))
