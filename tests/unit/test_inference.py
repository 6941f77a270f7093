"""Answers depend on nothing but the example: neither on those beside it, nor on who computes linear layers."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch.nn.functional import gelu

from training_rows import METRICS, rows, settings, task, tiny_encoder
from xstilts.core.catalogue import TaskKind
from xstilts.core.errors import OutOfMemoryError
from xstilts.tasks.examples import inputs
from xstilts.training import predict
from xstilts.training.assembly import build_model
from xstilts.training.batches import Feature, pack
from xstilts.training.execution import memory_of
from xstilts.training.inference import CHUNK, answers
from xstilts.training.linear import ROWS, Linear, linear, linear_gelu
from xstilts.training.model import MultiTaskModel, save_model
from xstilts.training.tokenizer import Tokenizer

TOLERANCE = 1e-5


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_encoder(tmp_path_factory.mktemp("model") / "encoder")


def built(encoder: Path, kind: TaskKind) -> tuple[MultiTaskModel, list[Feature]]:
    """A fresh head, and enough features for several batches; some have several sequences."""
    tokenizer, short = Tokenizer.load(encoder), settings(max_length=24)
    model = build_model(encoder, [task(kind, max_length=24)], tokenizer, seed=0, settings=short)
    return model.eval(), model.head(0).encode(tokenizer, rows(kind, 200))


@pytest.mark.parametrize("kind", METRICS)
def test_answers_are_those_of_each_example_alone(encoder: Path, kind: TaskKind) -> None:
    model, features = built(encoder, kind)
    alone = [answers(model, 0, [feature], settings=settings())[0] for feature in features]
    together = answers(model, 0, features, settings=settings())
    if kind is TaskKind.MULTIPLE_CHOICE:  # where two choices are equal, so are their scores, up to rounding
        alone, together = (
            [features[row].sequences[choice] for row, choice in enumerate(found)] for found in (alone, together)
        )
    assert together == alone


@pytest.mark.parametrize("kind", METRICS)
def test_losses_are_those_of_torch_alone(encoder: Path, kind: TaskKind) -> None:
    """With gradients torch's own linear layers compute, without idle tokens."""
    model, features = built(encoder, kind)
    for feature in features[:8]:
        batch = pack([feature], multiple=ROWS)
        with torch.no_grad():
            found = model(batch, 0)
        torch.testing.assert_close(found, model(pack([feature]), 0).detach(), atol=TOLERANCE, rtol=0)


@pytest.mark.parametrize("number", [ROWS, ROWS + 1])
def test_linear_layers_are_those_of_torch(number: int) -> None:
    torch.manual_seed(0)
    layer = torch.nn.Linear(24, 40)
    values = torch.randn(number, 24)
    expected = layer(values).detach()
    layer.__class__ = Linear
    with torch.inference_mode():
        torch.testing.assert_close(layer(values), expected, atol=TOLERANCE, rtol=0)
        torch.testing.assert_close(linear(values, layer.weight, None), expected - layer.bias, atol=TOLERANCE, rtol=0)
        torch.testing.assert_close(linear_gelu(values, layer), gelu(expected), atol=TOLERANCE, rtol=0)


def test_equal_inputs_get_one_answer_in_every_place(encoder: Path, tmp_path: Path) -> None:
    """Across languages and chunks, whatever their ids and labels are."""
    model, _ = built(encoder, TaskKind.CLASSIFICATION)
    save_model(model, model.state_dict(), tmp_path / "model", tokenizer_from=encoder)
    once = rows(TaskKind.CLASSIFICATION, 5)
    again = [replace(once[number % 5], id=f"again {number}", label="music") for number in range(CHUNK + 1)]
    found = predict(
        checkpoint=tmp_path / "model",
        task="classification",
        examples={"en": once, "xx": again},
        settings=settings(),
    )
    assert [row.id for row in found["xx"]] == [example.id for example in again]
    assert {row.gold for row in found["xx"]} == {"music"}
    assert [row.prediction for row in found["xx"][:5]] == [row.prediction for row in found["en"]]


@pytest.mark.parametrize("kind", METRICS)
def test_inputs_hold_neither_id_nor_gold(kind: TaskKind) -> None:
    other = {
        TaskKind.CLASSIFICATION: {"label": "?"},
        TaskKind.MULTIPLE_CHOICE: {"label": -1},
        TaskKind.TAGGING: {"tags": ()},
        TaskKind.INTENT_AND_SLOTS: {"slots": (), "intent": "?"},
        TaskKind.SPAN_EXTRACTION: {"answers": ()},
        TaskKind.SEMANTIC_PARSING: {"parse": ()},
    }
    one, two = rows(kind, 2)
    assert inputs(replace(one, id="another", **other[kind])) == inputs(one) != inputs(two)


def test_memory_that_runs_out_names_the_tokens_of_a_batch() -> None:
    with (
        pytest.raises(OutOfMemoryError, match="a batch of 2048 tokens does not fit into the memory of cpu; give the"),
        memory_of(torch.device("cpu"), settings(), tokens=2048),
    ):
        torch.empty(1 << 60)
