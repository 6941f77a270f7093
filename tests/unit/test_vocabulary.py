"""Leaving out the embeddings of words that never occur ends in the same weights as a full run."""

from copy import deepcopy
from pathlib import Path

import torch
from torch.nn.utils import clip_grad_norm_

from training_rows import rows, settings, task, tiny_encoder
from xstilts.core.catalogue import TaskKind
from xstilts.training import Budget, fit, load_encoder
from xstilts.training.assembly import build_model
from xstilts.training.batches import pack
from xstilts.training.execution import parameter_groups
from xstilts.training.model import MultiTaskModel
from xstilts.training.tokenizer import Tokenizer
from xstilts.training.vocabulary import WORDS, keep_occurring

STEPS, RATE, DECAY = 50, 0.003, 0.1
ROUNDING = 6e-8 * STEPS
"""Relative, of the rows left out."""


def test_weights_are_those_of_a_full_run(tmp_path: Path) -> None:
    encoder = tiny_encoder(tmp_path / "encoder")
    tokenizer = Tokenizer.load(encoder)
    data = task(TaskKind.CLASSIFICATION, number=4)
    full = build_model(encoder, [data], tokenizer, seed=0, settings=settings(dropout="0"))
    few = deepcopy(full)
    features = [full.head(0).readable(feature) for feature in data.train]
    words = keep_occurring(few.encoder, [data.train])
    assert len(words.weight) < len(full.encoder.embeddings.word_embeddings.weight)

    batch = pack(features)
    losses = [trained(model, batch) for model in (full, few)]

    torch.testing.assert_close(losses[1], losses[0], atol=1e-5, rtol=0)
    expected, found = (
        full.encoder.state_dict()[WORDS],
        words.whole(words.weight.detach(), decay=(1 - RATE * DECAY) ** STEPS),
    )
    absent = torch.ones(len(expected), dtype=torch.bool)
    absent[batch.ids] = False
    assert absent.any()
    torch.testing.assert_close(found[absent], expected[absent], atol=0, rtol=ROUNDING)
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=0)


def trained(model: MultiTaskModel, batch) -> torch.Tensor:
    """The loss of each step."""
    optimizer = torch.optim.AdamW(parameter_groups(model, weight_decay=DECAY), lr=RATE, fused=True)
    losses = []
    for _ in range(STEPS):
        optimizer.zero_grad()
        loss = model(batch, 0)
        loss.backward()
        clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        losses.append(loss.detach())
    return torch.stack(losses)


def test_saved_encoder_has_all_words_and_the_absent_ones_decayed(tmp_path: Path) -> None:
    folder = tiny_encoder(tmp_path / "encoder")
    chosen = settings(warmup_ratio="0.5", learning_rate="0.01", weight_decay="0.1")
    data = task(TaskKind.CLASSIFICATION, train=rows(TaskKind.CLASSIFICATION, 4), dev=[])
    result = fit(encoder=folder, tasks=[data], budget=Budget(steps=4), seed=0, settings=chosen, workdir=tmp_path)
    before, _ = load_encoder(folder)
    after, _ = load_encoder(result.checkpoints["last"].folder)
    mask = before.state_dict()[WORDS][-1]  # <mask> is in no text
    decay = (1 - 0.0005) * (1 - 0.001) * (1 - 0.001) * (1 - 0.0005)
    torch.testing.assert_close(after.state_dict()[WORDS][-1], mask * decay, atol=0, rtol=1e-6)
    assert after.state_dict()[WORDS].shape == before.state_dict()[WORDS].shape
