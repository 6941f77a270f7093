"""Gold answers of real questions as tokens and back: no script loses or shifts a character.

The files are found by `XSTILTS_DATA` and belong to no repository.
"""

import os
from collections.abc import Iterator
from pathlib import Path
from zipfile import ZipFile

import numpy as np
import pytest

from xstilts.core.catalogue import TaskKind
from xstilts.metrics.answers import normalise_squad
from xstilts.tasks import datasets, registry
from xstilts.tasks.examples import SpanExtraction
from xstilts.training import init_model, initialization
from xstilts.training.heads import HEADS, HeadSpec, Lengths
from xstilts.training.heads.span_extraction import MAX_ANSWER_TOKENS, NO_ANSWER, answer_tokens, most_context, n_best
from xstilts.training.tokenizer import Tokenizer

ROOT = Path(os.environ.get("XSTILTS_DATA", Path(__file__).parents[2] / "../shared/data"))
MAX_LENGTH = 128
"""Short, so that most contexts take several windows."""
STEP = 64

pytestmark = pytest.mark.skipif(
    not ROOT.is_dir(), reason=f"no real data under {ROOT}: set XSTILTS_DATA to the folder with the upstream samples"
)


def found(name: str) -> list[datasets.Found]:
    splits = datasets.discover(registry.dataset(name), ROOT / name) if (ROOT / name).is_dir() else []
    return [split for split in splits if (name, split.split) in {("xquad", "test"), ("mlqa", "dev"), ("tydiqa", "dev")}]


SPLITS = [
    pytest.param(name, split, id=f"{name}-{split.language}")
    for name in ("xquad", "mlqa", "tydiqa")
    for split in found(name)
]


def examples(split: datasets.Found) -> Iterator[SpanExtraction]:
    for path in split.paths:
        for example in split.layout.read(path):
            assert isinstance(example, SpanExtraction)
            yield example


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Tokenizer:
    """Pieces of all scripts, few enough that words of all of them are torn apart."""
    contexts = {example.context for name in ("xquad", "tydiqa") for split in found(name) for example in examples(split)}
    folder = tmp_path_factory.mktemp("model") / "encoder"
    init_model(sorted(contexts)[::3], folder, vocab_size=6000, hidden_size=8, layers=1)
    return Tokenizer.load(folder)


VOCABULARY = ROOT / "tokenizer/blingfire/pos.dict.utf8.zip"
"""XLM-R's pieces: `piece TAB WORD_ID_<id> TAB score`."""


@pytest.mark.skipif(not VOCABULARY.is_file(), reason=f"no vocabulary of XLM-R as {VOCABULARY}")
def test_windows_of_mlqa_are_as_many_as_in_the_references(tmp_path: Path) -> None:
    """Vietnamese contexts in XLM-R's own pieces at the published lengths: 384 tokens, a window every 128."""
    with ZipFile(VOCABULARY) as archive:
        lines = archive.read(archive.namelist()[0]).decode().rstrip("\n").split("\n")
    scores = {int(number.rpartition("_")[2]): (piece, float(score)) for piece, number, score in map(cells, lines)}
    special = [("<s>", 0.0), ("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0)]
    pieces = special + [scores.get(number, (f"<{number}>", -99.0)) for number in range(4, max(scores) + 1)]
    initialization._save_tokenizer([*pieces, ("<mask>", 0.0)], tmp_path, 512)
    (split,) = (split for split in found("mlqa") if split.language == "vi")
    features = HEADS[TaskKind.SPAN_EXTRACTION].features(
        Tokenizer.load(tmp_path), list(examples(split)), Lengths(max_length=384, doc_stride=128)
    )
    assert sum(len(feature.sequences) for feature in features) / len(features) == pytest.approx(1.61, abs=0.005)


def cells(line: str) -> tuple[str, str, str]:
    piece, number, score = line.split("\t")
    return piece, number, score


@pytest.mark.parametrize(("name", "split"), SPLITS)
def test_gold_answers_are_what_their_tokens_stand_for(tokenizer: Tokenizer, name: str, split: datasets.Found) -> None:
    spec = HeadSpec(task=name, kind=TaskKind.SPAN_EXTRACTION, labels={}, max_length=MAX_LENGTH, doc_stride=STEP)
    head = HEADS[TaskKind.SPAN_EXTRACTION](spec, hidden_size=4, dropout=0.0)
    rows = list(examples(split))
    equal = 0
    for example, feature in zip(rows, head.encode(tokenizer, rows), strict=True):
        target, answer = feature.target, example.answers[0].text.strip()
        start = example.context.index(answer, example.answers[0].start)
        (spanned,) = tokenizer.spans([example.context])
        tokens = answer_tokens(spanned, example.answers[0])
        assert tokens is not None, answer
        begin, end = target.starts[tokens[0]], target.ends[tokens[1]]
        assert begin <= start < start + len(answer) <= end
        said = example.context[begin:end]
        if start in target.starts and start + len(answer) in target.ends:
            assert said == answer
        equal += normalise_squad(said) == normalise_squad(answer)
        length, overlap = tokens[1] - tokens[0] + 1, MAX_LENGTH - target.offset - 1 - STEP
        (owner,) = (number for number, own in enumerate(most_context(target.windows)) if tokens[0] in own)
        if all(span == NO_ANSWER for span in target.spans):
            assert length > overlap, "only a long answer falls between two windows"
        elif target.spans[owner] == NO_ANSWER:
            assert length > overlap // 2, "only a long answer ends after the window with the most context for its start"
        elif length <= MAX_ANSWER_TOKENS:
            scores = [np.zeros((len(sequence), 2), np.float32) for sequence in feature.sequences]
            for window, (first, last) in zip(scores, target.spans, strict=True):
                if (first, last) != NO_ANSWER:
                    window[first, 0] = window[last, 1] = 9
            assert n_best(scores, target).candidates[0] == (18.0, begin, end)
    # Where an answer begins or ends inside of a piece, as after the articles and prepositions that Arabic writes as one
    # with the next word, the tokens stand for more than the answer.
    assert equal >= 0.9 * len(rows)
