"""Tokens a second that decoders write on the CPU: our pointer parser's beam search, and transformers' `generate`.

    python -m benchmarks.evaluation.decoding

The peer is the decoder of BART, with as many layers, heads and symbols, of the same width, behind encoder states that
are there already: the encoder's time is in neither. Both have random weights and 5 beams, and are made to write as many
tokens as the other for each sentence of a batch, in float32 with 2 threads, in turns. Ours also scores the words of the
sentence as outputs; the peer copies nothing.
"""

import argparse
import statistics
import time
from collections.abc import Callable
from typing import NamedTuple

import torch
from transformers import BartConfig, BartForConditionalGeneration
from transformers.modeling_outputs import BaseModelOutput
from transformers.utils import logging

from xstilts.training.decoder import HEAD_SIZE, PointerDecoder

BEAMS, SYMBOLS, WORDS, TOKENS, THREADS = 5, 250, 24, 32, 2
"""MTOP has 117 intents and 78 slots; its parses have up to 38 tokens."""


class Shape(NamedTuple):
    size: int
    layers: int
    sentences: int


SHAPES = (Shape(128, 2, 32), Shape(512, 6, 16))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=5)
    options, _ = parser.parse_known_args()
    torch.set_num_threads(THREADS)
    logging.set_verbosity_error()
    for shape in SHAPES:
        compare(shape, options.repeats)


def compare(shape: Shape, repeats: int) -> None:
    torch.manual_seed(0)
    states = torch.randn(shape.sentences, WORDS + 1, shape.size)
    runs = {"xstilts": ours(shape, states), "transformers": theirs(shape, states)}
    speeds: dict[str, list[float]] = {name: [] for name in runs}
    for repeat in range(repeats + 1):  # the first one warms up
        for name, run in runs.items():
            begin = time.perf_counter()
            lengths = run()
            seconds = time.perf_counter() - begin
            assert lengths == [TOKENS] * shape.sentences, (name, lengths)
            if repeat:
                speeds[name].append(sum(lengths) / seconds)
    mine, peer = (statistics.median(each) for each in speeds.values())
    ratio = statistics.median(a / b for a, b in zip(*speeds.values(), strict=True))
    print(
        f"decoding, {shape.layers} layers of {shape.size}, {shape.sentences} sentences, {BEAMS} beams, {TOKENS} tokens"
        f" each, {THREADS} threads\n"
        f"  xstilts                {mine:7.0f} tokens/s\n"
        f"  transformers.generate  {peer:7.0f} tokens/s   ours is {ratio:.2f} x",
        flush=True,
    )


def ours(shape: Shape, states: torch.Tensor) -> Callable[[], list[int]]:
    decoder = PointerDecoder(size=shape.size, layers=shape.layers, symbols=SYMBOLS, dropout=0.0).eval()
    there = torch.ones(states.shape[:2], dtype=torch.bool)

    @torch.inference_mode()
    def run() -> list[int]:
        memory = decoder.memory_of(states, there)
        return [len(each) for each in decoder.beam_search(memory, beams=BEAMS, most=TOKENS, least=TOKENS)]

    return run


def theirs(shape: Shape, states: torch.Tensor) -> Callable[[], list[int]]:
    heads = max(1, shape.size // HEAD_SIZE)
    config = BartConfig(
        vocab_size=SYMBOLS,
        d_model=shape.size,
        encoder_layers=1,
        decoder_layers=shape.layers,
        encoder_attention_heads=heads,
        decoder_attention_heads=heads,
        encoder_ffn_dim=4 * shape.size,
        decoder_ffn_dim=4 * shape.size,
        max_position_embeddings=2 * TOKENS,
        pad_token_id=1,
        bos_token_id=2,
        eos_token_id=0,
        decoder_start_token_id=0,
        forced_eos_token_id=None,
    )
    model = BartForConditionalGeneration(config).eval()
    there = torch.ones(states.shape[:2], dtype=torch.int64)

    @torch.inference_mode()
    def run() -> list[int]:
        written = model.generate(
            encoder_outputs=BaseModelOutput(last_hidden_state=states),
            attention_mask=there,
            num_beams=BEAMS,
            min_new_tokens=TOKENS,
            max_new_tokens=TOKENS,
            do_sample=False,
        )
        return [written.shape[1] - 1] * len(written)  # it begins with the start

    return run


if __name__ == "__main__":
    main()
