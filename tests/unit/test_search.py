"""Exact nearest neighbours against a search that compares everything, and bitext mining against its rules in loops."""

import math
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from xstilts.api.training import RetrievalSettings, Similarity
from xstilts.metrics.bitext import best_threshold, pair_scores
from xstilts.training import search
from xstilts.training.retrieval import candidates, margins
from xstilts.training.search import nearest

FEW = arrays.arrays(
    np.float32, st.tuples(st.integers(0, 9), st.just(3)), elements=st.sampled_from([-1.0, 0.0, 0.5, 1.0])
)


def brute_force(queries: np.ndarray, index: np.ndarray, k: int) -> list[list[tuple[float, int]]]:
    products = queries @ index.T
    return [sorted((-float(value), place) for place, value in enumerate(row))[:k] for row in products]


@given(queries=FEW, index=FEW, k=st.integers(1, 12))
def test_few_vectors_with_many_ties(queries: np.ndarray, index: np.ndarray, k: int) -> None:
    found = nearest(torch.from_numpy(queries), torch.from_numpy(index), k)
    expected = brute_force(queries, index, k)
    assert found.places.tolist() == [[place for _, place in row] for row in expected]
    assert found.values.tolist() == [[-value for value, _ in row] for row in expected]


@pytest.mark.parametrize("order", ["random", "ascending", "descending", "equal"])
@pytest.mark.parametrize("size", [1, 63, 64, 65, 300, 1000])
def test_many_blocks(monkeypatch: pytest.MonkeyPatch, size: int, order: str) -> None:
    """Small blocks, and products that come in the worst and in the best order."""
    monkeypatch.setattr(search, "QUERIES", 7)
    monkeypatch.setattr(search, "PLACES", 192)
    random = np.random.default_rng(size)
    queries = random.normal(size=(20, 8)).astype(np.float32)
    index = random.normal(size=(size, 8)).astype(np.float32)
    if order == "equal":
        index[:] = index[0]
    elif order != "random":
        by_product = np.argsort((index @ queries[0]) * (1 if order == "ascending" else -1))
        index, queries = index[by_product], np.repeat(queries[:1], 20, axis=0)
    for k in (1, 4, 70):
        found = nearest(torch.from_numpy(queries), torch.from_numpy(index), k)
        products = queries.astype(np.float64) @ index.T.astype(np.float64)
        expected = -np.sort(-products, axis=1)[:, :k]
        np.testing.assert_allclose(found.values.numpy(), expected, rtol=1e-5, atol=1e-5)
        taken = np.take_along_axis(products, found.places.numpy(), axis=1)
        np.testing.assert_allclose(taken, expected, rtol=1e-5, atol=1e-5)
        assert all(len(set(row)) == len(row) for row in found.places.tolist())
        if order == "equal":
            assert found.places.tolist() == [list(range(min(k, size)))] * 20


def test_margins_are_cosines_over_the_mean_of_both_neighbourhoods() -> None:
    random = np.random.default_rng(0)
    first, second = (
        x / np.linalg.norm(x, axis=1, keepdims=True) for x in (random.normal(size=(n, 5)) + 1 for n in (9, 7))
    )
    forward, backward = margins(torch.tensor(first).float(), torch.tensor(second).float(), 4)
    cosines = first @ second.T
    own = np.array([np.mean(sorted(row)[-4:]) for row in cosines])
    others = np.array([np.mean(sorted(row)[-4:]) for row in cosines.T])
    expected = cosines / ((own[:, None] + others[None, :]) / 2)
    for row in range(9):
        places = forward.places[row].tolist()
        assert sorted(places) == sorted(np.argsort(-cosines[row])[:4].tolist())
        assert forward.values[row].tolist() == pytest.approx(expected[row, places].tolist(), rel=1e-5)
    for row in range(7):
        places = backward.places[row].tolist()
        assert backward.values[row].tolist() == pytest.approx(expected[places, row].tolist(), rel=1e-5)


def mined_in_loops(first: np.ndarray, second: np.ndarray, k: int) -> list[tuple[int, int]]:
    """The rules of `mine_bitext` with `--retrieval max --margin ratio`, a pair at a time; not where scores are equal."""
    cosines = first @ second.T
    own = [np.mean(sorted(row)[-min(k, len(second)) :]) for row in cosines]
    others = [np.mean(sorted(row)[-min(k, len(first)) :]) for row in cosines.T]
    score = {(i, j): cosines[i, j] / ((own[i] + others[j]) / 2) for i in range(len(first)) for j in range(len(second))}
    near = [np.argsort(-row, kind="stable")[:k] for row in cosines]
    near_back = [np.argsort(-row, kind="stable")[:k] for row in cosines.T]
    wanted = [(i, int(max(near[i], key=lambda j: score[i, j]))) for i in range(len(first))]
    wanted += [(int(max(near_back[j], key=lambda i: score[i, j])), j) for j in range(len(second))]
    distinct = sorted(score[pair] for pair in set(wanted))
    assume(all(later - sooner > 1e-5 for sooner, later in pairwise(distinct)))
    rows, columns, pairs = set[int](), set[int](), []
    for i, j in sorted(wanted, key=lambda pair: -score[pair]):
        if i not in rows and j not in columns and score[i, j] > 0:
            rows.add(i)
            columns.add(j)
            pairs.append((i, j))
    return pairs


@given(seed=st.integers(0, 10_000), rows=st.integers(1, 12), columns=st.integers(1, 12), k=st.integers(2, 6))
def test_pairs_are_those_of_the_reference_rules(seed: int, rows: int, columns: int, k: int) -> None:
    random = np.random.default_rng(seed)
    first, second = (
        torch.nn.functional.normalize(torch.tensor(random.normal(size=(n, 4)) + 0.8).float(), dim=1)
        for n in (rows, columns)
    )
    foreign, english = (
        {f"{side} {n}": f"{side}-{n}" for n in range(size)} for side, size in (("x", rows), ("e", columns))
    )
    found = candidates(foreign, english, first, second, RetrievalSettings(neighbours=k))
    expected = mined_in_loops(first.numpy().astype(np.float64), second.numpy().astype(np.float64), k)
    assert [(pair.foreign, pair.english) for pair in found] == [(f"x-{i}", f"e-{j}") for i, j in expected]
    assert [pair.score for pair in found] == sorted((pair.score for pair in found), reverse=True)


def test_a_sentence_that_occurs_again_takes_part_without_an_id() -> None:
    vectors = torch.eye(2)
    found = candidates({"a": None, "b": "x-2"}, {"A": "e-1", "B": "e-2"}, vectors, vectors, RetrievalSettings())
    assert [(pair.foreign, pair.english) for pair in found] == [("x-2", "e-2")]
    by_cosine = RetrievalSettings(similarity=Similarity.COSINE)
    assert [p.score for p in candidates({"a": "x-1"}, {"A": "e-1"}, vectors[:1], vectors[:1], by_cosine)] == [1.0]
    assert candidates({}, {"A": "e-1"}, vectors[:0], vectors[:1], RetrievalSettings()) == []


SCORED = st.lists(st.tuples(st.sampled_from([0.5, 0.8, 1.0, 1.1, 1.5]) | st.floats(0.1, 2), st.booleans()), max_size=30)


@given(scored=SCORED, missed=st.integers(0, 5))
def test_no_threshold_gives_a_higher_f1_where_scores_differ(scored: Sequence[tuple[float, bool]], missed: int) -> None:
    scores = [score for score, _ in scored]
    right = [is_right for _, is_right in scored]
    wanted = sum(right) + missed

    def f1(threshold: float) -> float:
        taken = [is_right for score, is_right in zip(scores, right, strict=True) if score >= threshold]
        return 2 * sum(taken) / (len(taken) + wanted) if sum(taken) else 0.0

    threshold = best_threshold(scores, right, wanted=wanted)
    if len(set(scores)) == len(scores):
        assert f1(threshold) == pytest.approx(max([f1(score) for score in scores], default=0.0))
    if not any(right):
        assert threshold == 0


def test_the_threshold_lies_between_the_last_pair_taken_and_the_first_one_left() -> None:
    assert best_threshold([1.4, 1.0, 1.2], [True, False, True], wanted=2) == pytest.approx(1.1)
    assert best_threshold([1.2], [True], wanted=1) == 1.2


GOLD = st.lists(st.lists(st.sampled_from("abcd"), unique=True, max_size=2), min_size=1, max_size=12)


@given(gold=GOLD, data=st.data())
def test_pair_scores_count_pairs_as_sets_do(gold: list[list[str]], data: st.DataObject) -> None:
    options = st.none() | st.sampled_from("abcd").map(lambda identity: {"id": identity, "score": 1.0})
    predictions = data.draw(st.lists(options, min_size=len(gold), max_size=len(gold)))
    wanted = {(row, identity) for row, ids in enumerate(gold) for identity in ids}
    found = {(row, pair["id"]) for row, pair in enumerate(predictions) if pair}
    scores = pair_scores(gold, predictions)
    right = len(wanted & found)
    assert scores["precision"] == pytest.approx(100 * right / len(found) if found else 0)
    assert scores["recall"] == pytest.approx(100 * right / len(wanted) if wanted else 0)
    p, r = scores["precision"], scores["recall"]
    assert math.isclose(scores["f1"], 2 * p * r / (p + r) if p + r else 0)
    perfect = [{"id": ids[0], "score": 1.0} if ids else None for ids in gold if len(ids) < 2]
    if len(perfect) == len(gold) and any(perfect):
        assert pair_scores(gold, perfect)["f1"] == 100
