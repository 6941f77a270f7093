"""Retrieval without training: which sentence of another language is nearest to an English one, and which pairs of
sentences in two corpora are translations.

As in jiant and the paper: a sentence is the mean over all its tokens, `<s>` and `</s>` included, of one hidden layer;
vectors are normalized. Tatoeba's index of the other language is searched with each English sentence by cosine; BUCC's
pairs are mined by margin.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, Self

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize
from transformers import PreTrainedModel

from xstilts.api.training import Pooling, RetrievalSettings, Similarity, TrainingSettings
from xstilts.core.catalogue import TaskKind
from xstilts.core.configs import similarity_of
from xstilts.core.errors import DivergenceError, UserError
from xstilts.metrics.bitext import best_threshold
from xstilts.tasks.examples import BitextSentence, Retrieval
from xstilts.tasks.gold import gold
from xstilts.training.assembly import check_sizes
from xstilts.training.batches import Batch, Feature, filled, pack
from xstilts.training.encoders import load_config, load_encoder
from xstilts.training.execution import arithmetic, memory_of, prepare
from xstilts.training.inference import TOKENS, PredictionRow
from xstilts.training.linear import ROWS
from xstilts.training.packed import token_states
from xstilts.training.search import Neighbours, nearest
from xstilts.training.tokenizer import Tokenizer

PAPER_LAYER, PAPER_LAYERS = 14, 24


def retrieve(
    *,
    checkpoint: Path,
    examples: Mapping[str, Sequence[Retrieval]],
    retrieval: RetrievalSettings,
    settings: TrainingSettings,
) -> dict[str, list[PredictionRow]]:
    """For each row its own index as gold, and the index of the nearest sentence as prediction, by language.

    `checkpoint` is any encoder folder. Raises UserError for a layer or a length that the encoder has not. Nearest is by
    cosine unless the settings say otherwise.
    """
    embedder = Embedder.load(checkpoint, retrieval=retrieval, settings=settings)
    sides = [[e.text for e in rows] + [e.english for e in rows] for rows in examples.values()]
    found = {}
    for (language, rows), vectors in zip(examples.items(), embedder.several(sides), strict=True):
        nearby = _nearest_places(vectors[len(rows) :], vectors[: len(rows)], retrieval)
        found[language] = [
            PredictionRow(e.id, row, place) for row, (e, place) in enumerate(zip(rows, nearby, strict=True))
        ]
    return found


def _nearest_places(queries: Tensor, index: Tensor, retrieval: RetrievalSettings) -> list[int]:
    """The row of the index that is nearest to each query."""
    if not len(queries):
        return []
    if similarity_of(TaskKind.RETRIEVAL, retrieval) is Similarity.COSINE:
        return nearest(queries, index, 1).places[:, 0].tolist()
    forward, _ = margins(queries, index, retrieval.neighbours)
    best = forward.values.argmax(dim=1, keepdim=True)
    return forward.places.gather(1, best)[:, 0].tolist()


def margins(first: Tensor, second: Tensor, k: int) -> tuple[Neighbours, Neighbours]:
    """Ratio margins of each vector with its `k` nearest in the other matrix, in both directions, not sorted.

    A margin is the cosine over the mean of two means: those of either vector with its own nearest neighbours
    (Artetxe and Schwenk 2019, eq. 2 with `ratio`).
    """
    forward, backward = nearest(first, second, k), nearest(second, first, k)
    means = forward.values.mean(dim=1), backward.values.mean(dim=1)
    return _ratios(forward, *means), _ratios(backward, *reversed(means))


def _ratios(found: Neighbours, own: Tensor, others: Tensor) -> Neighbours:
    return found._replace(values=found.values / ((own[:, None] + others[found.places]) / 2))


class Mined(NamedTuple):
    """Pairs found in two corpora: a row for each sentence, of both sides, in order."""

    threshold: float
    """The lowest score of a pair, tuned on dev."""
    dev: list[PredictionRow]
    test: list[PredictionRow]


def mine(
    *,
    checkpoint: Path,
    dev: Mapping[str, Sequence[BitextSentence]],
    test: Mapping[str, Sequence[BitextSentence]],
    retrieval: RetrievalSettings,
    settings: TrainingSettings,
) -> dict[str, Mined]:
    """Translations in two corpora, for each pair of languages, with a threshold that is best for F1 on its dev data.

    As LASER's `bucc.py`, which XTREME uses: the best candidate of each sentence in either direction, taken greedily by
    score, each sentence once. A row's prediction is the English sentence's id and the score, or None. Scores are
    margins unless the settings say otherwise. Languages are those of `test`.
    """
    embedder = Embedder.load(checkpoint, retrieval=retrieval, settings=settings)
    return {language: _mined(embedder, dev[language], rows, retrieval) for language, rows in test.items()}


class Pair(NamedTuple):
    foreign: str
    """Id."""
    english: str
    score: float


def _mined(
    embedder: "Embedder", dev: Sequence[BitextSentence], test: Sequence[BitextSentence], retrieval: RetrievalSettings
) -> Mined:
    corpora = [_corpora(dev), _corpora(test)]
    vectors = embedder.several([list(corpus) for pair in corpora for corpus in pair])
    on_dev, on_test = (
        candidates(*pair, vectors[2 * number], vectors[2 * number + 1], retrieval)
        for number, pair in enumerate(corpora)
    )
    right = {example.id: example.translations or () for example in dev}
    threshold = best_threshold(
        [pair.score for pair in on_dev],
        [pair.english in right[pair.foreign] for pair in on_dev],
        wanted=sum(map(len, right.values())),
    )
    return Mined(threshold, _bitext_rows(dev, on_dev, threshold), _bitext_rows(test, on_test, threshold))


Corpus = Mapping[str, str | None]
"""Sentences, each once, with their ids; None for those that occur again, which LASER's `bucc.py` gives no id."""


def _corpora(examples: Sequence[BitextSentence]) -> tuple[Corpus, Corpus]:
    """The foreign and the English side."""
    sides: tuple[dict[str, str | None], dict[str, str | None]] = {}, {}
    for example in examples:
        side = sides[example.english]
        text = example.text.strip()
        side[text] = None if text in side else example.id
    return sides


def candidates(
    foreign: Corpus, english: Corpus, foreign_vectors: Tensor, english_vectors: Tensor, retrieval: RetrievalSettings
) -> list[Pair]:
    """One-to-one pairs by descending score above 0."""
    if not foreign or not english:
        return []
    if similarity_of(TaskKind.BITEXT_MINING, retrieval) is Similarity.COSINE:
        forward, backward = nearest(foreign_vectors, english_vectors, 1), nearest(english_vectors, foreign_vectors, 1)
    else:
        forward, backward = margins(foreign_vectors, english_vectors, retrieval.neighbours)
    ends, scores = zip(*(_best(found) for found in (forward, backward)), strict=True)
    rows = torch.cat([torch.arange(len(foreign)), ends[1]]).tolist()
    partners = torch.cat([ends[0], torch.arange(len(english))]).tolist()
    merged = torch.cat(scores)
    ids, english_ids = list(foreign.values()), list(english.values())
    taken, partners_taken, pairs = set[int](), set[int](), []
    for place in merged.argsort(descending=True, stable=True).tolist():
        row, partner, score = rows[place], partners[place], float(merged[place])
        if row in taken or partner in partners_taken or score <= 0:
            continue
        taken.add(row)
        partners_taken.add(partner)
        own, other = ids[row], english_ids[partner]
        if own is not None and other is not None:
            pairs.append(Pair(own, other, score))
    return pairs


def _best(found: Neighbours) -> tuple[Tensor, Tensor]:
    """Places and values of the best of each row's neighbours, on the CPU."""
    values, columns = found.values.max(dim=1, keepdim=True)
    return found.places.gather(1, columns)[:, 0].cpu(), values[:, 0].cpu()


def _bitext_rows(examples: Sequence[BitextSentence], pairs: Sequence[Pair], threshold: float) -> list[PredictionRow]:
    found = {pair.foreign: {"id": pair.english, "score": pair.score} for pair in pairs if pair.score >= threshold}
    return [PredictionRow(e.id, gold(e), None if e.english else found.get(e.id)) for e in examples]


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

    @classmethod
    def load(cls, folder: Path, *, retrieval: RetrievalSettings, settings: TrainingSettings) -> Self:
        """Of an encoder's folder, on this process's device."""
        device = prepare(settings)
        encoder, _ = load_encoder(folder)
        nn.Module.to(encoder, device)
        tokenizer = Tokenizer.load(folder)
        check_sizes(encoder, tokenizer, settings, folder=folder)
        return cls(encoder, tokenizer, retrieval=retrieval, settings=settings)

    def several(self, texts: Sequence[Sequence[str]]) -> list[Tensor]:
        """A matrix for each list of texts; a text that comes again, in any of them, is encoded once."""
        places = {text: place for place, text in enumerate(dict.fromkeys(text for each in texts for text in each))}
        vectors = self(list(places))
        return [vectors[[places[text] for text in each]] for each in texts]

    @torch.inference_mode()
    def __call__(self, texts: Sequence[str]) -> Tensor:
        """[texts, hidden]: vectors of length 1, on the encoder's device."""
        limit = self._settings.max_length - 2
        features = [Feature((self._tokenizer.single(tokens[:limit]),), None) for tokens in self._tokenizer.texts(texts)]
        device = self._encoder.device
        vectors = torch.empty(len(texts), self._encoder.config.hidden_size, device=device)
        tokens = TOKENS[device.type]
        with memory_of(device, self._settings, tokens=tokens), arithmetic(device, self._settings):
            for indices in filled(features, tokens):
                batch = pack([features[index] for index in indices], multiple=ROWS).to(device)
                vectors[indices] = self._pooled(batch)
        if not vectors.isfinite().all():
            raise DivergenceError(
                "sentence vectors are not finite numbers: the encoder's training diverged; lower learningRate there"
            )
        return normalize(vectors, dim=-1)

    def _pooled(self, batch: Batch) -> Tensor:
        states = token_states(self._encoder, batch, layers=self.layer).float()  # 0 is the embeddings
        if self._pooling is Pooling.CLS:
            return states[batch.starts]
        return torch.stack([tokens.mean(dim=0) for tokens in torch.split(states[: sum(batch.lengths)], batch.lengths)])


def layer_of(folder: Path, retrieval: RetrievalSettings) -> int:
    """The layer of the encoder in that folder which is pooled. Raises UserError where it has not as many."""
    return pooled_layer(retrieval.layer, layers=load_config(folder).num_hidden_layers)


def pooled_layer(layer: int | None, *, layers: int) -> int:
    """The layer asked for, or the one in proportion to the paper's 14 of 24."""
    if layer is None:
        return round(PAPER_LAYER * layers / PAPER_LAYERS)
    if layer > layers:
        raise UserError(f"retrieval.layer {layer} is above the encoder's {layers} layers; take 0 to {layers}")
    return layer
