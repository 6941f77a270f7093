"""The forward pass of an encoder over sequences laid end to end, without padding.

It runs transformers' own modules of XLM-R and XLM-R XL, so weights, names and files stay theirs; only the way from one
module to the next is ours, since theirs wants a rectangle. All layers see a matrix [tokens, hidden]; attention alone
works on rectangles of sequences of like length. What nobody reads is not computed: later layers than the last one asked
for, the feed-forward part of the last layer for other tokens than those asked for, and the pooler.
"""

from functools import partial
from itertools import repeat
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.autograd.function import FunctionCtx
from torch.nn.functional import scaled_dot_product_attention
from transformers import PreTrainedModel
from transformers.activations import GELUActivation

from xstilts.training.batches import Batch
from xstilts.training.dropout import dropout
from xstilts.training.linear import linear, linear_gelu
from xstilts.training.prefix import Prefix, prepended

Places = Tensor | slice
"""Which tokens of a batch: their indices, a mask, or `ALL`."""
ALL = slice(None)
METHOD = "packed"


def token_states(
    encoder: PreTrainedModel,
    batch: Batch,
    *,
    places: Places = ALL,
    layers: int | None = None,
    prefix: Prefix | None = None,
) -> Tensor:
    """[places, hidden]: what the encoder says of those tokens after its last layer, or after as many as `layers`.

    Equal to transformers' `last_hidden_state`, or `hidden_states[layers]`, of each sequence alone; with a `prefix`, to
    that with the prefix given as `past_key_values`.
    """
    modules: Any = encoder  # whose parts transformers leaves untyped
    if isinstance(places, slice):
        places = slice(sum(batch.lengths))  # without idle tokens
    # XLM-R counts positions from the padding's id on.
    positions = batch.positions + (encoder.config.pad_token_id + 1)
    states: Tensor = modules.embeddings(input_ids=batch.ids[None], position_ids=positions[None])[0]
    stack = list(modules.encoder.layer[:layers])
    before = prefix.layers() if prefix else repeat(None)
    passes = [getattr(layer, METHOD, None) or partial(_layer, layer) for layer in stack]
    for run in passes[:-1]:
        states = run(states, batch, ALL, next(before))
    states = passes[-1](states, batch, places, next(before)) if passes else states[places]
    if len(stack) == len(modules.encoder.layer):
        states = _norm(modules.encoder, "LayerNorm")(states)
    return states


def give_method(encoder: PreTrainedModel) -> list[nn.Module]:
    """The layers, each with its forward pass as a method of its own, for those who must know when a layer runs."""
    layers: list[nn.Module] = list(cast(Any, encoder).encoder.layer)
    for layer in layers:
        object.__setattr__(layer, METHOD, partial(_layer, layer))
    return layers


def _layer(layer: Any, states: Tensor, batch: Batch, places: Places, prefix: Tensor | None) -> Tensor:
    """XLM-R normalizes after each half, inside of the two `output` modules; XLM-R XL before."""
    context = _attention(layer.attention.self, _norm(layer.attention, "self_attn_layer_norm")(states), batch, prefix)
    states = layer.attention.output(context[places], states[places])
    output: Tensor = layer.output(_intermediate(layer.intermediate, _norm(layer, "LayerNorm")(states)), states)
    return output


def _intermediate(module: Any, states: Tensor) -> Tensor:
    if isinstance(module.intermediate_act_fn, GELUActivation):
        return linear_gelu(states, module.dense)
    activated: Tensor = module(states)
    return activated


def _norm(module: nn.Module, name: str) -> nn.Module:
    norm: nn.Module = getattr(module, name, None) or nn.Identity()
    return norm


def _attention(module: Any, states: Tensor, batch: Batch, prefix: Tensor | None) -> Tensor:
    """[tokens, hidden]: each token attends to all tokens of its own sequence, and to the prefix [2, length, hidden]."""
    parts = (module.query, module.key, module.value)
    weight, bias = torch.cat([part.weight for part in parts]), torch.cat([part.bias for part in parts])
    cells: Tensor = _Spread.apply(linear(states, weight, bias), batch.tokens, batch.cells)
    contexts = []
    sizes = [rectangle.rows * rectangle.width for rectangle in batch.rectangles]
    for rectangle, part in zip(batch.rectangles, torch.split(cells, sizes), strict=True):
        query, key, value = part.view(
            rectangle.rows, rectangle.width, 3, module.num_attention_heads, module.attention_head_size
        ).permute(2, 0, 3, 1, 4)
        mask = rectangle.mask
        if prefix is not None:
            key, value, mask = prepended(prefix, key, value, rectangle)
        p = module.dropout.p if module.training else 0.0
        attend = _attend if p and query.device.type == "cpu" else scaled_dot_product_attention
        context = attend(query, key, value, attn_mask=mask, dropout_p=p, scale=module.scaling)
        contexts.append(context.transpose(1, 2).reshape(rectangle.rows * rectangle.width, -1))
    collected: Tensor = _Collect.apply(torch.cat(contexts), batch.cells)
    return collected


def _attend(
    query: Tensor, key: Tensor, value: Tensor, *, attn_mask: Tensor | None, dropout_p: float, scale: float
) -> Tensor:
    """Like torch's, which is slow on the CPU where there is dropout. Every row has a token, so no softmax is empty."""
    scores = (query * scale) @ key.transpose(2, 3)
    if attn_mask is not None:
        scores = scores.masked_fill(~attn_mask, -torch.inf)
    return dropout(torch.softmax(scores, dim=3), dropout_p) @ value


class _Spread(torch.autograd.Function):
    """Tokens to cells. Each token has one cell, so its gradient is a copy, where torch would sum, which is slow."""

    @staticmethod
    def forward(ctx: FunctionCtx, states: Tensor, tokens: Tensor, cells: Tensor) -> Tensor:
        ctx.save_for_backward(cells)
        return states.index_select(0, tokens)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        (cells,) = ctx.saved_tensors
        return gradient.index_select(0, cells), None, None


class _Collect(torch.autograd.Function):
    """Cells to tokens; cells without a token get no gradient."""

    @staticmethod
    def forward(ctx: Any, states: Tensor, cells: Tensor) -> Tensor:
        ctx.save_for_backward(cells)
        ctx.shape = states.shape
        return states.index_select(0, cells)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        (cells,) = ctx.saved_tensors
        return gradient.new_zeros(ctx.shape).index_copy_(0, cells, gradient), None
