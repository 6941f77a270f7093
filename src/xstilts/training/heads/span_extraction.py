"""Span extraction: which characters of the context answer the question, found by the scores of their tokens.

Sequences are `<s> question </s> </s> window </s>`, with overlapping windows of a long context. Windows, limits and the
choice of the best span are those of jiant's `squad_style` (after BERT's and Hugging Face's `run_squad.py`): a window
starts every `docStride` tokens; queries have at most 64 tokens; answers are of the 20 best starts and ends, have at
most 30 tokens, and come from the window with the most context around their start; the null threshold is 0.
"""

from array import array
from collections.abc import Iterator, Mapping, Sequence
from math import inf
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.nn.utils.rnn import pad_sequence

from xstilts.tasks.examples import Answer, SpanExtraction
from xstilts.training.attention import ALL, Places
from xstilts.training.batches import Batch, Feature
from xstilts.training.heads.base import Head, Lengths
from xstilts.training.tokenizer import SpannedText, Tokenizer

MAX_QUERY_TOKENS = 64
MAX_ANSWER_TOKENS = 30
N_BEST = 20
NULL_THRESHOLD = 0.0
NO_ANSWER = (0, 0)
"""The position of `<s>` stands for "no answer in this window"."""

Scores = npt.NDArray[np.float32]


class ContextTarget(NamedTuple):
    """Where the context is in the sequences of a feature, and where the answer is."""

    text: str
    starts: Sequence[int]
    ends: Sequence[int]
    """Context token i is `text[starts[i]:ends[i]]`."""
    windows: tuple[range, ...]
    """The context tokens of each sequence."""
    offset: int
    """Position of a window's first token in its sequence."""
    spans: Sequence[tuple[int, int]]
    """Positions of the answer's first and last token in each sequence."""


class Candidate(NamedTuple):
    score: float
    """Of start and end together."""
    start: int
    end: int
    """The answer is `text[start:end]` of the context."""


class NBest(NamedTuple):
    """What the windows of a context say together."""

    candidates: tuple[Candidate, ...]
    """At most N_BEST different spans, the best first; none for a context without characters."""
    null: float
    """Score of having no answer."""

    @property
    def null_odds(self) -> float:
        """How much higher no answer scores than the best one (see `xstilts.metrics.answers.best_null_threshold`)."""
        return self.null - self.candidates[0].score if self.candidates else inf


class SpanExtractionHead(Head):
    """A feature's target is a `ContextTarget`; on disk its fields, with windows as pairs."""

    def build(self, hidden_size: int, dropout: float) -> None:
        self.span_scores = nn.Linear(hidden_size, 2)

    @classmethod
    def features(cls, tokenizer: Tokenizer, examples: Sequence[SpanExtraction], lengths: Lengths) -> list[Feature]:
        questions = tokenizer.texts([example.question for example in examples])
        contexts = tokenizer.spans([example.context for example in examples])
        return [
            _feature(tokenizer, example, question, context, lengths)
            for example, question, context in zip(examples, questions, contexts, strict=True)
        ]

    def target(self, document: Mapping[str, Any]) -> ContextTarget:
        windows = tuple(range(begin, end) for begin, end in document["windows"])
        return ContextTarget(**{**document, "windows": windows})

    def places(self, batch: Batch) -> Places:
        return ALL

    def counts(self, features: Sequence[Feature]) -> tuple[int, ...]:
        return (2 * sum(len(feature.sequences) for feature in features),)

    def loss(self, states: Tensor, features: Sequence[Feature], counts: Sequence[int]) -> Tensor:
        """Mean of the losses of starts and ends over all windows."""
        scores = self._scores(states, features)
        spans = torch.tensor([span for feature in features for span in feature.target.spans])
        return cross_entropy(
            scores.transpose(1, 2).flatten(0, 1), spans.flatten().to(states.device), reduction="sum"
        ) / max(1, counts[0])

    def answers(self, states: Tensor, features: Sequence[Feature]) -> list[str]:
        rows = iter(self._scores(states, features).cpu().numpy())
        return [
            best_answer([next(rows) for _ in feature.sequences], feature.target, null=self.spec.null_answers)
            for feature in features
        ]

    def _scores(self, states: Tensor, features: Sequence[Feature]) -> Tensor:
        """[sequences, tokens, 2], with minus infinity after the end of a sequence that is shorter than others."""
        lengths = [len(sequence) for feature in features for sequence in feature.sequences]
        scores = self.span_scores(states).float().split(lengths)
        return pad_sequence(list(scores), batch_first=True, padding_value=-torch.inf)

    @classmethod
    def labels(cls, examples: Sequence[SpanExtraction]) -> dict[str, set[str]]:
        return {}


def _feature(
    tokenizer: Tokenizer, example: SpanExtraction, question: "array[int]", context: SpannedText, lengths: Lengths
) -> Feature:
    special = 4
    query = question[: min(MAX_QUERY_TOKENS, (lengths.max_length - special) // 2)]
    room = lengths.max_length - special - len(query)
    ranges = tuple(windows(len(context.tokens), room=room, step=lengths.doc_stride))
    offset = len(query) + special - 1
    answer = answer_tokens(context, example.answers[0]) if example.answers else None
    return Feature(
        tuple(tokenizer.joined(query, context.tokens[window.start : window.stop]) for window in ranges),
        {
            "text": example.context,
            "starts": context.starts.tolist(),
            "ends": context.ends.tolist(),
            "windows": [(window.start, window.stop) for window in ranges],
            "offset": offset,
            "spans": [position(answer, window, offset) for window in ranges],
        },
    )


def windows(length: int, *, room: int, step: int) -> Iterator[range]:
    """Ranges of at most `room` tokens that start every `step` tokens, up to the first that reaches `length`.

    As `doc_stride` in BERT's `run_squad.py` and in jiant; a step beyond the room would skip tokens and counts as room.
    """
    step = min(step, room)
    for begin in range(0, max(length - room, 0) + step, step):
        yield range(begin, min(begin + room, length))
        if begin + room >= length:
            return


def answer_tokens(context: SpannedText, answer: Answer) -> tuple[int, int] | None:
    """First and last token that share characters with the answer; None if no token does."""
    begin, end = answer.start, answer.start + len(answer.text)
    inside = [
        token
        for token, (start, stop) in enumerate(zip(context.starts, context.ends, strict=True))
        if start < end and stop > begin and stop > start
    ]
    return (inside[0], inside[-1]) if inside else None


def position(answer: tuple[int, int] | None, window: range, offset: int) -> tuple[int, int]:
    """The answer's tokens as positions of a sequence, if the window holds all of them."""
    if answer is None or answer[0] not in window or answer[1] not in window:
        return NO_ANSWER
    return offset + answer[0] - window.start, offset + answer[1] - window.start


def best_answer(scores: Sequence[Scores], target: ContextTarget, *, null: bool) -> str:
    """The text of the best span in any window, or "" if there is none, or if having no answer scores higher.

    `scores` has one array [tokens, 2] a window: start and end.
    """
    found = n_best(scores, target)
    if not found.candidates or (null and found.null_odds > NULL_THRESHOLD):
        return ""
    return target.text[found.candidates[0].start : found.candidates[0].end]


def n_best(scores: Sequence[Scores], target: ContextTarget) -> NBest:
    """The best spans of all windows, each in the window that has the most context around its start.

    `scores` is as for `best_answer`. No answer scores as in the window that is least sure of it.
    """
    best: dict[tuple[int, int], Candidate] = {}
    for rows, window, own in zip(scores, target.windows, most_context(target.windows), strict=True):
        for found in spans(rows, window, own, target):
            place = (found.start, found.end)
            if place not in best or found.score > best[place].score:
                best[place] = found
    candidates = sorted(best.values(), key=lambda candidate: -candidate.score)[:N_BEST]
    return NBest(tuple(candidates), min(float(rows[0].sum()) for rows in scores))


def most_context(windows: Sequence[range]) -> list[range]:
    """For each window the tokens around which it has more context than any other, as `token_is_max_context` in jiant.

    Context is the smaller of the numbers of tokens before and after, and a hundredth of the window's length; of equal
    windows the first one. `windows` start in order, so every token has one window and every window's are consecutive.
    """
    tokens = np.arange(max((window.stop for window in windows), default=0))
    context = np.full(len(tokens), -1.0)
    owner = np.zeros(len(tokens), np.int64)
    for number, window in enumerate(windows):
        part = slice(window.start, window.stop)
        here = np.minimum(tokens[part] - window.start, window.stop - 1 - tokens[part]) + 0.01 * len(window)
        better = here > context[part]
        context[part][better], owner[part][better] = here[better], number
    begins, ends = (np.searchsorted(owner, np.arange(len(windows)), side=side) for side in ("left", "right"))
    return [range(begin, end) for begin, end in zip(begins.tolist(), ends.tolist(), strict=True)]


def spans(scores: Scores, window: range, own: range, target: ContextTarget) -> Iterator[Candidate]:
    """Spans of a window made of its best starts among `own` and its best ends, in order and of sensible length."""
    inside = scores[target.offset : target.offset + len(window)]
    first_own = own.start - window.start
    starts = first_own + np.argsort(-inside[first_own : first_own + len(own), 0], kind="stable")[:N_BEST]
    ends = np.argsort(-inside[:, 1], kind="stable")[:N_BEST]
    for start in starts:
        for end in ends[(ends >= start) & (ends < start + MAX_ANSWER_TOKENS)]:
            first, last = target.starts[window[start]], target.ends[window[end]]
            if first < last:
                yield Candidate(float(inside[start, 0] + inside[end, 1]), first, last)
