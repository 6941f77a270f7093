"""Classification of a sentence or a pair of sentences by the state of `<s>`."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from xstilts.tasks.examples import Classification
from xstilts.training.batches import Batch, Feature
from xstilts.training.heads.base import UNKNOWN, Head, Lengths, SentenceScores
from xstilts.training.tokenizer import Tokenizer


class ClassificationHead(Head):
    """A feature's target is the index of its label; on disk the label."""

    def build(self, hidden_size: int, dropout: float) -> None:
        self.scores = SentenceScores(hidden_size, len(self.spec.labels["label"]), dropout)

    @classmethod
    def features(cls, tokenizer: Tokenizer, examples: Sequence[Classification], lengths: Lengths) -> list[Feature]:
        firsts = tokenizer.texts([example.first for example in examples])
        seconds = tokenizer.texts([example.second for example in examples])
        return [
            Feature((tokenizer.pair(first, second, max_length=lengths.max_length),), example.label)
            for example, first, second in zip(examples, firsts, seconds, strict=True)
        ]

    def target(self, document: str) -> int:
        return self.numbers["label"].get(document, UNKNOWN)

    def places(self, batch: Batch) -> Tensor:
        return torch.tensor(batch.starts)

    def counts(self, features: Sequence[Feature]) -> tuple[int, ...]:
        return (sum(feature.target != UNKNOWN for feature in features),)

    def loss(self, states: Tensor, features: Sequence[Feature], counts: Sequence[int]) -> Tensor:
        labels = torch.tensor([feature.target for feature in features], device=states.device)
        return cross_entropy(self.scores(states), labels, ignore_index=UNKNOWN, reduction="sum") / max(1, counts[0])

    def answers(self, states: Tensor, features: Sequence[Feature]) -> list[str]:
        best: list[int] = self.scores(states).argmax(dim=-1).tolist()
        return [self.spec.labels["label"][number] for number in best]

    @classmethod
    def labels(cls, examples: Sequence[Classification]) -> dict[str, set[str]]:
        return {"label": {example.label for example in examples}}
