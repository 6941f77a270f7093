"""Exact search for nearest neighbours by inner product, in blocks.

Products are what it takes time for; all else is arranged so that they are read once. Of a block of products only the
maxima of small groups are compared with what is known already, and but for the first blocks few groups hold anything
better. Beside both matrices and the answer, memory for a few blocks of products is needed, whatever their sizes; for
some twenty where nearly all products are equal.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from xstilts.training.linear import linear

QUERIES, PLACES, GROUP = 1024, 4096, 64
"""Of one block: 16 MiB of products, compared in groups of 64."""


class Neighbours(NamedTuple):
    values: Tensor
    """[queries, k]: inner products, descending."""
    places: Tensor
    """[queries, k] int64: rows of the index; the lower one first where products are equal."""


@torch.inference_mode()
def nearest(queries: Tensor, index: Tensor, k: int) -> Neighbours:
    """The `k` rows of `index` [n, size] with the highest inner products for each of `queries` [q, size], float32.

    All rows where there are fewer. Equal inputs give equal answers on the same device. All numbers must be finite.
    """
    k = min(k, len(index))
    values = queries.new_empty(len(queries), k)
    places = torch.empty(len(queries), k, dtype=torch.int64, device=queries.device)
    for begin in range(0, len(queries), QUERIES):
        part = slice(begin, begin + QUERIES)
        values[part], places[part] = _nearest(queries[part], index, k)
    return Neighbours(values, places)


def _nearest(queries: Tensor, index: Tensor, k: int) -> Neighbours:
    best = Neighbours(
        queries.new_full((len(queries), k), -torch.inf),
        torch.zeros(len(queries), k, dtype=torch.int64, device=queries.device),
    )
    for begin in range(0, len(index), PLACES):
        products = _products(queries, index[begin : begin + PLACES])
        _take(best, products, begin)
    return best


def _products(queries: Tensor, block: Tensor) -> Tensor:
    """[queries, rows], rows padded to whole groups with minus infinity."""
    products = linear(queries, block, None)
    missing = -len(block) % GROUP
    return torch.nn.functional.pad(products, (0, missing), value=-torch.inf) if missing else products


def _take(best: Neighbours, products: Tensor, begin: int) -> None:
    """Puts into `best` what is better among the products with the rows of the index from `begin` on."""
    k, groups = best.values.shape[1], products.shape[1] // GROUP
    grouped = products.view(len(products), GROUP, groups)  # a group is every `groups`-th column
    maxima = grouped.amax(dim=1)
    # To come in, a product must be above the k-th best so far, and at least the k-th highest of the maxima.
    above = best.values[:, -1]
    least = maxima.topk(k, dim=1).values[:, -1] if groups >= k else above
    query, group = ((maxima > above[:, None]) & (maxima >= least[:, None])).nonzero(as_tuple=True)
    candidates = grouped.transpose(1, 2)[query, group]
    hit, member = ((candidates > above[query, None]) & (candidates >= least[query, None])).nonzero(as_tuple=True)
    query, place, value = query[hit], member * groups + group[hit], candidates[hit, member]
    order = (query * products.shape[1] + place).argsort()
    _merge(best, query[order], place[order] + begin, value[order])


def _merge(best: Neighbours, query: Tensor, place: Tensor, value: Tensor) -> None:
    """Candidates ascend by query and place; a stable sort keeps the lower place in front, and known ones first."""
    if not len(query):
        return
    k = best.values.shape[1]
    rows, row, counts = torch.unique_consecutive(query, return_inverse=True, return_counts=True)
    column = k + torch.arange(len(query), device=query.device) - (counts.cumsum(0) - counts)[row]
    values = best.values.new_full((len(rows), k + int(counts.max())), -torch.inf)
    places = best.places.new_zeros(values.shape)
    values[:, :k], places[:, :k] = best.values[rows], best.places[rows]
    values[row, column], places[row, column] = value, place
    ordered, sources = values.sort(dim=1, descending=True, stable=True)
    best.values[rows], best.places[rows] = ordered[:, :k], places.gather(1, sources[:, :k])
