"""Dropout from random bits: the right share is dropped, what is kept keeps the mean, gradients follow."""

import math

import pytest
import torch
from torch import nn

from xstilts.training.dropout import Dropout, dropout, replace_dropout

ELEMENTS = 400_000


@pytest.mark.parametrize("p", [0.1, 0.25, 0.5])
def test_a_share_is_dropped_and_the_rest_scaled(p: float) -> None:
    torch.manual_seed(0)
    found = dropout(torch.ones(4, ELEMENTS // 4), p)
    dropped = int((found == 0).sum())
    assert abs(dropped - p * ELEMENTS) <= 5 * math.sqrt(ELEMENTS * p * (1 - p))
    assert found[found != 0].unique().tolist() == pytest.approx([1 / (1 - p)], rel=1e-4)


def test_gradients_are_those_of_what_was_kept() -> None:
    torch.manual_seed(0)
    values = torch.ones(1001, requires_grad=True)  # no multiple of four
    found = dropout(values, 0.3)
    found.sum().backward()
    assert values.grad is not None
    assert torch.equal(values.grad, found.detach())


def test_the_generator_is_torchs_own() -> None:
    values, drawn = torch.ones(100), []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        drawn.append(dropout(values, 0.5))
    assert torch.equal(drawn[0], drawn[1])
    assert not torch.equal(drawn[0], drawn[2])


def test_nothing_is_dropped_in_evaluation() -> None:
    model = nn.Sequential(nn.Linear(3, 3), nn.Dropout(0.9))
    replace_dropout(model)
    assert isinstance(model[1], Dropout)
    inside = torch.ones(2, 3)
    assert not torch.equal(model.train()(inside), model[0](inside))
    assert torch.equal(model.eval()(inside), model[0](inside))
