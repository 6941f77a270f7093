"""The head of masked language modelling: RoBERTa's, with the encoder's own embeddings as output weights.

It is no head of a task: it has no labels and gives no answers, and stands beside the heads of tasks.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, gelu, linear
from transformers import PreTrainedModel

from xstilts.tasks.examples import Text
from xstilts.training.batches import Batch, Feature
from xstilts.training.heads.base import Lengths
from xstilts.training.tokenizer import Tokenizer


class HiddenTokens(NamedTuple):
    """A feature's target: which tokens of its one sequence are to be predicted, and what they were."""

    places: npt.NDArray[np.int64]
    tokens: npt.NDArray[np.int64]


class LanguageModelHead(nn.Module):
    """Dense, GELU, layer norm, then scores of all tokens; parameters are named as in transformers' `lm_head`."""

    def __init__(self, encoder: PreTrainedModel, weights: Mapping[str, Tensor]) -> None:
        """`weights` are those of a file with such a head; empty for a fresh one, from torch's global generator."""
        super().__init__()
        config = encoder.config
        self.dense = nn.Linear(config.hidden_size, config.hidden_size)
        self.layer_norm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.bias = nn.Parameter(torch.zeros(config.vocab_size))
        self._embeddings: Callable[[], nn.Module] = encoder.get_input_embeddings  # which belong to the encoder alone
        if weights:
            self.load_state_dict(dict(weights))

    @classmethod
    def features(cls, tokenizer: Tokenizer, examples: Sequence[Text], lengths: Lengths) -> list[Feature]:
        """A sequence a line, which loses its tail where it is too long; tokens are hidden later, and anew each time."""
        lines = tokenizer.texts([example.text for example in examples])
        return [Feature((tokenizer.single(tokens[: lengths.max_length - 2]),), None) for tokens in lines]

    @classmethod
    def labels(cls, examples: Sequence[Text]) -> dict[str, set[str]]:
        return {}

    def places(self, batch: Batch) -> Tensor:
        """The hidden tokens, whose states `loss` wants."""
        hidden = [start + feature.target.places for start, feature in zip(batch.starts, batch.features, strict=True)]
        return torch.from_numpy(np.concatenate(hidden))

    def counts(self, features: Sequence[Feature]) -> tuple[int, ...]:
        """Hidden tokens."""
        return (sum(len(feature.target.tokens) for feature in features),)

    def loss(self, states: Tensor, features: Sequence[Feature], counts: Sequence[int]) -> Tensor:
        """Cross-entropy of the hidden tokens, summed and divided by `counts`; 0 where none is hidden: a scalar."""
        embeddings = self._embeddings().weight
        scores = linear(self.layer_norm(gelu(self.dense(states))), embeddings, self.bias)  # type: ignore[arg-type]
        tokens = torch.from_numpy(np.concatenate([feature.target.tokens for feature in features]))
        return cross_entropy(scores, tokens.to(states.device), reduction="sum") / max(1, *counts)
