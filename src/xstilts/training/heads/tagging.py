"""Tagging: every word is labelled at its first token. Long sentences become several windows, so no word is lost."""

from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from xstilts.tasks.examples import Tagging
from xstilts.training.batches import Batch, Feature
from xstilts.training.heads.base import UNKNOWN, Head, Lengths
from xstilts.training.tokenizer import Tokenizer, tokens_of


class WordTarget(NamedTuple):
    """Where the words of a sentence are in its sequences, and what they are."""

    positions: Sequence[Sequence[int]]
    """For each sequence the places of its words' first tokens; in all, one place a word."""
    labels: Sequence[int]
    """One label a word."""


class TaggingHead(Head):
    """A feature's target is a `WordTarget`; on disk `{"positions", "tags"}`."""

    def build(self, hidden_size: int, dropout: float) -> None:
        self.dropout = nn.Dropout(dropout)
        self.classifier = nn.Linear(hidden_size, len(self.spec.labels["tags"]))

    @classmethod
    def features(cls, tokenizer: Tokenizer, examples: Sequence[Tagging], lengths: Lengths) -> list[Feature]:
        sentences = tokenizer.words([example.words for example in examples])
        encoded = (word_windows(tokenizer, words, max_length=lengths.max_length) for words in sentences)
        return [
            Feature(sequences, {"positions": positions, "tags": example.tags})
            for example, (sequences, positions) in zip(examples, encoded, strict=True)
        ]

    def target(self, document: Mapping[str, Any]) -> WordTarget:
        return word_target(document["positions"], document["tags"], self.numbers["tags"])

    def places(self, batch: Batch) -> Tensor:
        return torch.tensor(word_places(batch, [feature.target for feature in batch.features]))

    def counts(self, features: Sequence[Feature]) -> tuple[int, ...]:
        return (word_count(feature.target for feature in features),)

    def loss(self, states: Tensor, features: Sequence[Feature], counts: Sequence[int]) -> Tensor:
        return word_loss(self._scores(states), [feature.target for feature in features]) / max(1, counts[0])

    def answers(self, states: Tensor, features: Sequence[Feature]) -> list[list[str]]:
        targets = [feature.target for feature in features]
        return word_answers(self._scores(states), targets, self.spec.labels["tags"])

    def _scores(self, states: Tensor) -> Tensor:
        scores: Tensor = self.classifier(self.dropout(states))
        return scores

    @classmethod
    def labels(cls, examples: Sequence[Tagging]) -> dict[str, set[str]]:
        return {"tags": {tag for example in examples for tag in example.tags}}


class WordWindows(NamedTuple):
    """A sentence as sequences, and for each of them the places of its words' first tokens."""

    sequences: "tuple[array[int], ...]"
    positions: list[list[int]]


def word_windows(tokenizer: Tokenizer, words: "Sequence[array[int]]", *, max_length: int) -> WordWindows:
    """Windows of whole words, one after the other, in at most `max_length` tokens each."""
    room = max_length - 2
    sequences, positions = [], list[list[int]]()
    for window in windows([len(word) for word in words], room):
        tokens, places = tokens_of(()), list[int]()
        for word in window:
            places.append(len(tokens) + 1)  # after <s>
            tokens.extend(words[word])
        sequences.append(tokenizer.single(tokens[:room]))
        positions.append(places)
    return WordWindows(tuple(sequences), positions)


def word_target(positions: Sequence[Sequence[int]], words: Sequence[str], numbers: Mapping[str, int]) -> WordTarget:
    return WordTarget(positions, [numbers.get(word, UNKNOWN) for word in words])


def windows(lengths: Sequence[int], room: int) -> Iterator[range]:
    """Ranges of words that fit into `room` tokens; a word that does not is alone, and loses its tail."""
    begin = used = 0
    for word, length in enumerate(lengths):
        if used + length > room and word > begin:
            yield range(begin, word)
            begin, used = word, 0
        used += length
    yield range(begin, len(lengths))


def word_places(batch: Batch, targets: Sequence[WordTarget]) -> list[int]:
    """Where the first tokens of all words are in the batch, in order."""
    positions = (places for target in targets for places in target.positions)
    return [start + place for start, places in zip(batch.starts, positions, strict=True) for place in places]


def word_count(targets: "Iterable[WordTarget]") -> int:
    return sum(label != UNKNOWN for target in targets for label in target.labels)


def word_loss(scores: Tensor, targets: Sequence[WordTarget]) -> Tensor:
    labels = torch.tensor([label for target in targets for label in target.labels], device=scores.device)
    return cross_entropy(scores, labels, ignore_index=UNKNOWN, reduction="sum")


def word_answers(scores: Tensor, targets: Sequence[WordTarget], names: Sequence[str]) -> list[list[str]]:
    """The best label of each word, a list a sentence."""
    best = iter(scores.argmax(dim=-1).tolist())
    return [[names[next(best)] for _ in target.labels] for target in targets]
