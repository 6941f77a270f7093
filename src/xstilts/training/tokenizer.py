"""From text to token ids and back to characters: XLM-R's fast tokenizer, read from `tokenizer.json`.

The file is run by the `tokenizers` library itself, so what was published is what is used (transformers 5 rebuilds
tokenizers from parts of the file and loses normalizers on the way). Nothing here pads or truncates silently.
"""

from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, Self

from tokenizers import Encoding
from tokenizers import Tokenizer as Backend

from xstilts.core.encoders import SPECIAL_TOKENS, TOKENIZER
from xstilts.core.errors import UserError

TOKENIZER_FILES = (
    TOKENIZER,
    "tokenizer_config.json",
    "special_tokens_map.json",
    "sentencepiece.bpe.model",
)
"""What travels with an encoder; only the first is read here."""

SPACE = "▁"
CHUNK = 1024


def tokens_of(ids: Sequence[int]) -> "array[int]":
    """Numbers at four bytes each; lists of them take nine times as much."""
    return array("i", ids)


class SpannedText(NamedTuple):
    """Tokens of a text without special tokens; token i is `text[starts[i]:ends[i]]`, in code points."""

    tokens: "array[int]"
    starts: "array[int]"
    ends: "array[int]"


@dataclass(frozen=True, kw_only=True, slots=True)
class Tokenizer:
    """XLM-R's pieces and special tokens: `<s> A </s>` for a text, `<s> A </s> </s> B </s>` for a pair."""

    backend: Backend
    start: int
    pad: int
    end: int
    unknown: int

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Raises UserError where the folder has no `tokenizer.json`, or one without XLM-R's special tokens."""
        file = folder / TOKENIZER
        if not file.is_file():
            raise UserError(f"{folder} has no {TOKENIZER}; save the encoder's fast tokenizer into that folder")
        try:
            backend = Backend.from_file(str(file))
        except Exception as error:  # the library raises nothing more telling
            raise UserError(f"{file} cannot be read: {error}; save the encoder's fast tokenizer again") from error
        backend.no_truncation()
        backend.no_padding()
        ids = backend.get_vocab()
        if missing := [token for token in SPECIAL_TOKENS if token not in ids]:
            raise UserError(f"{file} lacks {', '.join(missing)}; only tokenizers of the XLM-R family are supported")
        return cls(backend=backend, start=ids["<s>"], pad=ids["<pad>"], end=ids["</s>"], unknown=ids["<unk>"])

    @property
    def size(self) -> int:
        """Highest token id plus one."""
        return max(self.backend.get_vocab().values()) + 1

    def texts(self, texts: Sequence[str]) -> list["array[int]"]:
        """Tokens of each text, without special tokens."""
        return [tokens_of(encoding.ids) for encoding in self._encodings(texts)]

    def spans(self, texts: Sequence[str]) -> list[SpannedText]:
        """Tokens of each text, without special tokens, and the characters that each stands for."""
        return [_spanned(text, encoding) for text, encoding in zip(texts, self._encodings(texts), strict=True)]

    def words(self, sentences: Sequence[Sequence[str]]) -> list[list["array[int]"]]:
        """Tokens of each word of each sentence, at least one a word.

        A word of which normalization leaves nothing (a lone zero-width space, say) is `<unk>`, as in XTREME's
        `utils_tag.py`, so that it gets a tag like any other.
        """
        encodings = self._encodings(sentences, is_pretokenized=True)
        return [self._by_word(len(words), e) for words, e in zip(sentences, encodings, strict=True)]

    def _encodings(self, inputs: Sequence[Any], **options: bool) -> Iterator[Encoding]:
        """In chunks, since an `Encoding` takes many times the memory of its ids."""
        for begin in range(0, len(inputs), CHUNK):
            chunk = list(inputs[begin : begin + CHUNK])
            yield from self.backend.encode_batch(chunk, add_special_tokens=False, **options)

    def _by_word(self, number: int, encoding: Encoding) -> list["array[int]"]:
        pieces = [tokens_of(()) for _ in range(number)]
        for token, word in zip(encoding.ids, encoding.word_ids, strict=True):
            if word is not None:
                pieces[word].append(token)
        return [piece or tokens_of((self.unknown,)) for piece in pieces]

    def single(self, tokens: "array[int]") -> "array[int]":
        """`<s> tokens </s>`: two tokens longer."""
        return tokens_of([self.start, *tokens, self.end])

    def pair(self, first: "array[int]", second: "array[int]", *, max_length: int) -> "array[int]":
        """`<s> first </s> </s> second </s>` in at most `max_length` tokens; an empty `second` is left out."""
        if not second:
            return self.single(first[: max_length - 2])
        kept, rest = shares(len(first), len(second), max_length - 4)
        return self.joined(first[:kept], second[:rest])

    def joined(self, first: "array[int]", second: "array[int]") -> "array[int]":
        """`<s> first </s> </s> second </s>`: four tokens longer."""
        return tokens_of([self.start, *first, self.end, self.end, *second, self.end])


def shares(first: int, second: int, room: int) -> tuple[int, int]:
    """How many tokens of two parts fit into `room` when the longer part loses its tail first."""
    kept = min(first, max(room - second, (room + 1) // 2))
    return kept, min(second, room - kept)


def _spanned(text: str, encoding: Encoding) -> SpannedText:
    """Characters of each token; a mere word boundary stands for none, and no span begins with a space.

    Normalization leaves characters without a token: of a composed letter the accents (huggingface/tokenizers#1201), and
    U+200C at the end of a word. They belong to the token before, as far as no space comes between.
    """
    starts, ends = tokens_of(()), tokens_of(())
    for piece, (start, end) in zip(encoding.tokens, encoding.offsets, strict=True):
        while start < end and text[start].isspace():
            start += 1  # noqa: PLW2901
        starts.append(start)
        ends.append(start if piece == SPACE else end)
    following = len(text)
    for token in reversed(range(len(starts))):
        if starts[token] < ends[token]:
            while ends[token] < following and not text[ends[token]].isspace():
                ends[token] += 1
            following = starts[token]
    return SpannedText(tokens_of(encoding.ids), starts, ends)
