"""The three ways of attention give the same numbers, with gradients and with dropout."""

from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import XLMRobertaConfig
from transformers.models.xlm_roberta.modeling_xlm_roberta import XLMRobertaSelfAttention

from xstilts.training.attention import ALL, Arrangement, _Attention, _by_torch, attention
from xstilts.training.batches import Batch, Feature, pack
from xstilts.training.dropout import LEVELS
from xstilts.training.tokenizer import tokens_of

HEADS, HIDDEN, P = 4, 32, 0.25
LENGTHS = (7, 40, 3, 39, 12, 12, 31, 1, 25)
"""Some alike, in no order."""
TOLERANCE = 1e-6


def batch_of(lengths: tuple[int, ...]) -> Batch:
    return pack([Feature((tokens_of(range(length)),), None) for length in lengths])


def module(p: float = P) -> Any:
    torch.manual_seed(0)
    config = XLMRobertaConfig(hidden_size=HIDDEN, num_attention_heads=HEADS, attention_probs_dropout_prob=p)
    made = XLMRobertaSelfAttention(config)
    for weight in made.parameters():
        torch.nn.init.normal_(weight, std=0.3)  # biases too
    return made


def states_of(batch: Batch, columns: int = HIDDEN) -> Tensor:
    return torch.randn(len(batch.ids), columns, generator=torch.Generator().manual_seed(1)).requires_grad_()


@pytest.mark.parametrize("lengths", [LENGTHS, (1,), (5, 5, 5), (64, 2)], ids=str)
def test_written_out_is_that_of_torch_with_the_same_tokens_dropped(lengths: tuple[int, ...]) -> None:
    made, batch = module(), batch_of(lengths)
    joined = states_of(batch, 3 * HIDDEN)
    gradient = torch.randn(HIDDEN, len(batch.ids)).T  # not contiguous
    torch.manual_seed(2)
    expected = _by_torch(made, joined, batch, None, P)
    (wanted,) = torch.autograd.grad(expected, joined, gradient)
    torch.manual_seed(2)  # four heads take whole words of random bits, so both draw the same
    found = _Attention.apply(joined, Arrangement(batch, HEADS), P, made.scaling)
    (got,) = torch.autograd.grad(found, joined, gradient)
    torch.testing.assert_close(found, expected, atol=TOLERANCE, rtol=TOLERANCE)
    torch.testing.assert_close(got, wanted, atol=TOLERANCE, rtol=TOLERANCE)


def test_of_starts_is_that_of_all_tokens() -> None:
    made, batch = module(p=0.0), batch_of(LENGTHS)
    states, starts = states_of(batch), torch.tensor(batch.starts)
    arranged = Arrangement(batch, HEADS)
    expected = attention(made, states, arranged, ALL, None)[starts]
    found = attention(made, states, arranged, starts, None)
    torch.testing.assert_close(found, expected, atol=TOLERANCE, rtol=TOLERANCE)
    leaves = [states, *made.parameters()]
    gradient = torch.randn_like(expected)
    wanted = torch.autograd.grad(expected, leaves, gradient)
    torch.testing.assert_close(torch.autograd.grad(found, leaves, gradient), wanted, atol=2e-5, rtol=TOLERANCE)


def test_of_starts_drops_a_value_with_its_bias() -> None:
    """Who attends to itself alone, which has weight 1, sees its own value, scaled, or nothing."""
    made, batch = module(), batch_of((1,) * 64)
    states, starts = states_of(batch), torch.tensor(batch.starts)
    found = attention(made, states, Arrangement(batch, HEADS), starts, None).view(-1, HEADS, HIDDEN // HEADS)
    values = made.value(states).view(found.shape) / (1 - round(P * LEVELS) / LEVELS)
    dropped = (found == 0).all(dim=2)
    assert 0 < dropped.sum() < dropped.numel()
    torch.testing.assert_close(found, values.masked_fill(dropped[..., None], 0), atol=TOLERANCE, rtol=TOLERANCE)


def test_equal_seeds_give_equal_bits() -> None:
    made, batch = module(), batch_of(LENGTHS)
    states = states_of(batch)
    for places in (ALL, torch.tensor(batch.starts)):
        runs = []
        for _ in range(2):
            torch.manual_seed(3)
            context = attention(made, states, Arrangement(batch, HEADS), places, None)
            runs.append([context, *torch.autograd.grad(context.square().sum(), [states, *made.parameters()])])
        assert all(torch.equal(a, b) for a, b in zip(*runs, strict=True))
