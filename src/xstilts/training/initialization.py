"""A small encoder with random weights and its own vocabulary, for tests, demonstrations and pretraining from nothing.

It has XLM-R's architecture, special tokens and file format, so that everything else treats it like the published one.
"""

import json
import logging
import math
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path

import torch
from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import XLMRobertaConfig, XLMRobertaModel

from xstilts.core.encoders import SPECIAL_TOKENS
from xstilts.core.errors import UserError
from xstilts.training.encoders import save_encoder
from xstilts.training.folders import replacing

MASK, UNKNOWN = "<mask>", "<unk>"
"""`<mask>` is the last id."""
MAX_PIECE_LENGTH = 16

logger = logging.getLogger(__name__)


def init_model(
    texts: Iterable[str],
    out: Path,
    *,
    vocab_size: int = 2000,
    hidden_size: int = 64,
    layers: int = 2,
    heads: int = 2,
    intermediate_size: int = 128,
    max_length: int = 256,
    seed: int = 0,
) -> None:
    """Writes the folder `out`: equal texts and seed give equal bytes.

    Where the texts are too few for `vocab_size` tokens, the vocabulary is smaller and a warning is logged. Raises
    UserError without any text.
    """
    pieces = _pieces(list(texts), vocab_size)
    if len(pieces) < vocab_size:
        logger.warning(
            "the texts yield a vocabulary of %d tokens, fewer than the %d asked for", len(pieces), vocab_size
        )
    config = XLMRobertaConfig(
        vocab_size=len(pieces),
        hidden_size=hidden_size,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        intermediate_size=intermediate_size,
        max_position_embeddings=max_length + 2,  # XLM-R counts positions from pad_token_id + 1
        type_vocab_size=1,
        layer_norm_eps=1e-5,
        bos_token_id=0,
        pad_token_id=1,
        eos_token_id=2,
    )
    with torch.random.fork_rng(devices=[]), replacing(out) as folder:
        torch.manual_seed(seed)
        _save_tokenizer(pieces, folder, max_length)
        save_encoder(XLMRobertaModel(config), folder, tokenizer_from=folder / "none")


def _pieces(texts: list[str], vocab_size: int) -> list[tuple[str, float]]:
    """Pieces with their log-probabilities, in the order of their ids.

    The trainer chooses the same pieces each time but sums in no fixed order, so scores are counted again: how often a
    piece occurs inside of words, as a share of all pieces.
    """
    backend = _backend(models.Unigram())
    if not any(_words(backend, texts)):
        raise UserError("a vocabulary needs texts, and there are none")
    trainer = trainers.UnigramTrainer(
        vocab_size=vocab_size - 1,  # <mask> comes last
        special_tokens=list(SPECIAL_TOKENS),
        unk_token=UNKNOWN,
        max_piece_length=MAX_PIECE_LENGTH,
        show_progress=False,
    )
    backend.train_from_iterator(texts, trainer)
    chosen = backend.get_vocab().keys() - set(SPECIAL_TOKENS)
    counts = _occurrences(chosen, Counter(_words(backend, texts)))
    total = sum(counts.values())
    scored = sorted(((piece, math.log(count / total)) for piece, count in counts.items()), key=lambda p: (-p[1], p[0]))
    return [*((token, 0.0) for token in SPECIAL_TOKENS), *scored, (MASK, 0.0)]


def _words(backend: Tokenizer, texts: Iterable[str]) -> Iterable[str]:
    for text in texts:
        for word, _ in backend.pre_tokenizer.pre_tokenize_str(backend.normalizer.normalize_str(text)):
            yield word


def _occurrences(pieces: Iterable[str], words: Mapping[str, int]) -> Counter[str]:
    counts = Counter(dict.fromkeys(pieces, 1))
    for word, times in words.items():
        for begin in range(len(word)):
            for end in range(begin + 1, min(begin + MAX_PIECE_LENGTH, len(word)) + 1):
                if word[begin:end] in counts:
                    counts[word[begin:end]] += times
    return counts


def _backend(model: models.Model) -> Tokenizer:
    """XLM-R's pipeline around a model; its own normalizer is a table that comes close to NFKC."""
    backend = Tokenizer(model)
    backend.normalizer = normalizers.NFKC()
    backend.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace()])
    backend.decoder = decoders.Metaspace()
    return backend


def _save_tokenizer(pieces: list[tuple[str, float]], folder: Path, max_length: int) -> None:
    backend = _backend(models.Unigram(pieces, unk_id=SPECIAL_TOKENS.index(UNKNOWN), byte_fallback=False))
    backend.add_special_tokens([*SPECIAL_TOKENS, AddedToken(MASK, lstrip=True, special=True)])
    backend.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>",
        pair="<s> $A </s> </s> $B </s>",
        special_tokens=[(token, SPECIAL_TOKENS.index(token)) for token in ("<s>", "</s>")],
    )
    backend.save(str(folder / "tokenizer.json"))
    names = {"bos": "<s>", "cls": "<s>", "eos": "</s>", "sep": "</s>", "unk": UNKNOWN, "pad": "<pad>", "mask": MASK}
    config = {f"{name}_token": token for name, token in names.items()} | {
        # Not XLMRobertaTokenizer: transformers 5 rebuilds that class without the normalizer.
        "tokenizer_class": "PreTrainedTokenizerFast",
        "model_max_length": max_length,
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(config, indent=2, sort_keys=True) + "\n")
