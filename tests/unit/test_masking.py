"""Which tokens are hidden, by what, and which lines a step sees."""

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pytest

from training_rows import tiny_encoder
from xstilts.training.batches import Feature
from xstilts.training.masking import Ids, LineOrder, Masking
from xstilts.training.tokenizer import Tokenizer, tokens_of

ROWS, LENGTH, PROBABILITY = 400, 50, 0.15


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Tokenizer:
    return Tokenizer.load(tiny_encoder(tmp_path_factory.mktemp("encoder")))


@pytest.fixture(scope="module")
def masking(tokenizer: Tokenizer) -> Masking:
    return Masking.of(tokenizer, PROBABILITY)


@pytest.fixture(scope="module")
def lines(tokenizer: Tokenizer, masking: Masking) -> list[Feature]:
    """Ordinary tokens between special ones: `<s>`, one `<unk>`, `</s>`, and padding at the end."""
    tokens = np.random.default_rng(0).choice(masking.ordinary, size=(ROWS, LENGTH))
    tokens[:, 0], tokens[:, 7] = tokenizer.start, tokenizer.unknown
    tokens[:, -5], tokens[:, -4:] = tokenizer.end, tokenizer.pad
    return [Feature((tokens_of(row.tolist()),), None) for row in tokens]


def within(count: int, trials: int, share: float) -> bool:
    """Five standard deviations of a binomial count: a false alarm in two million."""
    return abs(count - trials * share) <= 5 * math.sqrt(trials * share * (1 - share))


def tokens(features: Sequence[Feature]) -> Ids:
    return np.array([feature.sequences[0] for feature in features])


def places(features: Sequence[Feature]) -> npt.NDArray[np.bool_]:
    found = np.zeros((len(features), LENGTH), dtype=bool)
    for row, feature in enumerate(features):
        found[row, feature.target.places] = True
    return found


def test_shares_of_hidden_exchanged_and_kept_tokens_are_the_published_ones(
    masking: Masking, lines: list[Feature]
) -> None:
    masked = masking(lines, stream=("test", 1))
    ordinary = ROWS * (LENGTH - 7)
    hidden = int(places(masked).sum())
    assert within(hidden, ordinary, PROBABILITY)
    shown = tokens(masked)[places(masked)]
    guessed = tokens(lines)[places(masked)]
    assert within(int((shown == masking.mask).sum()), hidden, 0.8)
    kept = int((shown == guessed).sum())
    assert within(kept, hidden, 0.1 + 0.1 / len(masking.ordinary))
    assert within(hidden - kept - int((shown == masking.mask).sum()), hidden, 0.1 - 0.1 / len(masking.ordinary))


def test_special_tokens_are_neither_hidden_nor_put_in_place_of_others(masking: Masking, lines: list[Feature]) -> None:
    masked = masking(lines, stream=("test", 2))
    hidden = places(masked)
    assert not hidden[~np.isin(tokens(lines), masking.ordinary)].any()
    assert np.array_equal(tokens(masked)[~hidden], tokens(lines)[~hidden])
    put = tokens(masked)[hidden]
    assert np.isin(put[put != masking.mask], masking.ordinary).all()


def test_targets_are_what_was_there(masking: Masking, lines: list[Feature]) -> None:
    masked = masking(lines, stream=("test", 3))
    assert np.array_equal(np.concatenate([m.target.tokens for m in masked]), tokens(lines)[places(masked)])


def test_masks_depend_on_seed_and_step_alone(masking: Masking, lines: list[Feature]) -> None:
    first, again, other = (masking(lines, stream=("mask", 1, step)) for step in (5, 5, 6))
    assert np.array_equal(tokens(first), tokens(again))
    assert not np.array_equal(places(first), places(other))


def test_lines_of_a_step_depend_on_seed_and_step_alone() -> None:
    orders = [LineOrder(rows=[5, 50], batch_size=8, smoothing=0.3, seed=seed) for seed in (1, 1, 2)]
    assert [orders[0][step] for step in range(4)] == [orders[1][step] for step in range(4)]
    assert orders[0][0] != orders[2][0] or orders[0][1] != orders[2][1]


@pytest.mark.parametrize(
    ("smoothing", "share"),
    [
        pytest.param(1.0, 0.9, id="by size at 1"),
        pytest.param(0.0, 0.5, id="alike at 0"),
        pytest.param(0.3, 9**0.3 / (1 + 9**0.3), id="in between at XLM-R's 0.3"),
    ],
)
def test_languages_are_drawn_by_a_power_of_their_size(smoothing: float, share: float) -> None:
    order = LineOrder(rows=[900, 100], batch_size=4000, smoothing=smoothing, seed=3)
    lines = order[0]
    assert within(sum(line.language == 0 for line in lines), 4000, share)
    assert max(line.row for line in lines if line.language == 1) < 100
