"""Deep prefix tuning: vectors before the keys and values of every layer are trained, the encoder stays as it is.

Prompts of Tu et al. 2022 (arXiv 2210.12360), after P-tuning v2 (Liu et al. 2022): each token attends to the prefix of
its layer as to tokens that stand before its sequence, without positions and without reparameterization.
"""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from xstilts.training.batches import Rectangle

PREFIX_WEIGHTS = "prefix.safetensors"


class Prefix(nn.Module):
    """Keys and values of `length` prefix vectors for each layer."""

    def __init__(self, encoder: PreTrainedModel, length: int) -> None:
        """Drawn from torch's global generator, with the standard deviation of the encoder's own initialization."""
        super().__init__()
        config = encoder.config
        self.length = length
        self.weight = nn.Parameter(torch.empty(config.num_hidden_layers, 2, length, config.hidden_size))
        nn.init.normal_(self.weight, std=config.initializer_range)

    def layers(self) -> Iterator[Tensor]:
        """[2, length, hidden] for each layer."""
        yield from self.weight


def prepended(prefix: Tensor, key: Tensor, value: Tensor, rectangle: Rectangle) -> tuple[Tensor, Tensor, Tensor | None]:
    """Keys and values [rows, heads, length + width, size] of a rectangle, and its mask, widened by the prefix."""
    rows, heads, _, size = key.shape
    length = prefix.shape[1]
    before: Sequence[Tensor] = [
        part.view(length, heads, size).transpose(0, 1).expand(rows, -1, -1, -1).to(key.dtype) for part in prefix
    ]
    mask = rectangle.mask
    if mask is not None:
        mask = torch.cat((mask.new_ones(rows, 1, 1, length), mask), dim=3)
    return torch.cat((before[0], key), dim=2), torch.cat((before[1], value), dim=2), mask
