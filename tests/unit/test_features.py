"""From examples to features and back to text: no label is lost, no character is shifted, in any script."""

from array import array
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer as Backend
from tokenizers import normalizers

from xstilts.core.catalogue import TaskKind
from xstilts.core.errors import UserError
from xstilts.tasks.examples import Answer, IntentAndSlots, MultipleChoice, SpanExtraction, Tagging
from xstilts.training import init_model
from xstilts.training.batches import Feature, bucketed, filled, pack
from xstilts.training.heads import HEADS, Head, HeadSpec
from xstilts.training.heads.span_extraction import (
    N_BEST,
    NO_ANSWER,
    ContextTarget,
    answer_tokens,
    best_answer,
    most_context,
    n_best,
    position,
)
from xstilts.training.heads.span_extraction import windows as token_windows
from xstilts.training.heads.tagging import windows as word_windows
from xstilts.training.heads.tagging import word_answers
from xstilts.training.tokenizer import Tokenizer, shares, tokens_of

CONTEXTS = {
    "en": ("Where  is it? In the old house.", "old house"),
    "zh": ("长城位于中国北方\uff0c全长两万公里。", "中国北方"),
    "th": ("กรุงเทพเป็นเมืองหลวงของประเทศไทย", "เมืองหลวง"),
    "ar": ("تقع القاهرة على ضفاف نهر النيل", "نهر النيل"),
    "hi": ("दिल्ली भारत की राजधानी है", "भारत"),
    "full-width": ("価格は１２３円です。", "１２３円"),
    "leading space": ("   an answer", "an"),
    "no-break space": ("it weighs 30\u00a0kg now", "30\u00a0kg"),
    "decomposed": ("Elle commande encore un cafe\u0301", "cafe\u0301"),
    "decomposed before a space": ("un cafe\u0301 de plus", "cafe\u0301"),
    "several marks": ("Vie\u0302\u0323t Nam o\u031b\u0309 cha\u0302u A\u0301", "Vie\u0302\u0323t Nam o\u031b\u0309"),
    "Hangul jamo": (
        "\u1112\u1161\u11ab\u1100\u116e\u11a8 \u1109\u1165\u110b\u116e\u11af",
        "\u1112\u1161\u11ab\u1100\u116e\u11a8",
    ),
}

WORDS = st.sampled_from(
    [
        "",
        " ",
        "\u00a0",
        "\u200b",
        "\ufe0f",
        "🙂",
        "old",
        "house",
        "house" * 30,
        "กรุงเทพ" * 9,
        "长城",
        "नदी",
        "１２",
        "e\u0301",
        "\u0301",
    ]
) | st.text(max_size=6)


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Tokenizer:
    folder = tmp_path_factory.mktemp("model") / "encoder"
    init_model([context for context, _ in CONTEXTS.values()], folder, vocab_size=120, hidden_size=8, layers=1)
    return Tokenizer.load(folder)


def head(kind: TaskKind, *, max_length: int = 24, doc_stride: int = 4, **labels: tuple[str, ...]) -> Head:
    spec = HeadSpec(task="t", kind=kind, labels=labels, max_length=max_length, doc_stride=doc_stride)
    return HEADS[kind](spec, hidden_size=4, dropout=0.0)


def run_squad_windows(length: int, room: int, doc_stride: int) -> list[tuple[int, int]]:
    """Start and length of each window, as BERT's `run_squad.py` finds them."""
    spans: list[tuple[int, int]] = []
    start = 0
    while start < length:
        size = min(length - start, room)
        spans.append((start, size))
        if start + size == length:
            break
        start += min(size, doc_stride)
    return spans or [(0, 0)]  # an empty context is one empty window


def max_context(windows: Sequence[range], token: int) -> int:
    """The window in which a token has the most context, as jiant's `token_is_max_context` scores it."""
    scored = [
        (min(token - window.start, window.stop - 1 - token) + 0.01 * len(window), -number)
        for number, window in enumerate(windows)
        if token in window
    ]
    return -max(scored)[1]


class TestSpans:
    @pytest.mark.parametrize(("context", "answer"), CONTEXTS.values(), ids=CONTEXTS)
    def test_answer_goes_to_tokens_and_back_unchanged(self, tokenizer: Tokenizer, context: str, answer: str) -> None:
        example = SpanExtraction(id="", question="?", context=context, answers=(Answer(answer, context.index(answer)),))
        (feature,) = head(TaskKind.SPAN_EXTRACTION, max_length=64).encode(tokenizer, [example])
        ((first, last),) = feature.target.spans
        scores = np.zeros((feature.length, 2), np.float32)
        scores[first, 0] = scores[last, 1] = 9
        assert best_answer([scores], feature.target, null=False) == answer

    @pytest.mark.parametrize("context", [context for context, _ in CONTEXTS.values()], ids=CONTEXTS)
    def test_no_token_begins_with_a_space_and_no_character_is_skipped(self, tokenizer: Tokenizer, context: str) -> None:
        (spanned,) = tokenizer.spans([context])
        covered = set()
        for start, end in zip(spanned.starts, spanned.ends, strict=True):
            assert not context[start:end][:1].isspace()
            covered |= set(range(start, end))
        assert covered >= {place for place, letter in enumerate(context) if not letter.isspace()}

    @pytest.mark.parametrize(
        ("context", "answer"),
        [
            pytest.param("వికీ పగ్వాల్\u200c లో", "పగ్వాల్\u200c", id="at the end of a word"),
            pytest.param("వికీ పగ్వాల్\u200c", "పగ్వాల్\u200c", id="at the end of the context"),
            pytest.param("వికీ\u200cపగ్వాల్ లో", "వికీ\u200cపగ్వాల్", id="in a word"),
            pytest.param("వికీ \u200cపగ్వాల్ లో", "పగ్వాల్", id="after a space"),
            pytest.param("\u200cపగ్వాల్ లో", "పగ్వాల్", id="before everything"),
        ],
    )
    def test_a_character_that_xlm_r_reads_as_a_space_belongs_to_the_token_before(
        self, tokenizer: Tokenizer, context: str, answer: str
    ) -> None:
        """XLM-R's own normalizer makes spaces of U+200C and its like; answers of TyDiQA end in it."""
        backend = Backend.from_str(tokenizer.backend.to_str())
        backend.normalizer = normalizers.Sequence([normalizers.Replace("\u200c", " "), normalizers.NFKC()])
        (spanned,) = replace(tokenizer, backend=backend).spans([context])
        tokens = answer_tokens(spanned, Answer(answer, context.index(answer)))
        assert tokens is not None
        assert context[spanned.starts[tokens[0]] : spanned.ends[tokens[1]]] == answer

    def test_long_context_keeps_its_answer_in_a_window(self, tokenizer: Tokenizer) -> None:
        context = "the old house in the old " * 10 + "where it is"
        answer = Answer("where", context.index("where"))
        example = SpanExtraction(id="", question="is it?", context=context, answers=(answer,))
        (feature,) = head(TaskKind.SPAN_EXTRACTION).encode(tokenizer, [example])
        assert len(feature.sequences) > 2
        assert feature.length <= 24
        assert feature.target.spans[0] == NO_ANSWER
        assert feature.target.spans[-1] != NO_ANSWER

    def test_a_window_without_the_whole_answer_has_none(self) -> None:
        assert position((3, 6), range(4, 9), 2) == NO_ANSWER
        assert position((4, 6), range(4, 9), 2) == (2, 4)
        assert position(None, range(4, 9), 2) == NO_ANSWER

    def test_query_of_any_length_leaves_room_for_the_context(self, tokenizer: Tokenizer) -> None:
        example = SpanExtraction(id="", question="is it? " * 50, context="the old house", answers=())
        (feature,) = head(TaskKind.SPAN_EXTRACTION).encode(tokenizer, [example])
        assert feature.length <= 24

    @given(length=st.integers(0, 300), room=st.integers(2, 60), step=st.integers(1, 200))
    def test_windows_cover_everything_in_steps(self, length: int, room: int, step: int) -> None:
        ranges = list(token_windows(length, room=room, step=step))
        assert set().union(*ranges) == set(range(length))
        assert all(len(window) <= room for window in ranges)
        assert all(b.start == a.start + min(step, room) for a, b in pairwise(ranges))

    @given(length=st.integers(0, 300), room=st.integers(1, 60), step=st.integers(1, 200))
    def test_windows_are_those_of_run_squad(self, length: int, room: int, step: int) -> None:
        assert [(w.start, len(w)) for w in token_windows(length, room=room, step=step)] == run_squad_windows(
            length, room, step
        )

    def test_doc_stride_is_the_step_between_windows(self, tokenizer: Tokenizer) -> None:
        context = "the old house where it is in the old house. " * 2
        question = "is it"
        (tokens,), (query,) = tokenizer.texts([context]), tokenizer.texts([question])
        room = 8
        example = SpanExtraction(id="", question=question, context=context, answers=())
        spanned = head(TaskKind.SPAN_EXTRACTION, max_length=len(query) + 4 + room, doc_stride=3)
        (feature,) = spanned.encode(tokenizer, [example])
        begins = range(0, len(tokens) - room + 3, 3)
        expected = [[0, *query, 2, 2, *tokens[begin : begin + room], 2] for begin in begins]
        assert [list(sequence) for sequence in feature.sequences] == expected

    @given(room=st.integers(1, 30), length=st.integers(0, 120), step=st.integers(1, 40))
    def test_each_token_has_one_window_with_the_most_context(self, room: int, length: int, step: int) -> None:
        ranges = list(token_windows(length, room=room, step=step))
        owners = most_context(ranges)
        assert [token for own in owners for token in own] == list(range(length))
        for number, own in enumerate(owners):
            assert all(max_context(ranges, token) == number for token in own)

    def test_no_answer_is_said_only_where_the_task_has_such_rows(self, tokenizer: Tokenizer) -> None:
        example = SpanExtraction(id="", question="?", context="the old house", answers=())
        (feature,) = head(TaskKind.SPAN_EXTRACTION).encode(tokenizer, [example])
        scores = np.zeros((feature.length, 2), np.float32)
        scores[0] = 5
        assert best_answer([scores], feature.target, null=True) == ""
        assert best_answer([scores], feature.target, null=False) != ""

    @given(st.integers(2, 12), st.integers(1, 10), st.data())
    def test_a_span_of_several_windows_counts_where_its_start_has_the_most_context(
        self, room: int, length: int, data: st.DataObject
    ) -> None:
        ranges = tuple(token_windows(length, room=room, step=(room + 1) // 2))
        starts = range(0, 2 * length, 2)
        target = ContextTarget("ab" * length, starts, [start + 2 for start in starts], ranges, 3, [NO_ANSWER])
        numbers = st.integers(-9, 9).map(float)
        scores = [
            np.array(data.draw(st.lists(st.tuples(numbers, numbers), min_size=n, max_size=n)), np.float32)
            for n in (len(window) + 4 for window in ranges)
        ]
        found = n_best(scores, target)
        every: dict[tuple[int, int], float] = {}
        for number, (rows, window) in enumerate(zip(scores, ranges, strict=True)):
            for first in range(len(window)):
                if max_context(ranges, window[first]) != number:
                    continue
                for last in range(first, len(window)):
                    place = (starts[window[first]], starts[window[last]] + 2)
                    every[place] = float(rows[3 + first, 0] + rows[3 + last, 1])
        assert [candidate.score for candidate in found.candidates] == sorted(every.values(), reverse=True)[:N_BEST]
        assert len({candidate[1:] for candidate in found.candidates}) == len(found.candidates)
        assert all(every[candidate[1:]] == candidate.score for candidate in found.candidates)
        assert found.null == min(float(rows[0].sum()) for rows in scores)
        assert found.null_odds == found.null - max(every.values())
        best = "" if found.null_odds > 0 else target.text[slice(*found.candidates[0][1:])]
        assert best_answer(scores, target, null=True) == best

    def test_empty_context_has_no_answer(self, tokenizer: Tokenizer) -> None:
        (feature,) = head(TaskKind.SPAN_EXTRACTION).encode(
            tokenizer, [SpanExtraction(id="", question="is it?", context="", answers=())]
        )
        assert best_answer([np.zeros((feature.length, 2), np.float32)], feature.target, null=False) == ""

    def test_answer_of_no_token_is_none(self, tokenizer: Tokenizer) -> None:
        (spanned,) = tokenizer.spans(["the  old"])
        assert answer_tokens(spanned, Answer(" ", 4)) is None


class TestWords:
    @pytest.mark.parametrize("word", [" ", "\u00a0", "", "🙂", "\ufe0f"])
    def test_every_word_has_a_token(self, tokenizer: Tokenizer, word: str) -> None:
        (pieces,) = tokenizer.words([["old", word, "house"]])
        assert len(pieces) == 3
        assert all(pieces)

    def test_a_word_of_nothing_is_unknown(self, tokenizer: Tokenizer) -> None:
        assert tokenizer.words([["\u00a0"]]) == [[tokens_of((tokenizer.unknown,))]]

    @given(lengths=st.lists(st.integers(1, 9), max_size=40), room=st.integers(1, 12))
    def test_windows_hold_each_word_once_in_order(self, lengths: list[int], room: int) -> None:
        ranges = list(word_windows(lengths, room))
        assert [word for window in ranges for word in window] == list(range(len(lengths)))
        assert all(sum(lengths[word] for word in window) <= room for window in ranges if len(window) > 1)

    def test_long_sentence_loses_no_label(self, tokenizer: Tokenizer) -> None:
        tags = tuple("AB"[number % 3 == 0] for number in range(40))
        example = Tagging(id="", words=("house",) * 40, tags=tags)
        (feature,) = head(TaskKind.TAGGING, max_length=16, tags=("A", "B")).encode(tokenizer, [example])
        assert feature.length <= 16
        assert sum(len(places) for places in feature.target.positions) == 40
        assert [("A", "B")[label] for label in feature.target.labels] == list(tags)

    def test_positions_point_at_first_tokens(self, tokenizer: Tokenizer) -> None:
        words = ("where", "is", "the", "house")
        (pieces,) = tokenizer.words([words])
        (feature,) = head(TaskKind.TAGGING, max_length=16, tags=("A",)).encode(
            tokenizer, [Tagging(id="", words=words, tags=("A",) * 4)]
        )
        pointed = [
            sequence[place]
            for sequence, places in zip(feature.sequences, feature.target.positions, strict=True)
            for place in places
        ]
        assert pointed == [piece[0] for piece in pieces]

    @settings(deadline=None)
    @given(words=st.lists(WORDS, min_size=1, max_size=60), max_length=st.integers(3, 20))
    def test_no_word_shifts_the_label_of_another(self, tokenizer: Tokenizer, words: list[str], max_length: int) -> None:
        """Words of nothing, words longer than a sequence, sentences of many: each has its answer at its first token."""
        tagger = head(TaskKind.TAGGING, max_length=max_length, tags=("A", "B", "C"))
        tags = tuple("ABC"[number * number % 3] for number in range(len(words)))
        (feature,) = tagger.encode(tokenizer, [Tagging(id="", words=tuple(words), tags=tags)])
        assert feature.length <= max_length
        (pieces,) = tokenizer.words([words])
        pointed = [
            sequence[place]
            for sequence, places in zip(feature.sequences, feature.target.positions, strict=True)
            for place in places
        ]
        assert pointed == [piece[0] for piece in pieces]
        scores = torch.eye(3)[list(feature.target.labels)]
        assert word_answers(scores, [feature.target], ("A", "B", "C")) == [list(tags)]

    def test_word_longer_than_a_sequence_still_counts(self, tokenizer: Tokenizer) -> None:
        example = Tagging(id="", words=("house" * 40, "old"), tags=("A", "A"))
        (feature,) = head(TaskKind.TAGGING, max_length=16, tags=("A",)).encode(tokenizer, [example])
        assert len(feature.sequences) == 2
        assert feature.length == 16

    def test_intent_is_read_from_the_first_of_several_windows(self, tokenizer: Tokenizer) -> None:
        example = IntentAndSlots(id="", words=("house",) * 30, slots=("O",) * 30, intent="find")
        parser = head(TaskKind.INTENT_AND_SLOTS, max_length=16, intent=("find",), slots=("O",))
        (feature,) = parser.encode(tokenizer, [example])
        assert len(feature.sequences) > 1
        assert feature.target.intent == 0
        assert len(feature.target.words.labels) == 30


class TestPairs:
    @given(first=st.integers(0, 50), second=st.integers(0, 50), room=st.integers(0, 60))
    def test_the_longer_part_loses_its_tail(self, first: int, second: int, room: int) -> None:
        kept, rest = shares(first, second, room)
        assert kept + rest == min(room, first + second)
        assert kept <= first
        assert rest <= second
        if kept < first and rest < second:
            assert abs(kept - rest) <= 1

    def test_pair_has_the_special_tokens_of_xlm_r(self, tokenizer: Tokenizer) -> None:
        a, b = tokens_of((7,)), tokens_of((8, 9))
        assert list(tokenizer.pair(a, b, max_length=20)) == [0, 7, 2, 2, 8, 9, 2]
        assert list(tokenizer.pair(a, tokens_of(()), max_length=20)) == [0, 7, 2]

    def test_choices_may_differ_in_number(self, tokenizer: Tokenizer) -> None:
        examples = [MultipleChoice(id="", prompt="the house", choices=("old",) * number, label=0) for number in (2, 5)]
        features = head(TaskKind.MULTIPLE_CHOICE).encode(tokenizer, examples)
        assert [len(feature.sequences) for feature in features] == [2, 5]

    def test_training_label_outside_of_a_fixed_set_is_refused(self) -> None:
        with pytest.raises(UserError, match="'maybe' is none of yes, no"):
            HEADS[TaskKind.CLASSIFICATION].resolve_labels("t", {"label": ("maybe", "yes")}, ("yes", "no"))


class TestBatches:
    def test_sequences_are_end_to_end_and_attention_has_them_side_by_side(self) -> None:
        features = [Feature((tokens_of((0, 5, 2)),), None), Feature((tokens_of((0, 2)), tokens_of((0, 6, 7, 2))), None)]
        batch = pack(features)
        assert batch.ids.tolist() == [0, 5, 2, 0, 2, 0, 6, 7, 2]
        assert batch.positions.tolist() == [0, 1, 2, 0, 1, 0, 1, 2, 3]
        assert batch.starts == [0, 3, 5]
        full, pair = batch.rectangles
        assert (full.rows, full.width, full.mask.squeeze().tolist()) == (2, 4, [[True] * 4, [True] * 3 + [False]])
        assert (pair.rows, pair.width, pair.mask) == (1, 2, None)
        assert batch.cells.tolist() == [4, 5, 6, 8, 9, 0, 1, 2, 3]

    @given(lengths=st.lists(st.integers(1, 20), max_size=40), size=st.integers(1, 9))
    def test_buckets_hold_each_feature_once_longest_first(self, lengths: list[int], size: int) -> None:
        features = [Feature((array("i", [0] * length),), None) for length in lengths]
        order = [index for bucket in bucketed(features, size) for index in bucket]
        assert sorted(order) == list(range(len(lengths)))
        assert [lengths[index] for index in order] == sorted(lengths, reverse=True)

    @given(
        lengths=st.lists(st.lists(st.integers(1, 20), min_size=1, max_size=3), max_size=40), tokens=st.integers(1, 60)
    )
    def test_filled_batches_hold_each_feature_once_longest_first(self, lengths: list[list[int]], tokens: int) -> None:
        """And no other batch could have taken the next feature."""
        features = [Feature(tuple(array("i", [0] * length) for length in each), None) for each in lengths]
        batches = list(filled(features, tokens))
        order = [index for batch in batches for index in batch]
        assert sorted(order) == list(range(len(lengths)))
        longest = [features[index].length for index in order]
        assert longest == sorted(longest, reverse=True)
        sizes = [[sum(lengths[index]) for index in batch] for batch in batches]
        assert all(sum(batch) <= tokens or len(batch) == 1 for batch in sizes)
        assert all(sum(batch) + following[0] > tokens for batch, following in pairwise(sizes))

    def test_idle_tokens_fill_up_and_are_in_no_sequence(self) -> None:
        features = [Feature((tokens_of((0, 5, 2)),), None), Feature((tokens_of((0, 6, 7, 2)),), None)]
        batch, alone = pack(features, multiple=4), pack(features)
        assert [len(part) for part in (batch.ids, batch.positions, batch.cells)] == [8] * 3
        assert batch.lengths == alone.lengths
        assert batch.tokens.tolist() == alone.tokens.tolist()
        assert batch.ids.tolist()[:7] == alone.ids.tolist()


def test_folder_without_a_tokenizer_says_what_is_missing(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no tokenizer\.json"):
        Tokenizer.load(tmp_path)
