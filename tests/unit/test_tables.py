"""Token tables: what is read back is what was encoded, by number, in any selection, with no more than a block in hand."""

import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from training_rows import METRICS, example, rows, settings, table, task, tiny_encoder
from xstilts.core.catalogue import TaskKind
from xstilts.tasks.examples import Classification, SpanExtraction
from xstilts.tasks.gold import gold
from xstilts.training.assembly import build_model
from xstilts.training.batches import Feature, pack
from xstilts.training.heads import HEADS, Lengths
from xstilts.training.tables import BLOCK, ROWS, TokenTable, write_table
from xstilts.training.tokenizer import Tokenizer

LENGTHS = Lengths(max_length=48, doc_stride=16)


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_encoder(tmp_path_factory.mktemp("model") / "encoder")


@pytest.fixture(scope="module")
def tokenizer(encoder: Path) -> Tokenizer:
    return Tokenizer.load(encoder)


def tokens(feature: Feature) -> list[list[int]]:
    return [list(sequence) for sequence in feature.sequences]


@pytest.mark.parametrize("kind", METRICS)
def test_rows_are_what_the_head_encodes_for_itself(encoder: Path, tokenizer: Tokenizer, kind: TaskKind) -> None:
    """Across the ends of blocks, whole and selected."""
    examples = rows(kind, 40)
    head = build_model(encoder, [task(kind)], tokenizer, seed=0, settings=settings()).head(0)
    many = [examples[row % 40] for row in range(2 * BLOCK + 5)]
    whole = table(HEADS[kind], many)
    encoded = head.encode(tokenizer, examples)
    chosen = [0, BLOCK - 1, BLOCK, 2 * BLOCK + 4, 7]
    assert len(whole) == 2 * BLOCK + 5
    for place, row in enumerate(chosen):
        for found, number in ((whole, row), (whole.select(chosen), place)):
            feature = head.readable(found[number])
            assert tokens(feature) == tokens(encoded[row % 40])
            assert found.gold(number) == gold(examples[row % 40])
            counts = head.counts([encoded[row % 40]])
            assert head.counts([feature]) == counts


def test_a_selection_of_a_selection_counts_in_the_first(tokenizer: Tokenizer) -> None:
    whole = table(HEADS[TaskKind.CLASSIFICATION], rows(TaskKind.CLASSIFICATION))
    assert tokens(whole.select([5, 3, 9]).select([2, 0])[1]) == tokens(whole[5])
    with pytest.raises(IndexError):
        whole.select([1])[1]


def test_labels_are_those_of_the_whole_table_for_every_selection() -> None:
    whole = table(HEADS[TaskKind.CLASSIFICATION], rows(TaskKind.CLASSIFICATION))
    assert whole.select([0]).facts.labels == {"label": ("alarm", "music", "phone")}


def test_a_question_without_answer_is_noted() -> None:
    examples = rows(TaskKind.SPAN_EXTRACTION)
    without = SpanExtraction(id="x", question="which", context="the red house", answers=())
    assert not table(HEADS[TaskKind.SPAN_EXTRACTION], examples).facts.null_answers
    assert table(HEADS[TaskKind.SPAN_EXTRACTION], [*examples, without]).facts.null_answers


def test_marked_tokens_are_those_that_occur(tokenizer: Tokenizer) -> None:
    whole = table(HEADS[TaskKind.MULTIPLE_CHOICE], rows(TaskKind.MULTIPLE_CHOICE))
    for some in (whole, whole.select([4, 11])):
        occurs = np.zeros(tokenizer.size, dtype=np.bool_)
        some.mark(occurs)
        expected = {token for feature in some for sequence in feature.sequences for token in sequence.tolist()}
        assert set(occurs.nonzero()[0].tolist()) == expected


@pytest.mark.parametrize("kind", METRICS)
def test_losses_of_parts_of_a_batch_add_up_to_that_of_the_whole(
    encoder: Path, tokenizer: Tokenizer, kind: TaskKind
) -> None:
    """With the counts of the whole, however it is divided."""
    model = build_model(encoder, [task(kind)], tokenizer, seed=0, settings=settings(dropout="0"))
    features = model.head(0).encode(tokenizer, rows(kind, 9))
    counts = model.head(0).counts(features)
    parts = [features[begin::4] for begin in range(4)]
    total = torch.stack([model(pack(part), 0, counts) for part in parts]).sum()
    torch.testing.assert_close(total, model(pack(features), 0), atol=1e-6, rtol=1e-6)


def test_writing_and_reading_hold_a_block_and_not_the_table(tokenizer: Tokenizer, tmp_path: Path) -> None:
    """What Python allocates at its peak is the same for two blocks and for thirty, but for a view of each block."""
    peaks, sizes = [], []
    for blocks in (2, 30):
        folder = tmp_path / str(blocks)
        folder.mkdir()
        encoding = HEADS[TaskKind.CLASSIFICATION]
        tracemalloc.start()
        write_table(folder, stream(blocks * BLOCK), encoding=encoding, tokenizer=tokenizer, lengths=LENGTHS)
        read = TokenTable.open(folder)
        assert sum(feature.length for feature in read) > 0
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
        sizes.append((folder / ROWS).stat().st_size)
    assert peaks[1] - peaks[0] < (sizes[1] - sizes[0]) / 4  # Python's own objects would take ten times the file


def stream(number: int) -> Iterator[Classification]:
    for row in range(number):
        made = example(TaskKind.CLASSIFICATION, row % 50)
        assert isinstance(made, Classification)
        yield made
