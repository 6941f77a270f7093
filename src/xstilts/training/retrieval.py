"""Retrieval without training: which sentence of another language is nearest to an English one.

As in jiant and the paper: a sentence is the mean over all its tokens, `<s>` and `</s>` included, of one hidden layer;
vectors are normalized, and the index of the other language is searched with each English sentence by cosine.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize
from transformers import PreTrainedModel

from xstilts.api.training import Pooling, RetrievalSettings, TrainingSettings
from xstilts.core.errors import UserError
from xstilts.tasks.examples import Retrieval
from xstilts.training.assembly import check_sizes
from xstilts.training.batches import Batch, Feature, bucketed, pack
from xstilts.training.encoders import load_encoder
from xstilts.training.execution import arithmetic, memory_of, prepare
from xstilts.training.inference import PredictionRow
from xstilts.training.packed import token_states
from xstilts.training.tokenizer import Tokenizer

PAPER_LAYER, PAPER_LAYERS = 14, 24
QUERIES_AT_ONCE = 1024


def retrieve(
    *,
    checkpoint: Path,
    examples: Mapping[str, Sequence[Retrieval]],
    retrieval: RetrievalSettings,
    settings: TrainingSettings,
) -> dict[str, list[PredictionRow]]:
    """For each row its own index as gold, and the index of the nearest sentence as prediction, by language.

    `checkpoint` is any encoder folder. Raises UserError for a layer or a length that the encoder has not.
    """
    device = prepare(settings)
    encoder, _ = load_encoder(checkpoint)
    nn.Module.to(encoder, device)
    tokenizer = Tokenizer.load(checkpoint)
    check_sizes(encoder, tokenizer, settings, folder=checkpoint)
    embedder = Embedder(encoder, tokenizer, retrieval=retrieval, settings=settings)
    return {language: _rows(embedder, rows) for language, rows in examples.items()}


class Embedder:
    """Sentence vectors of one layer of an encoder."""

    def __init__(
        self,
        encoder: PreTrainedModel,
        tokenizer: Tokenizer,
        *,
        retrieval: RetrievalSettings,
        settings: TrainingSettings,
    ) -> None:
        self._encoder, self._tokenizer = encoder, tokenizer
        self._pooling, self._settings = retrieval.pooling, settings
        self.layer = pooled_layer(retrieval.layer, layers=encoder.config.num_hidden_layers)

    @torch.inference_mode()
    def __call__(self, texts: Sequence[str]) -> Tensor:
        """[texts, hidden]: vectors of length 1, on the encoder's device."""
        limit = self._settings.max_length - 2
        features = [Feature((self._tokenizer.single(tokens[:limit]),), None) for tokens in self._tokenizer.texts(texts)]
        device = self._encoder.device
        vectors = torch.empty(len(texts), self._encoder.config.hidden_size, device=device)
        for indices in bucketed(features, self._settings.batch_size):
            batch = pack([features[index] for index in indices]).to(device)
            with memory_of(device, self._settings), arithmetic(device, self._settings):
                vectors[indices] = self._pooled(batch)
        return normalize(vectors, dim=-1)

    def _pooled(self, batch: Batch) -> Tensor:
        states = token_states(self._encoder, batch, layers=self.layer).float()  # 0 is the embeddings
        if self._pooling is Pooling.CLS:
            return states[batch.starts]
        return torch.stack([tokens.mean(dim=0) for tokens in torch.split(states, batch.lengths)])


def pooled_layer(layer: int | None, *, layers: int) -> int:
    """The layer asked for, or the one in proportion to the paper's 14 of 24."""
    if layer is None:
        return round(PAPER_LAYER * layers / PAPER_LAYERS)
    if layer > layers:
        raise UserError(f"retrieval.layer {layer} is above the encoder's {layers} layers; take 0 to {layers}")
    return layer


def _rows(embedder: Embedder, examples: Sequence[Retrieval]) -> list[PredictionRow]:
    if not examples:
        return []
    index = embedder([example.text for example in examples])
    queries = embedder([example.english for example in examples])
    nearest = [
        row for part in torch.split(queries, QUERIES_AT_ONCE) for row in (part @ index.T).argmax(dim=-1).tolist()
    ]
    return [PredictionRow(e.id, row, found) for row, (e, found) in enumerate(zip(examples, nearest, strict=True))]
