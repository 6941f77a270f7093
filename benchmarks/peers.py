"""What benchmarks against transformers' Trainer share: a small encoder, and pairs with lengths like those of MNLI."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from tokenizers import Tokenizer as Backend
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import WhitespaceSplit
from transformers import XLMRobertaConfig, XLMRobertaModel

from xstilts.tasks.examples import Classification
from xstilts.training.batches import Feature
from xstilts.training.encoders import save_encoder
from xstilts.training.heads import Lengths
from xstilts.training.heads.classification import ClassificationHead
from xstilts.training.initialization import SPECIAL_TOKENS, UNKNOWN
from xstilts.training.tokenizer import Tokenizer

WORDS = 7_000
"""Words that occur, by Zipf's law; the rest of the vocabulary is that of other languages."""
MAX_LENGTH = 128
LABELS = ("entailment", "neutral", "contradiction")
DATA_SEED = 0


def small_encoder(folder: Path, vocabulary: int) -> Path:
    """A tiny encoder with random weights whose vocabulary is whole words; the folder must exist."""
    encoder = folder / "encoder"
    encoder.mkdir()
    tokens = [*SPECIAL_TOKENS, *(f"w{number}" for number in range(vocabulary - len(SPECIAL_TOKENS)))]
    backend = Backend(WordLevel({token: number for number, token in enumerate(tokens)}, unk_token=UNKNOWN))
    backend.pre_tokenizer = WhitespaceSplit()
    backend.save(str(encoder / "tokenizer.json"))
    config = XLMRobertaConfig(
        vocab_size=vocabulary,
        hidden_size=128,
        num_hidden_layers=4,
        num_attention_heads=4,
        intermediate_size=512,
        max_position_embeddings=MAX_LENGTH + 2,
        type_vocab_size=1,
        layer_norm_eps=1e-5,
    )
    torch.manual_seed(DATA_SEED)
    save_encoder(XLMRobertaModel(config), encoder, tokenizer_from=folder)
    return encoder


def pairs(*numbers: int) -> list[Sequence[Classification]]:
    """So many pairs for each number, all different, whose second part begins with what tells the label."""
    random = np.random.default_rng(DATA_SEED)
    return [[_pair(random) for _ in range(number)] for number in numbers]


def _pair(random: np.random.Generator) -> Classification:
    """Token lengths are log-normal with a mean of about 38 with special tokens, as in MNLI, cut at the maximum."""
    length = int(np.clip(random.lognormal(mean=np.log(30), sigma=0.5), 4, MAX_LENGTH - 4))
    words = [f"w{number}" for number in np.minimum(random.zipf(1.3, size=length), WORDS - 1)]
    label = int(random.integers(len(LABELS)))
    words[length * 2 // 3] = f"w{WORDS + 3 * int(random.integers(10)) + label}"
    return Classification(
        id="",
        first=" ".join(words[: length * 2 // 3]),
        second=" ".join(words[length * 2 // 3 :]),
        label=LABELS[label],
    )


def features(encoder: Path, examples: Sequence[Classification]) -> list[Feature]:
    """As our classification head encodes them, with the label's number as target; the peers get the same tokens."""
    lengths = Lengths(max_length=MAX_LENGTH, doc_stride=MAX_LENGTH)
    return [
        Feature(feature.sequences, LABELS.index(feature.target))
        for feature in ClassificationHead.features(Tokenizer.load(encoder), examples, lengths)
    ]
