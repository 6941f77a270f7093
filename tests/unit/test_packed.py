"""Packed sequences give the states, losses and gradients of each sequence alone, by transformers' own forward."""

from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from transformers import XLMRobertaXLConfig, XLMRobertaXLModel

from training_rows import METRICS, rows, settings, task, tiny_encoder
from xstilts.core.catalogue import TaskKind
from xstilts.training.assembly import build_model
from xstilts.training.batches import Feature, like_lengths, pack
from xstilts.training.encoders import load_encoder
from xstilts.training.model import MultiTaskModel
from xstilts.training.packed import token_states
from xstilts.training.tokenizer import Tokenizer, tokens_of

TOLERANCE = 1e-5


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_encoder(tmp_path_factory.mktemp("model") / "encoder")


@pytest.fixture(scope="module")
def batch():
    """Sequences of 3 to 40 tokens, some alike, in no order."""
    lengths = (7, 40, 3, 39, 12, 12, 31, 3, 25)
    return pack([Feature((tokens_of([0, *range(5, 3 + length), 2]),), None) for length in lengths])


def alone(encoder: torch.nn.Module, ids: Tensor, layer: int = -1) -> Tensor:
    """[tokens, hidden] by transformers."""
    return encoder(input_ids=ids[None], output_hidden_states=True).hidden_states[layer][0]


class TestStates:
    def test_equal_those_of_transformers_after_any_layer(self, encoder: Path, batch) -> None:
        model, _ = load_encoder(encoder)
        for layers in range(3):
            packed = token_states(model, batch, layers=layers).split(batch.lengths)
            for ids, states in zip(batch.ids.split(batch.lengths), packed, strict=True):
                torch.testing.assert_close(states, alone(model, ids, layers), atol=TOLERANCE, rtol=0)

    def test_equal_those_of_transformers_for_xlm_r_xl(self, batch) -> None:
        """Which normalizes before each half of a layer, and once more at the end."""
        torch.manual_seed(0)
        config = XLMRobertaXLConfig(
            vocab_size=60,
            hidden_size=32,
            num_hidden_layers=2,
            num_attention_heads=2,
            intermediate_size=64,
            max_position_embeddings=64,
        )
        model = XLMRobertaXLModel(config).eval()
        for weight in model.parameters():
            torch.nn.init.normal_(weight, std=0.2)
        packed = token_states(model, batch).split(batch.lengths)
        for ids, states in zip(batch.ids.split(batch.lengths), packed, strict=True):
            torch.testing.assert_close(states, alone(model, ids), atol=TOLERANCE, rtol=TOLERANCE)

    def test_of_some_tokens_are_those_of_all(self, encoder: Path, batch) -> None:
        model, _ = load_encoder(encoder)
        places = torch.tensor([0, 5, 5, 100])
        expected = token_states(model, batch)[places]
        torch.testing.assert_close(token_states(model, batch, places=places), expected, atol=TOLERANCE, rtol=0)


class TestLosses:
    @pytest.mark.parametrize("kind", METRICS)
    def test_loss_and_gradients_are_the_mean_of_one_by_one(self, encoder: Path, kind: TaskKind) -> None:
        model, features = built(encoder, kind)
        packed = pack(features)
        assert len(set(packed.lengths)) > 2
        model(packed, 0).backward()
        together = gradients(model)
        model.zero_grad()
        weights = [weight(kind, feature) for feature in features]
        losses = [
            loss_alone(model, feature) * part / sum(weights) for feature, part in zip(features, weights, strict=True)
        ]
        total = torch.stack(losses).sum()
        total.backward()
        torch.testing.assert_close(model(packed, 0), total, atol=TOLERANCE, rtol=0)
        assert together.keys() == gradients(model).keys()
        torch.testing.assert_close(together, gradients(model), atol=TOLERANCE, rtol=0)


def built(encoder: Path, kind: TaskKind) -> tuple[MultiTaskModel, list[Feature]]:
    """Without dropout. Utterances have equally many words, so that the means of intents and of slots weigh alike."""
    tokenizer = Tokenizer.load(encoder)
    examples = [row for row in rows(kind, 64) if kind is not TaskKind.INTENT_AND_SLOTS or len(row.words) == 6]
    short = settings(dropout="0", max_length=24)
    model = build_model(encoder, [task(kind, train=examples, max_length=24)], tokenizer, seed=0, settings=short)
    return model, model.head(0).encode(tokenizer, examples)[:12]


def weight(kind: TaskKind, feature: Feature) -> int:
    """What the head's mean counts."""
    match kind:
        case TaskKind.TAGGING:
            return len(feature.target.labels)
        case TaskKind.SPAN_EXTRACTION:
            return len(feature.sequences)
        case _:
            return 1


def loss_alone(model: MultiTaskModel, feature: Feature) -> Tensor:
    """Each sequence goes through transformers' forward by itself."""
    states = torch.cat([alone(model.encoder, torch.tensor(sequence)) for sequence in feature.sequences])
    head = model.head(0)
    return head.loss(states[head.places(pack([feature]))], [feature], head.counts([feature]))


def gradients(model: MultiTaskModel) -> dict[str, Tensor]:
    return {name: weight.grad.clone() for name, weight in model.named_parameters() if weight.grad is not None}


@given(lengths=st.lists(st.integers(1, 60), min_size=1, max_size=40))
def test_every_token_has_its_cell_and_no_rectangle_is_loose(lengths: list[int]) -> None:
    batch = pack([Feature((tokens_of(range(length)),), None) for length in lengths])
    assert len(batch.ids) == sum(lengths)
    assert batch.ids.tolist() == batch.positions.tolist()
    assert batch.tokens[batch.cells].tolist() == list(range(sum(lengths)))
    assert sum(r.rows for r in batch.rectangles) == len(lengths)
    assert sum(r.rows * r.width for r in batch.rectangles) == len(batch.tokens)
    filled = [r.rows * r.width if r.mask is None else int(r.mask.sum()) for r in batch.rectangles]
    assert sum(filled) == sum(lengths)
    assert all(tokens >= 0.75 * r.rows * r.width for tokens, r in zip(filled, batch.rectangles, strict=True))


def test_like_lengths_go_together_longest_first() -> None:
    groups = list(like_lengths(torch.tensor([10, 100, 74, 9, 75]).numpy()))
    assert groups == [[1, 4], [2], [0, 3]]
