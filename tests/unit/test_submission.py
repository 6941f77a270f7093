"""Submissions to XTREME, read back by its rules: the same scores as ours, for all nine tasks."""

from pathlib import Path
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import xtreme
from xstilts.core.errors import UserError
from xstilts.metrics import score
from xstilts.report.submission import TASKS, Origin, Row, content, file_name, shortcomings
from xstilts.tasks import registry
from xstilts.tasks.tagging import NAMES, UPOS

WORDS = ("the tower", "東京", "กรุงเทพ", "البرج", "मीनार", "", "«»", "e\u0301 x", "two\nlines")
CHOICES = {"xnli": ("entailment", "neutral", "contradiction"), "pawsx": ("0", "1"), "udpos": UPOS, "panx": NAMES}


def rows(task: str, language: str, random: Random) -> tuple[list[tuple[str, Any, str]], list[Row]]:
    """Gold and predictions of 12 examples, of which about half are right."""
    gold: list[tuple[str, Any, str]] = []
    found: list[Row] = []
    numbers = list(range(12))
    for at in numbers:
        name, english = f"{language}-{at:09}", random.choice(["same", "  Same", f"é {at}", f"Z{at % 3}", "東"])
        if task in ("xnli", "pawsx"):
            right, other = random.choice(CHOICES[task]), random.choice(CHOICES[task])
        elif task in ("udpos", "panx"):
            right, other = ([random.choice(CHOICES[task]) for _ in range(at % 4 + 1)] for _ in range(2))
        elif task == "tatoeba":
            right, other = at, random.choice(numbers)
        elif task == "bucc2018":
            right, other = random.choice([None, f"en-{at}"]), random.choice([None, f"en-{at % 5}"])
        else:
            right, other = random.sample(WORDS, 2), random.choice(WORDS)
        gold.append((name, right, english))
        hit = random.random() < 0.5
        if task == "bucc2018":
            english_id = right if hit else other
            found.append(Row(name, english_id and {"id": english_id, "score": 1.0}))
        else:
            found.append(Row(name, (right[0] if task in xtreme.GROUPS["qa"] else right) if hit else other, english))
    return gold, found


def our_score(task: str, language: str, gold: list[tuple[str, Any, str]], found: list[Row]) -> float:
    if task == "bucc2018":
        right = {(name, english) for name, english, _ in gold if english}
        pairs = {(row.id, row.prediction["id"]) for row in found if row.prediction}
        return 200 * len(right & pairs) / (len(right) + len(pairs))
    known = registry.get(task)
    scores = score(
        known.kind, [row[1] for row in gold], [row.prediction for row in found], rules=known.rules, language=language
    )
    return scores[known.spec.metric]


@pytest.mark.parametrize("seed", range(3))
def test_xtreme_reads_the_scores_of_our_metrics(tmp_path: Path, seed: int) -> None:
    expected = {}
    for task, languages in xtreme.LANGUAGES.items():
        scores = []
        for language in languages.split():
            gold, found = rows(task, language, Random(f"{seed} {task} {language}"))
            xtreme.write_labels(tmp_path / "labels", task, language, gold)
            file = tmp_path / "predictions" / file_name(task, language)
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(content(task, found), encoding="ascii", newline="\n")
            scores.append(our_score(task, language, gold, found))
        expected[task] = sum(scores) / len(scores)
    read = xtreme.evaluate(tmp_path / "predictions", tmp_path / "labels")
    assert {task: read[task] for task in expected} == pytest.approx(expected)
    assert read["qa"] == pytest.approx((expected["xquad"] + expected["mlqa"] + expected["tydiqa"]) / 3)
    assert read["all_task"] == pytest.approx(sum(expected.values()) / 9)


def test_tasks_and_languages_are_xtremes() -> None:
    assert set(TASKS) == set(xtreme.LANGUAGES)
    for task, languages in xtreme.LANGUAGES.items():
        assert sorted(registry.get(task).spec.languages) == sorted(languages.split()), task


def test_a_line_of_tatoeba_is_an_english_sentence_in_alphabetical_order() -> None:
    """By code points, without the spaces around; equal sentences keep their order; numbers are upstream's from 0."""
    english = ["b", "é", " a", "B", "b", "a"]
    assert content("tatoeba", [Row("", at, text) for at, text in enumerate(english)]).split() == list("325041")


def test_bucc_has_a_line_for_each_sentence_with_a_translation() -> None:
    found = [Row("de-1", {"id": "en-7", "score": 1.2}), Row("de-2", None), Row("de-3", {"id": "en-7", "score": 1.1})]
    assert content("bucc2018", found) == "de-1\ten-7\nde-3\ten-7\n"


@given(st.lists(st.lists(st.sampled_from(UPOS), min_size=1, max_size=5), max_size=8))
def test_sentences_are_parted_by_one_empty_line(sentences: list[list[str]]) -> None:
    blocks = content("udpos", [Row("", tags) for tags in sentences]).split("\n\n")
    assert [block.split("\n") for block in blocks[:-1]] == sentences
    assert blocks[-1] == ""


@pytest.mark.parametrize("names", [["q1", ""], ["q1", "q1"]])
def test_a_question_without_an_id_of_its_own_is_refused(names: list[str]) -> None:
    with pytest.raises(UserError, match="ids of their questions"):
        content("xquad", [Row(name, "x") for name in names])


class TestShortcomings:
    def complete(self, task: str, rows: int = 100, layout: str = "x") -> dict[str, Origin]:
        return {language: Origin(rows, layout) for language in xtreme.LANGUAGES[task].split()}

    def test_none_where_xtreme_can_score(self) -> None:
        assert shortcomings("xnli", self.complete("xnli", 5010)) == []
        assert shortcomings("udpos", self.complete("udpos", layout="xtreme-tsv")) == []

    def test_missing_tasks_and_languages_are_named(self) -> None:
        assert "all tasks" in shortcomings("mlqa", {})[0]
        most = self.complete("mlqa")
        del most["hi"]
        assert shortcomings("mlqa", most) == ["mlqa: hi missing; XTREME's evaluate.py ends with FileNotFoundError"]

    def test_rows_of_another_number_are_named(self) -> None:
        assert shortcomings("pawsx", self.complete("pawsx", 2000) | {"ko": Origin(1999, "tsv")}) == [
            "pawsx: XTREME has 2,000 rows in each language, this has ko 1,999"
        ]

    def test_parts_of_speech_need_xtremes_own_words(self) -> None:
        assert "imported as conllu" in shortcomings("udpos", self.complete("udpos", layout="conllu"))[0]
