"""Tagging: every word is labelled at its first token. Long sentences become several windows, so no word is lost."""

from array import array
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from xstilts.tasks.examples import Tagging
from xstilts.training.batches import Batch, Feature
from xstilts.training.heads.base import UNKNOWN, Head
from xstilts.training.tokenizer import Tokenizer, tokens_of


class WordTarget(NamedTuple):
    """Where the words of a sentence are in its sequences, and what they are."""

    positions: "tuple[array[int], ...]"
    """For each sequence the places of its words' first tokens; in all, one place a word."""
    labels: "array[int]"
    """One label a word."""


class TaggingHead(Head):
    """A feature's target is a `WordTarget`."""

    def build(self, hidden_size: int, dropout: float) -> None:
        self.dropout = nn.Dropout(dropout)
        self.classifier = nn.Linear(hidden_size, len(self.spec.labels["tags"]))

    def encode(self, tokenizer: Tokenizer, examples: Sequence[Tagging]) -> list[Feature]:
        sentences = tokenizer.words([example.words for example in examples])
        index = self.index("tags")
        return [
            word_feature(
                tokenizer,
                words,
                labels=[index.get(tag, UNKNOWN) for tag in example.tags],
                max_length=self.spec.max_length,
            )
            for example, words in zip(examples, sentences, strict=True)
        ]

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


def word_feature(
    tokenizer: Tokenizer, words: "Sequence[array[int]]", *, labels: Sequence[int], max_length: int
) -> Feature:
    """Windows of whole words, one after the other, in at most `max_length` tokens each."""
    room = max_length - 2
    sequences, positions = [], []
    for window in windows([len(word) for word in words], room):
        tokens, places = tokens_of(()), tokens_of(())
        for word in window:
            places.append(len(tokens) + 1)  # after <s>
            tokens.extend(words[word])
        sequences.append(tokenizer.single(tokens[:room]))
        positions.append(places)
    return Feature(tuple(sequences), WordTarget(tuple(positions), tokens_of(labels)))


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
