"""Dropout on the CPU from 16 random bits an element: a third of the time that torch's own takes there.

The share of elements that are dropped is the wanted one rounded to 1/65536, and what is kept is scaled by exactly that
share, so that means stay as they are. Accelerators keep torch's.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import dropout as torch_dropout

LEVELS = 1 << 16


class Dropout(nn.Module):
    """Takes the place of `nn.Dropout`."""

    def __init__(self, p: float) -> None:
        super().__init__()
        self.p = p

    def forward(self, values: Tensor) -> Tensor:
        return dropout(values, self.p) if self.training and self.p else values


def dropout(values: Tensor, p: float) -> Tensor:
    """The values with a share `p` of them 0, chosen by torch's global generator of their device, the others scaled."""
    if values.device.type != "cpu":
        return torch_dropout(values, p)
    return values * kept(values.shape, p, dtype=values.dtype)


def kept(shape: Sequence[int], p: float, *, dtype: torch.dtype = torch.float32) -> Tensor:
    """On the CPU, what dropout multiplies by: 0 for a share `p` of the elements, else what keeps the mean."""
    dropped, size = round(p * LEVELS), math.prod(shape)
    words = torch.empty((size + 3) // 4, dtype=torch.int64).random_(-(1 << 63), None)
    bits = words.view(torch.int16)[:size].view(shape)
    return (bits >= dropped - LEVELS // 2).to(dtype).mul_(LEVELS / (LEVELS - dropped))


def replace_dropout(model: nn.Module) -> None:
    """Puts ours in the place of every `nn.Dropout`."""
    for module in list(model.modules()):
        for name, child in module.named_children():
            if isinstance(child, nn.Dropout):
                setattr(module, name, Dropout(child.p))
