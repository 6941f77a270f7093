"""Scores against the rules of the official scorers, restated here from their published descriptions.

Predictions are adversarial: every script, combining marks, wide and zero-width spaces, punctuation alone, articles
alone, empty answers, labels that gold never has. XTREME's arithmetic is restated over whole benchmarks of such rows.
"""

import warnings

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from seqeval.metrics import accuracy_score, f1_score, precision_score, recall_score

from published_scorers import mlqa_words, squad_words, v1_scores, v2_scores
from xstilts.core.catalogue import TaskKind
from xstilts.metrics import score
from xstilts.metrics.answers import best_null_threshold
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


@st.composite
def questions(draw, gold=answer_lists):
    """Gold answers of some questions and a prediction each, often one of the gold answers, whole or damaged."""
    answers = draw(st.lists(gold, min_size=1, max_size=5))
    return answers, [draw(st.sampled_from([*own, *(text[1:] for text in own), ""]) | texts) for own in answers]


def answers_as(exact, f1):
    return pytest.approx({"exact_match": exact, "f1": f1, "score": (exact + f1) / 2})


@settings(max_examples=300)
@given(questions())
def test_squad_1_1(rows):
    assert score(TaskKind.SPAN_EXTRACTION, *rows) == answers_as(*v1_scores(*rows, squad_words))


@settings(max_examples=300)
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


def with_threshold(odds, predictions, threshold):
    return ["" if odd > threshold else text for odd, text in zip(odds, predictions, strict=True)]


@st.composite
def nullable_questions(draw):
    gold, predictions = draw(questions(st.lists(texts, max_size=2)))
    odds = st.floats(-4, 4).map(lambda odd: round(odd, 1))  # some are equal
    return gold, predictions, draw(st.lists(odds, min_size=len(gold), max_size=len(gold)))


@settings(max_examples=300)
@given(nullable_questions())
def test_no_other_null_threshold_has_a_higher_f1(rows):
    gold, predictions, odds = rows
    scores = {
        threshold: v2_scores(gold, with_threshold(odds, predictions, threshold))[1]
        for threshold in (min(odds) - 1, *odds, 0.0)
    }
    chosen = best_null_threshold(gold, predictions, odds)
    assert scores[chosen] == pytest.approx(max(scores.values()))


@settings(suppress_health_check=[HealthCheck.filter_too_much, HealthCheck.too_slow])  # odds are often equal
@given(nullable_questions())
def test_the_null_threshold_is_that_of_squad_2_0_where_odds_differ_and_something_is_answered(rows):
    """find_best_thresh: answers one question after the other, the surest first, and notes the highest sum of F1."""
    gold, predictions, odds = rows
    assume(len(set(odds)) == len(odds))
    unanswerable = [not any(squad_words(answer) for answer in answers) for answers in gold]
    total = best = sum(unanswerable)
    threshold = None
    for _, at in sorted(zip(odds, range(len(odds)), strict=True)):
        if unanswerable[at]:
            total -= bool(squad_words(predictions[at]))
        else:
            total += v2_scores([gold[at]], [predictions[at]])[1] / 100
        if total > best:
            best, threshold = total, odds[at]
    assume(threshold is not None)
    assert best_null_threshold(gold, predictions, odds) == pytest.approx(threshold)


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


def typed_as_in_0_0_12(corpus):
    """Tags that later versions of seqeval read as 0.0.12 does: first character, and type after the last hyphen.

    The O between sentences, which seqeval puts there itself, is of the type O in 0.0.12 and `_` since.
    """
    types = [[tag.rpartition("-")[2] for tag in tags] for tags in corpus]
    return [
        [f"{tag[0]}-{'_' if kind == 'O' else 'type ' + kind}" for tag, kind in zip(tags, kinds, strict=True)]
        for tags, kinds in zip(corpus, types, strict=True)
    ]


@settings(deadline=None, max_examples=400)
@given(sentences())
def test_tags_of_any_form_score_as_in_seqeval(corpus):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # seqeval warns of tags without prefix and of empty classes
        expected = {
            "f1": 100 * f1_score(*corpus),
            "f1_seqeval_0_0_12": 100 * f1_score(*map(typed_as_in_0_0_12, corpus)),
            "accuracy": 100 * accuracy_score(*corpus),
        }
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
