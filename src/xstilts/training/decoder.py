"""A small transformer decoder that writes symbols and copies words, with beam search.

The output distribution is one softmax over the symbols and the sentence's words: a word's score is the product of the
decoder's state with the word's vector over the root of their size (Rongali et al. 2020; XSemPLR's XLM-R + PTR). Layers
normalize before each part, which trains without a long warm-up. A sentence's memory has a vector for `<s>` in slot 0,
then one for each word.

Beam search has a cache of keys and values that is never put in another order: all beams of a sentence share one, and a
mask says for each beam which entries are its own past. Keys and values of the words are made once a sentence.
"""

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention

from xstilts.training.linear import linear_gelu, replace_linear

END = 0
"""The symbol that ends an output, and begins the input."""
HEAD_SIZE = 64
"""As in XLM-R."""


class Memory(NamedTuple):
    """What the decoder may look at of some sentences."""

    slots: Tensor
    """[sentences, slots, size]: `<s>` and words, in the decoder's space; anything after a sentence's last word."""
    there: Tensor
    """[sentences, slots]: True where a sentence has that slot."""


class PointerDecoder(nn.Module):
    """Outputs are numbers: 0 ends, others below `symbols` are symbols, and `symbols + slot` copies that slot's word."""

    def __init__(self, *, size: int, layers: int, symbols: int, dropout: float) -> None:
        """`symbols` counts the end too."""
        super().__init__()
        self.size, self.symbols = size, symbols
        self.memory = nn.Linear(size, size)
        self.memory_norm = nn.LayerNorm(size)
        self.embeddings = nn.Embedding(symbols, size)
        self.copied = nn.Linear(size, size)
        self.layers = nn.ModuleList(_Layer(size, dropout) for _ in range(layers))
        self.norm = nn.LayerNorm(size)
        self.generator = nn.Linear(size, symbols)
        self.dropout = nn.Dropout(dropout)
        replace_linear(self, recurs=True)

    def memory_of(self, vectors: Tensor, there: Tensor) -> Memory:
        """From the encoder's vectors [sentences, slots, size], with `there` as in `Memory`."""
        return Memory(self.memory_norm(self.memory(vectors)), there)

    def forward(self, memory: Memory, inputs: Tensor) -> Tensor:
        """[sentences, tokens, symbols + slots]: log-probabilities of what follows each of `inputs` [sentences, tokens].

        Inputs are outputs, shifted by one behind END. What a sentence has not is minus infinity.
        """
        length = inputs.shape[1]
        states = self._embedded(memory, inputs, torch.arange(length, device=inputs.device))
        causal = torch.ones(length, length, dtype=torch.bool, device=inputs.device).tril()
        for layer in self.layers:
            assert isinstance(layer, _Layer)
            query, key, value = layer.own(states)
            states = layer(states, query, key, value, causal, layer.words(memory), memory.there)
        return self._scored(memory, states)

    def beam_search(self, memory: Memory, *, beams: int, most: int, least: int = 0) -> list[list[int]]:
        """For each sentence the outputs, without END, of the highest mean log-probability that the search meets.

        An output has at most `most` tokens and at least `least`, END not counted. A sentence's outputs do not depend on
        what else is in the batch, but for rounding.
        """
        search = _Search(self, memory, beams=beams, most=most + 1)
        while not search.is_over:
            search.step(may_end=search.length >= least)
        return search.best()

    def _embedded(self, memory: Memory, inputs: Tensor, places: Tensor) -> Tensor:
        """[sentences, n, size] of inputs [sentences, n] at the places [n] of the output."""
        slots = (inputs - self.symbols).clamp(min=0)[..., None].expand(-1, -1, self.size)
        words = self.copied(memory.slots.gather(1, slots))
        own = self.embeddings(inputs.clamp(max=self.symbols - 1))
        chosen = torch.where((inputs >= self.symbols)[..., None], words, own)
        embedded: Tensor = self.dropout(chosen * math.sqrt(self.size) + sinusoids(places, self.size))
        return embedded

    def _scored(self, memory: Memory, states: Tensor) -> Tensor:
        states = self.norm(states)
        copies = (states @ memory.slots.transpose(1, 2) / math.sqrt(self.size)).float()
        absent = ~memory.there
        absent[:, 0] = True  # <s> is looked at and never copied
        scores = torch.cat([self.generator(states).float(), copies.masked_fill(absent[:, None], -torch.inf)], dim=2)
        return scores.log_softmax(dim=2)


class _Layer(nn.Module):
    """Attention to what was written, attention to the memory, and a feed-forward part."""

    def __init__(self, size: int, dropout: float) -> None:
        super().__init__()
        self.heads = max(1, size // HEAD_SIZE)
        self.own_norm, self.words_norm, self.feed_norm = (nn.LayerNorm(size) for _ in range(3))
        self.own_parts, self.own_output = nn.Linear(size, 3 * size), nn.Linear(size, size)
        self.words_query, self.words_parts = nn.Linear(size, size), nn.Linear(size, 2 * size)
        self.words_output = nn.Linear(size, size)
        self.widened, self.narrowed = nn.Linear(size, 4 * size), nn.Linear(4 * size, size)
        self.dropout = nn.Dropout(dropout)

    def own(self, states: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Queries, keys and values [sentences, heads, n, size / heads] of states [sentences, n, size]."""
        query, key, value = self._split(self.own_parts(self.own_norm(states)), 3)
        return query, key, value

    def words(self, memory: Memory) -> tuple[Tensor, Tensor]:
        """Keys and values [sentences, heads, slots, size / heads]."""
        key, value = self._split(self.words_parts(memory.slots), 2)
        return key, value

    def forward(
        self,
        states: Tensor,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        seen: Tensor,
        words: tuple[Tensor, Tensor],
        there: Tensor,
    ) -> Tensor:
        """`seen` broadcasts to [sentences, heads, n, keys]: what each query may attend to of what was written."""
        context = scaled_dot_product_attention(query, key, value, attn_mask=seen)
        states = states + self.dropout(self.own_output(_joined(context)))
        (query,) = self._split(self.words_query(self.words_norm(states)), 1)
        context = scaled_dot_product_attention(query, *words, attn_mask=there[:, None, None])
        states = states + self.dropout(self.words_output(_joined(context)))
        widened = linear_gelu(self.feed_norm(states), self.widened)
        result: Tensor = states + self.dropout(self.narrowed(widened))
        return result

    def _split(self, joined: Tensor, parts: int) -> tuple[Tensor, ...]:
        sentences, length, size = joined.shape
        split = joined.view(sentences, length, parts, self.heads, size // parts // self.heads)
        return split.permute(2, 0, 3, 1, 4).unbind(0)


def _joined(context: Tensor) -> Tensor:
    """[sentences, heads, n, size / heads] to [sentences, n, size]."""
    return context.transpose(1, 2).flatten(2)


def sinusoids(places: Tensor, size: int) -> Tensor:
    """[n, size]: sines, then cosines, of places [n] (Vaswani et al. 2017, section 3.5)."""
    half = torch.arange((size + 1) // 2, device=places.device)
    angles = places[:, None] * torch.exp(half * (-math.log(10_000) / half.numel()))
    return torch.cat([angles.sin(), angles.cos()], dim=1)[:, :size]


class _Search:
    """Beams of all sentences of a batch, a token further with each step.

    A beam that has ended stays as it is, so its score competes with those of longer ones; of all beams that are there
    at the end the best has the highest mean log-probability, END counted.
    """

    def __init__(self, decoder: PointerDecoder, memory: Memory, *, beams: int, most: int) -> None:
        sentences, device = len(memory.slots), memory.slots.device
        self.decoder, self.memory, self.beams, self.most = decoder, memory, beams, most
        self.words = [layer.words(memory) for layer in self._layers]
        shape = (2, sentences, self._layers[0].heads, most * beams, decoder.size // self._layers[0].heads)
        self.cache = [memory.slots.new_empty(shape) for _ in self._layers]
        self.seen = torch.zeros(sentences, beams, most * beams, dtype=torch.bool, device=device)
        self.tokens = torch.full((sentences, beams, most), END, device=device)
        self.scores = torch.full((sentences, beams), -torch.inf, device=device)
        self.scores[:, 0] = 0.0  # all beams begin alike, so only one of them may go on
        self.lengths = torch.zeros(sentences, beams, dtype=torch.int64, device=device)
        self.ended = torch.zeros(sentences, beams, dtype=torch.bool, device=device)
        self.length = 0

    @property
    def _layers(self) -> "list[_Layer]":
        return [layer for layer in self.decoder.layers if isinstance(layer, _Layer)]

    @property
    def is_over(self) -> bool:
        return self.length == self.most or bool(self.ended.all()) or not len(self.scores)

    def step(self, *, may_end: bool) -> None:
        scores = self._next()
        if not may_end:
            scores[:, :, END] = -torch.inf
        if self.length + 1 == self.most:  # the last token can only be the end
            scores[:, :, END + 1 :] = -torch.inf
        scores[self.ended] = -torch.inf
        scores[:, :, END].masked_fill_(self.ended, 0.0)
        outputs = scores.shape[2]
        self.scores, best = (self.scores[:, :, None] + scores).flatten(1).topk(self.beams, dim=1)
        parents, tokens = best // outputs, best % outputs
        self._follow(parents, tokens)

    def _next(self) -> Tensor:
        """[sentences, beams, outputs]: log-probabilities of what follows each beam."""
        now = slice(self.length * self.beams, (self.length + 1) * self.beams)
        self.seen[:, :, now] = torch.eye(self.beams, dtype=torch.bool, device=self.seen.device)
        seen = self.seen[:, None, :, : now.stop]
        before = self.tokens[:, :, self.length - 1] if self.length else torch.full_like(self.lengths, END)
        states = self.decoder._embedded(self.memory, before, torch.tensor([self.length], device=before.device))
        for layer, words, cache in zip(self._layers, self.words, self.cache, strict=True):
            query, cache[0, :, :, now], cache[1, :, :, now] = layer.own(states)
            key, value = cache[:, :, :, : now.stop]
            states = layer(states, query, key, value, seen, words, self.memory.there)
        return self.decoder._scored(self.memory, states)

    def _follow(self, parents: Tensor, tokens: Tensor) -> None:
        """Each beam goes on from its parent with its token."""
        for state in (self.tokens, self.seen):
            known = state[:, :, : self.length if state is self.tokens else (self.length + 1) * self.beams]
            known.copy_(known.gather(1, parents[:, :, None].expand(-1, -1, known.shape[2])))
        self.tokens[:, :, self.length] = tokens
        self.ended, self.lengths = self.ended.gather(1, parents), self.lengths.gather(1, parents)
        self.lengths += ~self.ended
        self.ended = self.ended | (tokens == END)
        self.length += 1

    def best(self) -> list[list[int]]:
        chosen = (self.scores / self.lengths.clamp(min=1)).argmax(dim=1, keepdim=True) if len(self.scores) else None
        if chosen is None:
            return []
        rows = self.tokens.gather(1, chosen[:, :, None].expand(-1, -1, self.most))[:, 0].tolist()
        lengths = self.lengths.gather(1, chosen)[:, 0].tolist()
        return [[token for token in row[:length] if token != END] for row, length in zip(rows, lengths, strict=True)]
