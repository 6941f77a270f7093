"""Word embeddings of the tokens that occur in a run; the other rows wait outside.

Most of a multilingual vocabulary never occurs in English training data. Such a row has no gradient, so all that AdamW
ever does to it is weight decay: it is multiplied by 1 - learning rate * decay at each step. Here that product is
applied once, when the matrix is written. What that changes is rounding: at most 6e-8 of a weight for each step. It does
not hold for a loss over the vocabulary (masked language modelling), which reaches every row.
"""

from collections.abc import Iterable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import embedding
from transformers import PreTrainedModel

from xstilts.training.tables import TokenTable

WORDS = "embeddings.word_embeddings.weight"
"""The matrix in an encoder's state."""


class OccurringWords(nn.Module):
    """Takes the place of an encoder's word embeddings. Token ids stay what they are."""

    _rows: Tensor

    def __init__(self, whole: nn.Embedding, occurring: Tensor) -> None:
        """`occurring` are the token ids, ascending; no other may be asked for."""
        super().__init__()
        self._whole, self._occurring = whole.weight.detach(), occurring  # not moved to a device: nobody computes there
        self.weight = nn.Parameter(self._whole[occurring])
        rows = torch.zeros(len(self._whole), dtype=torch.long)
        rows[occurring] = torch.arange(len(occurring))
        self.register_buffer("_rows", rows, persistent=False)

    def forward(self, ids: Tensor) -> Tensor:
        return embedding(self._rows[ids], self.weight)

    def whole(self, weight: Tensor, *, decay: float) -> Tensor:
        """[vocabulary, hidden] on the CPU: the rows of `weight`; others are those of the beginning times `decay`."""
        whole = self._whole * decay
        whole[self._occurring] = weight
        return whole


def keep_occurring(encoder: PreTrainedModel, tables: Iterable[TokenTable]) -> OccurringWords:
    """Leaves the encoder with the word embeddings of those tables."""
    occurs = np.zeros(encoder.config.vocab_size, dtype=np.bool_)
    for table in tables:
        table.mark(occurs)
    embeddings: Any = encoder.embeddings
    occurring = torch.from_numpy(occurs.nonzero()[0])
    embeddings.word_embeddings = words = OccurringWords(embeddings.word_embeddings, occurring)
    return words
