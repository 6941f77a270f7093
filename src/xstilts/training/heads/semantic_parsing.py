"""Semantic parsing: a parse is written token by token, and copies the utterance's words (see `training.decoder`).

A word's vector is the mean of the states of its tokens, as in XSemPLR's XLM-R + PTR. Copying is what makes zero-shot
parsing possible: leaves are words of the target language, which no vocabulary of English parses has.
"""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import pad
from torch.nn.utils.rnn import pad_sequence

from xstilts.tasks.examples import SemanticParse, spelled
from xstilts.training.attention import ALL, Places
from xstilts.training.batches import Batch, Feature
from xstilts.training.decoder import END, Memory, PointerDecoder
from xstilts.training.heads.base import UNKNOWN, Head, Lengths
from xstilts.training.heads.tagging import word_windows
from xstilts.training.tokenizer import Tokenizer


class ParseTarget(NamedTuple):
    words: Sequence[str]
    spans: Sequence[Sequence[tuple[int, int]]]
    """For each sequence the tokens [begin, end) of each of its words; in all, one span a word."""
    outputs: Sequence[int]
    """The decoder's outputs with END, or UNKNOWN for symbols that it cannot write."""


class SemanticParsingHead(Head):
    """A feature's target is a `ParseTarget`; on disk `{"words", "spans", "parse"}`."""

    def build(self, hidden_size: int, dropout: float) -> None:
        assert self.spec.parser
        symbols = self.spec.labels["parse"]
        self.numbers["parse"] = {symbol: number for number, symbol in enumerate(symbols, END + 1)}
        self.decoder = PointerDecoder(
            size=hidden_size, layers=self.spec.parser.decoder_layers, symbols=len(symbols) + 1, dropout=dropout
        )

    @classmethod
    def features(cls, tokenizer: Tokenizer, examples: Sequence[SemanticParse], lengths: Lengths) -> list[Feature]:
        sentences = tokenizer.words([example.words for example in examples])
        encoded = (word_windows(tokenizer, words, max_length=lengths.max_length) for words in sentences)
        return [
            Feature(
                windows.sequences,
                {
                    "words": example.words,
                    "spans": [
                        list(pairwise([*begins, len(sequence) - 1]))  # up to </s>
                        for sequence, begins in zip(windows.sequences, windows.positions, strict=True)
                    ],
                    "parse": example.parse,
                },
            )
            for example, windows in zip(examples, encoded, strict=True)
        ]

    def target(self, document: Mapping[str, Any]) -> ParseTarget:
        first_word = self.decoder.symbols + 1  # slot 0 is <s>
        numbers = self.numbers["parse"]
        outputs = [
            first_word + token if isinstance(token, int) else numbers.get(token, UNKNOWN) for token in document["parse"]
        ]
        return ParseTarget(document["words"], document["spans"], [*outputs, END])

    def places(self, batch: Batch) -> Places:
        return ALL

    def counts(self, features: Sequence[Feature]) -> tuple[int, ...]:
        return (sum(output != UNKNOWN for feature in features for output in feature.target.outputs),)

    def loss(self, states: Tensor, features: Sequence[Feature], counts: Sequence[int]) -> Tensor:
        """Cross-entropy with label smoothing over what each sentence's parse may consist of."""
        assert self.spec.parser
        smoothing = float(self.spec.parser.label_smoothing)
        memory = self._memory(states, features)
        outputs = pad_sequence(
            [torch.tensor(feature.target.outputs) for feature in features], batch_first=True, padding_value=UNKNOWN
        ).to(states.device)
        inputs = pad(outputs[:, :-1], (1, 0), value=END).clamp(min=END)
        scores = self.decoder(memory, inputs)
        known = outputs != UNKNOWN
        possible = scores.isfinite()
        right = scores.gather(2, outputs.clamp(min=END)[:, :, None])[:, :, 0]
        even = scores.masked_fill(~possible, 0.0).sum(dim=2) / possible.sum(dim=2)
        losses = -((1 - smoothing) * right + smoothing * even)
        total: Tensor = losses.masked_fill(~known, 0.0).sum() / max(1, counts[0])
        return total

    def answers(self, states: Tensor, features: Sequence[Feature]) -> list[str]:
        assert self.spec.parser
        memory = self._memory(states, features)
        found = self.decoder.beam_search(
            memory, beams=self.spec.parser.beam_size, most=self.spec.parser.max_parse_tokens
        )
        return [
            spelled(feature.target.words, [self._token(output) for output in outputs])
            for feature, outputs in zip(features, found, strict=True)
        ]

    def _token(self, output: int) -> str | int:
        """As in `SemanticParse.parse`."""
        first_word = self.decoder.symbols + 1
        return output - first_word if output >= first_word else self.spec.labels["parse"][output - 1]

    def _memory(self, states: Tensor, features: Sequence[Feature]) -> Memory:
        """The state of each sentence's first `<s>`, and the mean states of its words."""
        slots, tokens, owners, sizes, at = 0, list[int](), list[int](), list[int](), 0
        for feature in features:
            tokens.append(at)
            owners.append(slots)
            size = 1
            for sequence, spans in zip(feature.sequences, feature.target.spans, strict=True):
                for begin, end in spans:
                    tokens.extend(range(at + begin, at + end))
                    owners.extend([slots + size] * (end - begin))
                    size += 1
                at += len(sequence)
            sizes.append(size)
            slots += size
        places = torch.tensor(owners, device=states.device)
        sums = states.new_zeros(slots, states.shape[1]).index_add(0, places, states[torch.tensor(tokens)])
        means = sums / torch.bincount(places, minlength=slots)[:, None]
        vectors = pad_sequence(list(torch.split(means, sizes)), batch_first=True)
        lengths = torch.tensor(sizes, device=states.device)
        return self.decoder.memory_of(vectors, torch.arange(vectors.shape[1], device=states.device) < lengths[:, None])

    @classmethod
    def labels(cls, examples: Sequence[SemanticParse]) -> dict[str, set[str]]:
        return {"parse": {token for example in examples for token in example.parse if isinstance(token, str)}}
