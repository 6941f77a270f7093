"""Prefix tuning: transformers' own attention with the prefix as past keys and values, and an encoder that stays."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from training_rows import rows, settings, task, tiny_encoder
from xstilts.api.training import TrainingSettings, Tuning
from xstilts.core.catalogue import TaskKind
from xstilts.core.errors import CoverageError
from xstilts.training import Budget, FitResult, fit, predict
from xstilts.training.batches import Feature, pack
from xstilts.training.encoders import load_encoder
from xstilts.training.packed import token_states
from xstilts.training.prefix import Prefix
from xstilts.training.tokenizer import tokens_of

LENGTH, HIDDEN, LAYERS = 5, 32, 2


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_encoder(tmp_path_factory.mktemp("model") / "encoder")


def prefixed(**changes: object) -> TrainingSettings:
    return settings(tuning=Tuning.PREFIX, prefix_length=LENGTH, learning_rate="0.05", **changes)


def tagging(encoder: Path, workdir: Path, steps: int = 300) -> FitResult:
    return fit(
        encoder=encoder,
        tasks=[task(TaskKind.TAGGING)],
        budget=Budget(steps=steps),
        seed=1,
        settings=prefixed(evaluate_every_steps=steps, dropout="0"),
        workdir=workdir,
    )


def test_states_are_those_of_a_softmax_over_prefix_and_sequence(encoder: Path) -> None:
    """By hand for the first layer of each sequence alone, with masks and without."""
    model, _ = load_encoder(encoder)
    prefix = Prefix(model, LENGTH)
    torch.nn.init.normal_(prefix.weight)
    batch = pack([Feature((tokens_of([0, *range(5, 3 + length), 2]),), None) for length in (9, 7, 20, 20)])
    found = token_states(model, batch, layers=1, prefix=prefix).split(batch.lengths)
    layer = model.encoder.layer[0]
    attention = layer.attention.self
    for ids, states in zip(batch.ids.split(batch.lengths), found, strict=True):
        before = model(input_ids=ids[None], output_hidden_states=True).hidden_states[0][0]
        key = torch.cat((prefix.weight[0, 0], attention.key(before)))
        value = torch.cat((prefix.weight[0, 1], attention.value(before)))
        heads = [part.view(len(part), 2, HIDDEN // 2).transpose(0, 1) for part in (attention.query(before), key, value)]
        weights = torch.softmax(heads[0] @ heads[1].transpose(1, 2) * attention.scaling, dim=-1)
        context = (weights @ heads[2]).transpose(0, 1).reshape(len(ids), HIDDEN)
        halfway = layer.attention.output(context, before)
        torch.testing.assert_close(states, layer.output(layer.intermediate(halfway), halfway), atol=1e-5, rtol=0)


def test_only_prefix_and_head_are_trained_and_the_encoder_stays_to_the_bit(encoder: Path, tmp_path: Path) -> None:
    result = tagging(encoder, tmp_path, steps=10)
    tags = 3
    assert result.trainable_parameters == LAYERS * 2 * LENGTH * HIDDEN + (HIDDEN + 1) * tags
    before = load_file(encoder / "model.safetensors")
    for saved in result.checkpoints.values():
        after = load_file(saved.folder / "model.safetensors")
        assert after.keys() == before.keys()
        assert all(torch.equal(after[name], before[name]) for name in before)


def test_a_prefix_learns_and_what_is_saved_answers_like_what_was_trained(encoder: Path, tmp_path: Path) -> None:
    result = tagging(encoder, tmp_path)
    score = result.history[-1].scores["tagging/accuracy"]
    assert score >= 85  # two thirds are of one tag
    answered = predict(
        checkpoint=result.checkpoints["last"].folder,
        task="tagging",
        examples={"en": rows(TaskKind.TAGGING)},
        settings=settings(),
    )["en"]
    words = [pair for row in answered for pair in zip(row.prediction, row.gold, strict=True)]
    assert 100 * sum(one == other for one, other in words) / len(words) == pytest.approx(score)


def test_a_checkpoint_without_its_prefix_is_refused(encoder: Path, tmp_path: Path) -> None:
    folder = tagging(encoder, tmp_path, steps=1).checkpoints["last"].folder
    (folder / "prefix.safetensors").unlink()
    with pytest.raises(CoverageError, match=r"prefix\.safetensors does not hold"):
        predict(checkpoint=folder, task="tagging", examples={}, settings=settings())
