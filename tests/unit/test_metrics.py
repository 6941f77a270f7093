"""Metrics against their published definitions: seqeval itself, and the scripts of SQuAD and MLQA restated by hand."""

import re
import string
import unicodedata
import warnings
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from seqeval.metrics import accuracy_score, f1_score

from xstilts.core.catalogue import TaskKind
from xstilts.core.errors import UserError
from xstilts.metrics import score
from xstilts.tasks import tagging

UPOS = list(tagging.UPOS)
IOB2 = ["O", "B-PER", "I-PER", "B-LOC", "I-LOC", "B-weather/attribute", "I-weather/attribute", "B-a-b", "I-a-b"]
ODD = ["O", "B", "I", "E-PER", "S-PER", "I-PER", "B-PER", ".", "X", "O-PER"]


@st.composite
def tagged_corpus(draw, tags):
    """Gold and predicted tags of the same sentences, with runs, illegal sequences and empty sentences."""
    lengths = draw(st.lists(st.integers(0, 8), min_size=1, max_size=6))
    tag = st.sampled_from(tags)
    return tuple([draw(st.lists(tag, min_size=n, max_size=n)) for n in lengths] for _ in range(2))


def seqeval_scores(gold, predictions):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # seqeval warns of every tag without prefix
        return 100 * f1_score(gold, predictions)


@pytest.mark.parametrize("tags", [UPOS, IOB2, ODD, IOB2 + UPOS], ids=["raw POS tags", "IOB2", "odd schemes", "mixed"])
def test_chunk_f1_is_seqevals(tags):
    @settings(deadline=None)
    @given(tagged_corpus(tags))
    def check(corpus):
        gold, predictions = corpus
        assert score(TaskKind.TAGGING, gold, predictions)["f1"] == pytest.approx(seqeval_scores(gold, predictions))

    check()


@pytest.mark.parametrize(
    ("gold", "predictions", "later", "up_to_0_0_12"),
    [
        pytest.param(["NOUN", "CCONJ", "VERB"], ["NOUN", "SCONJ", "VERB"], 100, 200 / 3, id="CCONJ and SCONJ are CONJ"),
        pytest.param(["B-date-time", "O"], ["B-start-time", "O"], 0, 100, id="the type after the last hyphen"),
        pytest.param(["B-PER", "I-PER"], ["B-PER", "I-LOC"], 0, 0, id="usual tags are the same in both"),
        pytest.param(["NOUN", "ADV"], ["NOUN", "ADP"], 50, 50, id="other parts of speech are the same in both"),
    ],
)
def test_versions_of_seqeval_that_published_numbers_are_of(gold, predictions, later, up_to_0_0_12):
    tags = score(TaskKind.TAGGING, [gold], [predictions])
    parses = score(TaskKind.INTENT_AND_SLOTS, [{"intent": "a", "slots": gold}], [{"intent": "a", "slots": predictions}])
    assert (tags["f1"], tags["f1_seqeval_0_0_12"]) == pytest.approx((later, up_to_0_0_12))
    assert (parses["slot_f1"], parses["slot_f1_seqeval_0_0_12"]) == pytest.approx((later, up_to_0_0_12))


@settings(deadline=None)
@given(tagged_corpus(UPOS))
def test_tagging_accuracy_is_over_words(corpus):
    gold, predictions = corpus
    if any(gold):
        expected = 100 * accuracy_score(gold, predictions)
        assert score(TaskKind.TAGGING, gold, predictions)["accuracy"] == pytest.approx(expected)


def squad_reference(text):
    """SQuAD 1.1's normalize_answer, restated."""
    kept = "".join(c for c in text.lower() if c not in set(string.punctuation))
    kept = re.sub(r"\b(a|an|the)\b", " ", kept)
    return " ".join(kept.split())


def f1_reference(prediction, answer):
    common = Counter(prediction.split()) & Counter(answer.split())
    same = sum(common.values())
    if same == 0:
        return 0.0
    precision, recall = same / len(prediction.split()), same / len(answer.split())
    return 2 * precision * recall / (precision + recall)


words = st.text(st.sampled_from("the an a b c THE .,'-¿ «»。东京 กรุ é"), max_size=12)


@settings(deadline=None)
@given(st.lists(words, min_size=1, max_size=3), words)
def test_squad_scores_follow_the_published_script(answers, prediction):
    mine = score(TaskKind.SPAN_EXTRACTION, [answers], [prediction])
    normal = squad_reference(prediction)
    exact = max(normal == squad_reference(answer) for answer in answers)
    f1 = max(f1_reference(normal, squad_reference(answer)) for answer in answers)
    assert mine == pytest.approx({"exact_match": 100 * exact, "f1": 100 * f1, "score": 50 * (exact + f1)})


@settings(deadline=None)
@given(st.lists(words, min_size=1, max_size=3), words)
def test_mlqa_scores_of_chinese_follow_the_published_script(answers, prediction):
    def normal(text):
        kept = [c for c in text.lower() if not unicodedata.category(c).startswith("P") and c not in string.punctuation]
        tokens, latin = [], ""
        for c in [*kept, " "]:
            if "\u4e00" <= c <= "\u9fa5" or c.isspace():
                tokens += [latin] * bool(latin) + [c] * (not c.isspace())
                latin = ""
            else:
                latin += c
        return " ".join(tokens)

    mine = score(TaskKind.SPAN_EXTRACTION, [answers], [prediction], rules="mlqa", language="zh")
    exact = max(normal(prediction) == normal(answer) for answer in answers)
    f1 = max(f1_reference(normal(prediction), normal(answer)) for answer in answers)
    assert mine == pytest.approx({"exact_match": 100 * exact, "f1": 100 * f1, "score": 50 * (exact + f1)})


@pytest.mark.parametrize(
    ("language", "answer", "prediction", "exact"),
    [
        ("en", "the tower", "Tower.", 100),
        ("de", "der Turm", "Turm", 100),
        ("de", "the Turm", "Turm", 0),  # English articles count in German
        ("es", "la torre", "torre", 100),
        ("es", "«torre»", "torre", 100),  # punctuation beyond ASCII
        ("ar", "\u0627\u0644\u0628\u0631\u062c", "\u0628\u0631\u062c", 100),
        ("vi", "những tháp", "tháp", 100),
        ("hi", "मीनार।", "मीनार", 100),
        ("zh", "东京塔", "东京 塔", 100),
    ],
)
def test_mlqa_normalises_by_language(language, answer, prediction, exact):
    found = score(TaskKind.SPAN_EXTRACTION, [[answer]], [prediction], rules="mlqa", language=language)
    assert found["exact_match"] == exact


def test_mlqa_compares_chinese_by_character_and_squad_by_space():
    gold, prediction = [["东京铁塔"]], ["东京"]
    assert score(TaskKind.SPAN_EXTRACTION, gold, prediction)["f1"] == 0
    assert score(TaskKind.SPAN_EXTRACTION, gold, prediction, rules="mlqa", language="zh")["f1"] == pytest.approx(
        200 / 3
    )


@pytest.mark.parametrize(
    ("answers", "prediction", "expected"),
    [
        ([], "", 100),
        ([], "something", 0),
        ([], "the", 100),  # normalises to nothing, as in SQuAD 2.0's script
        (["something"], "", 0),
        (["one", "two words"], "two words", 100),
    ],
)
def test_a_question_without_answer_wants_the_empty_answer(answers, prediction, expected):
    found = score(TaskKind.SPAN_EXTRACTION, [answers], [prediction])
    assert found == {"exact_match": expected, "f1": expected, "score": expected}


def test_accuracy_is_a_percentage_and_unseen_labels_are_wrong():
    gold, predictions = ["yes", "no", "no", "no"], ["yes", "no", "perhaps", ""]
    assert score(TaskKind.CLASSIFICATION, gold, predictions) == {"accuracy": 50.0}


@pytest.mark.parametrize("kind", [TaskKind.MULTIPLE_CHOICE, TaskKind.RETRIEVAL])
def test_indices_are_compared_for_equality(kind):
    assert score(kind, [0, 1, 2, 3], [0, 1, 2, 0]) == {"accuracy": 75.0}


def test_a_parse_is_exact_only_with_intent_and_every_slot_right():
    gold = [{"intent": "a", "slots": ["O", "B-x", "I-x"]}] * 4
    predictions = [
        {"intent": "a", "slots": ["O", "B-x", "I-x"]},
        {"intent": "b", "slots": ["O", "B-x", "I-x"]},
        {"intent": "a", "slots": ["O", "B-x", "O"]},
        {"intent": "a", "slots": ["O", "I-x", "I-x"]},  # same chunk, other tags
    ]
    found = score(TaskKind.INTENT_AND_SLOTS, gold, predictions)
    assert found == {"exact_match": 25.0, "intent_accuracy": 75.0, "slot_f1": 75.0, "slot_f1_seqeval_0_0_12": 75.0}


@pytest.mark.parametrize("kind", list(TaskKind))
def test_a_missing_prediction_is_an_error_and_no_score(kind):
    with pytest.raises(UserError, match="1 predictions for 2 examples"):
        score(kind, ["x", "y"], ["x"])


@pytest.mark.parametrize("kind", list(TaskKind))
def test_nothing_to_score_is_an_error(kind):
    with pytest.raises(UserError, match="nothing to score"):
        score(kind, [], [])


def test_too_few_tags_name_the_example():
    with pytest.raises(UserError, match=r"example 1 \(from 0\): 1 tags predicted for 2 words"):
        score(TaskKind.TAGGING, [["X"], ["X", "X"]], [["X"], ["X"]])


def test_too_many_slots_name_the_example():
    gold, prediction = {"intent": "a", "slots": ["O"]}, {"intent": "a", "slots": ["O", "O"]}
    with pytest.raises(UserError, match=r"example 0 \(from 0\): 2 slot tags predicted for 1 words"):
        score(TaskKind.INTENT_AND_SLOTS, [gold], [prediction])


@pytest.mark.parametrize(
    ("rules", "language", "message"), [("bleu", "en", "squad, squad_v2 or mlqa"), ("mlqa", "fr", "do not know 'fr'")]
)
def test_unknown_rules_and_languages_name_the_known_ones(rules, language, message):
    with pytest.raises(UserError, match=message):
        score(TaskKind.SPAN_EXTRACTION, [["x"]], ["x"], rules=rules, language=language)
