"""Intent and slots of an utterance: the state of `<s>` and the first token of each word, their losses summed."""

from collections.abc import Mapping, Sequence
from itertools import accumulate
from typing import Any, NamedTuple, TypedDict

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from xstilts.tasks.examples import IntentAndSlots
from xstilts.training.batches import Batch, Feature
from xstilts.training.heads.base import UNKNOWN, Head, Lengths, SentenceScores
from xstilts.training.heads.tagging import (
    WordTarget,
    word_answers,
    word_count,
    word_loss,
    word_places,
    word_target,
    word_windows,
)
from xstilts.training.tokenizer import Tokenizer


class UtteranceTarget(NamedTuple):
    intent: int
    words: WordTarget


class Parse(TypedDict):
    """A flat parse, as it is written to predictions."""

    intent: str
    slots: list[str]


class IntentAndSlotsHead(Head):
    """A feature's target is an `UtteranceTarget`, on disk `{"intent", "positions", "slots"}`.

    Of an utterance in several windows the first tells the intent.
    """

    def build(self, hidden_size: int, dropout: float) -> None:
        self.intent_scores = SentenceScores(hidden_size, len(self.spec.labels["intent"]), dropout)
        self.dropout = nn.Dropout(dropout)
        self.slot_classifier = nn.Linear(hidden_size, len(self.spec.labels["slots"]))

    @classmethod
    def features(cls, tokenizer: Tokenizer, examples: Sequence[IntentAndSlots], lengths: Lengths) -> list[Feature]:
        sentences = tokenizer.words([example.words for example in examples])
        encoded = (word_windows(tokenizer, words, max_length=lengths.max_length) for words in sentences)
        return [
            Feature(sequences, {"intent": example.intent, "positions": positions, "slots": example.slots})
            for example, (sequences, positions) in zip(examples, encoded, strict=True)
        ]

    def target(self, document: Mapping[str, Any]) -> UtteranceTarget:
        words = word_target(document["positions"], document["slots"], self.numbers["slots"])
        return UtteranceTarget(self.numbers["intent"].get(document["intent"], UNKNOWN), words)

    def places(self, batch: Batch) -> Tensor:
        """The first `<s>` of each feature, then the words of all."""
        starts, counts = batch.starts, [len(feature.sequences) for feature in batch.features]
        firsts = [starts[number] for number in accumulate(counts[:-1], initial=0)]
        return torch.tensor(firsts + word_places(batch, [feature.target.words for feature in batch.features]))

    def counts(self, features: Sequence[Feature]) -> tuple[int, ...]:
        return (
            sum(feature.target.intent != UNKNOWN for feature in features),
            word_count(feature.target.words for feature in features),
        )

    def loss(self, states: Tensor, features: Sequence[Feature], counts: Sequence[int]) -> Tensor:
        intents = torch.tensor([feature.target.intent for feature in features], device=states.device)
        intent_loss = cross_entropy(
            self.intent_scores(states[: len(features)]), intents, ignore_index=UNKNOWN, reduction="sum"
        )
        words = [feature.target.words for feature in features]
        return intent_loss / max(1, counts[0]) + word_loss(self._slots(states[len(features) :]), words) / max(
            1, counts[1]
        )

    def answers(self, states: Tensor, features: Sequence[Feature]) -> list[Parse]:
        words = [feature.target.words for feature in features]
        slots = word_answers(self._slots(states[len(features) :]), words, self.spec.labels["slots"])
        intents: list[int] = self.intent_scores(states[: len(features)]).argmax(dim=-1).tolist()
        names = self.spec.labels["intent"]
        return [Parse(intent=names[intent], slots=tags) for intent, tags in zip(intents, slots, strict=True)]

    def _slots(self, states: Tensor) -> Tensor:
        scores: Tensor = self.slot_classifier(self.dropout(states))
        return scores

    @classmethod
    def labels(cls, examples: Sequence[IntentAndSlots]) -> dict[str, set[str]]:
        return {
            "intent": {example.intent for example in examples},
            "slots": {slot for example in examples for slot in example.slots},
        }
