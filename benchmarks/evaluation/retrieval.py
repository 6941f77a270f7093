"""Seconds of exact nearest-neighbour search on the CPU: our search in blocks, and faiss' `IndexFlatIP`.

    python -m benchmarks.evaluation.retrieval

Both find the 4 nearest of as many normalized vectors of 768 numbers for each vector, in float32 with 2 threads, in
turns. Random vectors are all about equally near; clustered ones have near neighbours, as sentences have. Building
faiss' index is not timed. Answers are equal where all places are, or scores differ by less than rounding does.
"""

import argparse
import statistics
import time
from collections.abc import Callable
from typing import Any

import faiss
import numpy as np
import torch

from xstilts.training.search import nearest

SIZE, NEIGHBOURS, THREADS = 768, 4, 2
CLUSTERS = 2_000
ROUNDING = 1e-5


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=100_000, help="vectors on either side")
    parser.add_argument("--repeats", type=int, default=1)
    options, _ = parser.parse_known_args()
    torch.set_num_threads(THREADS)
    faiss.omp_set_num_threads(THREADS)
    random = np.random.default_rng(0)
    for name, make in {"random": spread, "clustered": clustered}.items():
        queries, index = make(random, options.rows), make(random, options.rows)
        compare(name, queries, index, options.repeats)


def spread(random: np.random.Generator, rows: int) -> np.ndarray[Any, Any]:
    vectors = random.standard_normal((rows, SIZE), dtype=np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def clustered(random: np.random.Generator, rows: int) -> np.ndarray[Any, Any]:
    centres = spread(np.random.default_rng(1), CLUSTERS)
    vectors = centres[random.integers(CLUSTERS, size=rows)] + 0.5 * spread(random, rows)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def compare(name: str, queries: np.ndarray[Any, Any], index: np.ndarray[Any, Any], repeats: int) -> None:
    flat = faiss.IndexFlatIP(SIZE)
    flat.add(index)

    def ours() -> tuple[Any, Any]:
        with torch.inference_mode():
            found = nearest(torch.from_numpy(queries), torch.from_numpy(index), NEIGHBOURS)
        return found.values.numpy(), found.places.numpy()

    def theirs() -> tuple[Any, Any]:
        values, places = flat.search(queries, NEIGHBOURS)
        return values, places

    times: list[list[float]] = [[], []]
    for _ in range(repeats):
        (values, places), (their_values, their_places) = (
            timed(search, each) for search, each in zip((ours, theirs), times, strict=True)
        )
    same = (places == their_places) | (np.abs(values - their_values) < ROUNDING)
    mine, peer = (statistics.median(each) for each in times)
    ratio = statistics.median(b / a for a, b in zip(*times, strict=True))
    print(
        f"retrieval, {len(queries):,} x {len(index):,} {name} vectors of {SIZE}, top {NEIGHBOURS}, {THREADS} threads\n"
        f"  xstilts            {mine:7.1f} s\n"
        f"  faiss IndexFlatIP  {peer:7.1f} s   ours is {ratio:.2f} x   "
        f"equal places {(places == their_places).mean():.4%}, but for rounding {same.mean():.4%}",
        flush=True,
    )


def timed(search: Callable[[], Any], times: list[float]) -> Any:
    begin = time.perf_counter()
    found = search()
    times.append(time.perf_counter() - begin)
    return found


if __name__ == "__main__":
    main()
