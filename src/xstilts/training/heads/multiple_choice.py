"""Multiple choice: every choice is a sequence `<s> prompt </s> </s> choice </s>` with one score; softmax over them."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy
from torch.nn.utils.rnn import pad_sequence

from xstilts.tasks.examples import MultipleChoice
from xstilts.training.batches import Batch, Feature
from xstilts.training.heads.base import Head, Lengths, SentenceScores
from xstilts.training.tokenizer import Tokenizer


class MultipleChoiceHead(Head):
    """A feature has a sequence a choice; its target is the index of the right one. Examples may differ in choices."""

    def build(self, hidden_size: int, dropout: float) -> None:
        self.scores = SentenceScores(hidden_size, 1, dropout)

    @classmethod
    def features(cls, tokenizer: Tokenizer, examples: Sequence[MultipleChoice], lengths: Lengths) -> list[Feature]:
        prompts = tokenizer.texts([example.prompt for example in examples])
        choices = iter(tokenizer.texts([choice for example in examples for choice in example.choices]))
        return [
            Feature(
                tuple(tokenizer.pair(prompt, next(choices), max_length=lengths.max_length) for _ in example.choices),
                example.label,
            )
            for example, prompt in zip(examples, prompts, strict=True)
        ]

    def target(self, document: int) -> int:
        return document

    def places(self, batch: Batch) -> Tensor:
        return torch.tensor(batch.starts)

    def counts(self, features: Sequence[Feature]) -> tuple[int, ...]:
        return (len(features),)

    def loss(self, states: Tensor, features: Sequence[Feature], counts: Sequence[int]) -> Tensor:
        labels = torch.tensor([feature.target for feature in features], device=states.device)
        return cross_entropy(self._by_example(states, features), labels, reduction="sum") / max(1, counts[0])

    def answers(self, states: Tensor, features: Sequence[Feature]) -> list[int]:
        best: list[int] = self._by_example(states, features).argmax(dim=-1).tolist()
        return best

    def _by_example(self, states: Tensor, features: Sequence[Feature]) -> Tensor:
        """[examples, choices], with minus infinity where an example has fewer choices than others."""
        scores = self.scores(states).squeeze(-1).float()
        counts = [len(feature.sequences) for feature in features]
        return pad_sequence(list(scores.split(counts)), batch_first=True, padding_value=-torch.inf)

    @classmethod
    def labels(cls, examples: Sequence[MultipleChoice]) -> dict[str, set[str]]:
        return {}
