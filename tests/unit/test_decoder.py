"""The pointer decoder: what it may write, and a beam search that finds what trying everything finds."""

from collections.abc import Sequence
from itertools import product

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from training_rows import tiny_encoder
from xstilts.api.training import ParserSettings
from xstilts.core.catalogue import TaskKind
from xstilts.tasks.examples import SemanticParse
from xstilts.training.batches import pack
from xstilts.training.decoder import END, Memory, PointerDecoder
from xstilts.training.heads import HeadSpec
from xstilts.training.heads.base import UNKNOWN
from xstilts.training.heads.semantic_parsing import SemanticParsingHead
from xstilts.training.tokenizer import Tokenizer

SYMBOLS, SIZE, MOST = 3, 16, 3


def decoder(seed: int) -> PointerDecoder:
    torch.manual_seed(seed)
    return PointerDecoder(size=SIZE, layers=2, symbols=SYMBOLS, dropout=0.0).eval()


def memory(made: PointerDecoder, words: Sequence[int], seed: int) -> Memory:
    """Of sentences with so many words."""
    slots = max(words) + 1
    vectors = torch.randn(len(words), slots, SIZE, generator=torch.Generator().manual_seed(seed))
    return made.memory_of(vectors, torch.arange(slots) <= torch.tensor(words)[:, None])


def alone(whole: Memory, sentence: int, words: int) -> Memory:
    return Memory(whole.slots[sentence : sentence + 1, : words + 1], whole.there[sentence : sentence + 1, : words + 1])


def score(made: PointerDecoder, sentence: Memory, outputs: Sequence[int]) -> float:
    """Mean log-probability with END, each token computed anew from all before it."""
    return best_score(made, sentence, [outputs])


def best_score(made: PointerDecoder, sentence: Memory, several: Sequence[Sequence[int]]) -> float:
    """The highest score of outputs of one length."""
    repeated = Memory(*(part.expand(len(several), *part.shape[1:]) for part in sentence))
    inputs = torch.tensor([[END, *outputs] for outputs in several])
    ends = torch.tensor([[*outputs, END] for outputs in several])
    scores = made(repeated, inputs).gather(2, ends[:, :, None])
    return float(scores.squeeze(2).mean(dim=1).max())


@torch.no_grad()
@given(seed=st.integers(0, 1000), words=st.lists(st.integers(1, 3), min_size=1, max_size=3))
def test_with_beams_for_everything_the_search_finds_the_best_of_all_outputs(seed: int, words: list[int]) -> None:
    made = decoder(seed)
    whole = memory(made, words, seed)
    found = made.beam_search(whole, beams=300, most=MOST)
    for sentence, number in enumerate(words):
        own = alone(whole, sentence, number)
        tokens = [*range(1, SYMBOLS), *(SYMBOLS + 1 + word for word in range(number))]
        best = max(best_score(made, own, [*product(tokens, repeat=length)]) for length in range(MOST + 1))
        assert score(made, own, found[sentence]) == pytest.approx(best, abs=1e-5)


@torch.no_grad()
@given(seed=st.integers(0, 1000), words=st.lists(st.integers(0, 5), min_size=1, max_size=4), beams=st.integers(1, 4))
def test_a_sentence_is_parsed_alike_in_any_company(seed: int, words: list[int], beams: int) -> None:
    made = decoder(seed)
    whole = memory(made, words, seed)
    found = made.beam_search(whole, beams=beams, most=6)
    for sentence, number in enumerate(words):
        own = alone(whole, sentence, number)
        (by_itself,) = made.beam_search(own, beams=beams, most=6)
        assert score(made, own, found[sentence]) == pytest.approx(score(made, own, by_itself), abs=1e-5)
        assert all(output < SYMBOLS or SYMBOLS < output <= SYMBOLS + number for output in found[sentence])


@torch.no_grad()
def test_one_beam_takes_the_likeliest_token_each_time() -> None:
    made = decoder(7)
    whole = memory(made, [4], 7)
    (found,) = made.beam_search(whole, beams=1, most=8)
    outputs: list[int] = []
    while len(outputs) < 8 and (token := int(made(whole, torch.tensor([[END, *outputs]]))[0, -1].argmax())) != END:
        outputs.append(token)
    assert found == outputs


@torch.no_grad()
def test_an_output_has_at_least_and_at_most_as_many_tokens_as_are_asked_for() -> None:
    made = decoder(3)
    whole = memory(made, [2, 5], 3)
    assert [len(each) for each in made.beam_search(whole, beams=3, most=9, least=9)] == [9, 9]
    assert made.beam_search(memory(made, [1], 0), beams=3, most=0) == [[]]


@torch.no_grad()
def test_probabilities_are_over_symbols_and_the_sentences_own_words() -> None:
    made = decoder(0)
    scores = made(memory(made, [3, 1], 0), torch.tensor([[END, 1], [END, SYMBOLS + 1]]))
    torch.testing.assert_close(scores.exp().sum(dim=2), torch.ones(2, 2))
    assert scores.isfinite().sum(dim=2).tolist() == [[SYMBOLS + 3] * 2, [SYMBOLS + 1] * 2]
    assert not scores[:, :, SYMBOLS].isfinite().any(), "<s> is never copied"


# ---- the head


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Tokenizer:
    return Tokenizer.load(tiny_encoder(tmp_path_factory.mktemp("model") / "encoder"))


def head(max_length: int) -> SemanticParsingHead:
    spec = HeadSpec(
        task="mtop",
        kind=TaskKind.SEMANTIC_PARSING,
        labels={"parse": ("[IN:A", "]")},
        max_length=max_length,
        doc_stride=8,
        parser=ParserSettings(decoder_layers=1),
    )
    return SemanticParsingHead(spec, hidden_size=SIZE, dropout=0.0)


@pytest.mark.parametrize("max_length", [8, 11, 48])
@pytest.mark.parametrize(
    "words", [("the", "red", "house", "near", "my", "old", "friend"), ("เตือน", "ฉัน", "\u200b", "मुझे", "river")]
)
def test_the_memory_holds_the_mean_of_each_words_tokens_whatever_the_windows(
    tokenizer: Tokenizer, words: tuple[str, ...], max_length: int
) -> None:
    """States are numbered, so that means can be told; another sentence stands before."""
    made = head(max_length)
    made.decoder.memory, made.decoder.memory_norm = torch.nn.Identity(), torch.nn.Identity()  # type: ignore[assignment]
    examples = [SemanticParse(id="", words=each, parse=("[IN:A", 1, "]")) for each in (("my", "house"), words)]
    features = made.encode(tokenizer, examples)
    batch = pack(features)
    states = torch.arange(len(batch.ids), dtype=torch.float32)[:, None].expand(-1, SIZE)
    found = made._memory(states, features)
    assert found.there.sum(dim=1).tolist() == [3, len(words) + 1]
    pieces = tokenizer.words([words])[0]
    begin, expected = sum(len(sequence) for sequence in features[0].sequences), []
    word = 0
    for sequence, spans in zip(features[1].sequences, features[1].target.spans, strict=True):
        for first, last in spans:
            assert list(sequence[first:last]) == list(pieces[word][: max_length - 2])
            expected.append(begin + (first + last - 1) / 2)
            word += 1
        begin += len(sequence)
    assert word == len(words)
    assert found.slots[1, 1 : word + 1, 0].tolist() == pytest.approx(expected)


def test_targets_are_outputs_and_what_the_head_cannot_write_is_left_out(tokenizer: Tokenizer) -> None:
    made = head(48)
    (feature,) = made.encode(tokenizer, [SemanticParse(id="", words=("a", "b"), parse=("[IN:A", 1, "[SL:NEW", 0, "]"))])
    assert feature.target.outputs == [1, 5, UNKNOWN, 4, 2, END]
    assert made.counts([feature]) == (5,)
    assert [made._token(output) for output in (1, 5, 4, 2)] == ["[IN:A", 1, 0, "]"]
