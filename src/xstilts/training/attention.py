"""Attention of sequences laid end to end: each token attends to all tokens of its own sequence.

Sequences of like length stand side by side in rectangles (see `batches`). There are three ways to the same numbers: one
for tokens of which there is one a sequence, one with gradients written out, for training on the CPU, and torch's own.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import FunctionCtx
from torch.nn.functional import scaled_dot_product_attention

from xstilts.training.batches import Batch
from xstilts.training.dropout import dropout, kept
from xstilts.training.linear import linear
from xstilts.training.prefix import prepended

Places = Tensor | slice
"""Which tokens of a batch: their indices, a mask, or `ALL`."""
ALL = slice(None)


class _Block(NamedTuple):
    """The part that a rectangle has of three tensors: its queries, keys and values, contexts, and pairs of tokens."""

    rows: int
    """Those of the rectangle times heads."""
    width: int
    bias: Tensor | None
    """[rows, 1, width]: minus infinity where a cell holds no token; None where all do."""
    vectors: int
    """Where its contexts begin."""
    pairs: int

    def parts(self, values: Tensor) -> Tensor:
        """[3, rows, width, size]."""
        return values.narrow(0, 3 * self.vectors, 3 * self.rows * self.width).view(3, self.rows, self.width, -1)

    def contexts(self, values: Tensor) -> Tensor:
        """[rows, width, size]."""
        return values.narrow(0, self.vectors, self.rows * self.width).view(self.rows, self.width, -1)

    def weights(self, values: Tensor) -> Tensor:
        """[rows, width, width]."""
        return values.narrow(0, self.pairs, self.rows * self.width**2).view(self.rows, self.width, -1)


@dataclass(frozen=True)
class Arrangement:
    """A batch, and how the vectors of its heads are arranged for attention: the same in all layers."""

    batch: Batch
    heads: int

    @cached_property
    def blocks(self) -> list[_Block]:
        found, vectors, pairs = [], 0, 0
        for rectangle in self.batch.rectangles:
            rows, width, mask, bias = rectangle.rows * self.heads, rectangle.width, rectangle.mask, None
            if mask is not None:
                bias = torch.zeros(mask.shape).masked_fill_(~mask, -torch.inf)
                bias = bias.expand(-1, self.heads, -1, -1).reshape(rows, 1, width)
            found.append(_Block(rows, width, bias, vectors, pairs))
            vectors, pairs = vectors + rows * width, pairs + rows * width**2
        return found

    @property
    def pairs(self) -> int:
        """How many pairs of tokens attend, padding counted."""
        return self.blocks[-1].pairs + self.blocks[-1].rows * self.blocks[-1].width ** 2

    @cached_property
    def spread(self) -> Tensor:
        """Of each vector as the blocks have it, the row of [tokens * 3 * heads, size] that it comes from."""
        part, head = torch.arange(3)[:, None, None, None], torch.arange(self.heads)[:, None]
        rows = [((tokens[:, None] * 3 + part) * self.heads + head).flatten() for tokens in self._tokens()]
        return torch.cat(rows)

    @cached_property
    def back(self) -> Tensor:
        """The reverse, for [tokens * 3 * heads]."""
        return self._back(3)

    @cached_property
    def collect(self) -> Tensor:
        """Of each vector of [tokens * heads, size], the context that it is."""
        return self._back(1)

    def _tokens(self) -> Iterator[Tensor]:
        """[rows, width] of each rectangle."""
        sizes = [(rectangle.rows, rectangle.width) for rectangle in self.batch.rectangles]
        groups = torch.split(self.batch.tokens, [rows * width for rows, width in sizes])
        return (tokens.view(size) for tokens, size in zip(groups, sizes, strict=True))

    def _back(self, parts: int) -> Tensor:
        vectors = torch.arange(len(self.batch.tokens) * parts * self.heads)
        groups = torch.split(vectors, [block.rows * block.width * parts for block in self.blocks])
        cells = [
            group.view(parts, -1, self.heads, block.width).permute(1, 3, 0, 2).reshape(-1, parts * self.heads)
            for group, block in zip(groups, self.blocks, strict=True)
        ]
        return torch.cat(cells)[self.batch.cells].flatten()


def attention(module: Any, states: Tensor, arranged: Arrangement, places: Places, prefix: Tensor | None) -> Tensor:
    """[places, hidden]: what those tokens see of all tokens of their sequences, and of a prefix [2, length, hidden].

    `module` is transformers' `XLMRobertaSelfAttention`.
    """
    batch = arranged.batch
    p = module.dropout.p if module.training else 0.0
    own = prefix is None and states.device.type == "cpu"
    if own and isinstance(places, Tensor) and places.tolist() == batch.starts:
        return _of_starts(module, states, batch, places, p)
    parts = (module.query, module.key, module.value)
    weight, bias = torch.cat([part.weight for part in parts]), torch.cat([part.bias for part in parts])
    joined = linear(states, weight, bias)
    if own and p and joined.dtype == torch.float32:
        context: Tensor = _Attention.apply(joined, arranged, p, module.scaling)
    else:
        context = _by_torch(module, joined, batch, prefix, p)
    return context[places]


def _of_starts(module: Any, states: Tensor, batch: Batch, starts: Tensor, p: float) -> Tensor:
    """With one query a sequence no token needs a key or a value.

    Not the tokens, but the query goes through the weights of keys: q (W x + b) = (q W) x + q b. And not the tokens, but
    their mean goes through those of values.
    """
    heads, size, hidden = module.num_attention_heads, module.attention_head_size, states.shape[1]
    order = batch.cells[starts].argsort()  # as the rectangles have the sequences
    query = module.query(states[starts[order]]).view(-1, heads, size) * module.scaling
    asked = torch.einsum("shd,hdk->shk", query, module.key.weight.view(heads, size, hidden))
    constant = (query * module.key.bias.view(heads, size)).sum(dim=2, keepdim=True)
    means, totals = _means(asked, constant, states, batch, p)
    values = torch.einsum("shk,hdk->shd", means, module.value.weight.view(heads, size, hidden))
    context: Tensor = values + totals * module.value.bias.view(heads, size)
    return context.flatten(1)[order.argsort()]


def _means(asked: Tensor, constant: Tensor, states: Tensor, batch: Batch, p: float) -> tuple[Tensor, Tensor]:
    """[sequences, heads, hidden]: of the tokens that each head attends to, in the order of the rectangles; and the sums
    [sequences, heads, 1] of their weights, which dropout changes."""
    cells: Tensor = _Spread.apply(states, batch.tokens, batch.cells)
    groups = torch.split(cells, [rectangle.rows * rectangle.width for rectangle in batch.rectangles])
    means, totals, begin = [], [], 0
    for rectangle, group in zip(batch.rectangles, groups, strict=True):
        own, begin = slice(begin, begin + rectangle.rows), begin + rectangle.rows
        seen = group.view(rectangle.rows, rectangle.width, -1)
        scores = torch.baddbmm(constant[own], asked[own], seen.mT)
        if rectangle.mask is not None:
            scores = scores.masked_fill(~rectangle.mask[:, 0], -torch.inf)
        weights = torch.softmax(scores, dim=2)
        if p:
            weights = dropout(weights, p)
        means.append(weights @ seen)
        totals.append(weights.sum(dim=2, keepdim=True))
    return torch.cat(means), torch.cat(totals)


class _Attention(torch.autograd.Function):
    """Queries, keys and values [tokens, 3 * hidden] to contexts [tokens, hidden], in float32 on the CPU, with dropout.

    Written out, since torch's own takes as long for copies and gradients of views as for the products. Heads are told
    apart where tokens become cells, so that each product finds its operands as it wants them.
    """

    @staticmethod
    def forward(ctx: Any, joined: Tensor, arranged: Arrangement, p: float, scale: float) -> Tensor:
        size = joined.shape[1] // 3 // arranged.heads
        vectors = joined.view(-1, size).index_select(0, arranged.spread)
        weights = vectors.new_empty(arranged.pairs)
        for block in arranged.blocks:
            query, key, _ = block.parts(vectors)
            out = block.weights(weights)
            if block.bias is None:
                scores = torch.baddbmm(out, query, key.mT, beta=0, alpha=scale)  # beta 0: `out` is not read
            else:
                scores = torch.baddbmm(block.bias, query, key.mT, alpha=scale)
            torch.softmax(scores, dim=2, out=out)
        keep = kept(weights.shape, p)
        dropped, contexts = weights * keep, vectors.new_empty(len(vectors) // 3, size)
        for block in arranged.blocks:
            torch.bmm(block.weights(dropped), block.parts(vectors)[2], out=block.contexts(contexts))
        ctx.save_for_backward(vectors, weights, keep)
        ctx.arranged, ctx.scale = arranged, scale
        return contexts.index_select(0, arranged.collect).view(len(joined), -1)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None, None]:
        vectors, weights, keep = ctx.saved_tensors
        arranged, size = ctx.arranged, vectors.shape[1]
        # Cells without a token get no gradient.
        contexts = vectors.new_zeros(len(vectors) // 3, size)
        contexts.index_copy_(0, arranged.collect, gradient.reshape(-1, size))
        found, scores, dropped = torch.empty_like(vectors), torch.empty_like(weights), weights * keep
        for block in arranged.blocks:
            given = block.contexts(contexts)
            torch.bmm(given, block.parts(vectors)[2].mT, out=block.weights(scores))
            torch.bmm(block.weights(dropped).mT, given, out=block.parts(found)[2])
        scores.mul_(keep).mul_(ctx.scale)
        for block in arranged.blocks:
            query, key, _ = block.parts(vectors)
            after, before = block.weights(weights), block.weights(scores)
            before = torch._softmax_backward_data(before, after, 2, after.dtype)
            torch.bmm(before, key, out=block.parts(found)[0])
            torch.bmm(before.mT, query, out=block.parts(found)[1])
        return found.index_select(0, arranged.back).view(len(gradient), -1), None, None, None


def _by_torch(module: Any, joined: Tensor, batch: Batch, prefix: Tensor | None, p: float) -> Tensor:
    """[tokens, hidden] of queries, keys and values [tokens, 3 * hidden]."""
    cells: Tensor = _Spread.apply(joined, batch.tokens, batch.cells)
    contexts = []
    sizes = [rectangle.rows * rectangle.width for rectangle in batch.rectangles]
    for rectangle, part in zip(batch.rectangles, torch.split(cells, sizes), strict=True):
        query, key, value = part.view(
            rectangle.rows, rectangle.width, 3, module.num_attention_heads, module.attention_head_size
        ).permute(2, 0, 3, 1, 4)
        mask = rectangle.mask
        if prefix is not None:
            key, value, mask = prepended(prefix, key, value, rectangle)
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
