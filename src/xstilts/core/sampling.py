"""Shares of a whole: mixture weights, and the one apportionment that splits rows over strata and tasks."""

import heapq
from collections.abc import Sequence
from fractions import Fraction

from xstilts.api.study import Sampling, SamplingStrategy

MIXTURE_PARTS = 1_000_000
"""Mixture weights are integers out of a million, so that they hash equally everywhere."""


def mixture_weights(sampling: Sampling, sizes: Sequence[int]) -> list[int]:
    """Weight of each task of a mixture in parts per million, from the full sizes of the data sets.

    The strategies are jiant's (science.md, section 3); none of them repeats or drops data by itself.
    """
    capped = [min(size, sampling.cap or size) for size in sizes]
    match sampling.strategy:
        case SamplingStrategy.PROPORTIONAL:
            raw = [Fraction(size) for size in capped]
        case SamplingStrategy.TEMPERATURE:
            exponent = 1 / float(sampling.temperature or "1")
            raw = [Fraction(size**exponent).limit_denominator(10**9) for size in capped]
        case SamplingStrategy.UNIFORM:
            raw = [Fraction(1) for _ in sizes]
        case SamplingStrategy.SPECIFIED:
            raw = [Fraction(weight) for weight in sampling.weights or ()]
    return apportion(MIXTURE_PARTS, weights=raw, capacities=[MIXTURE_PARTS] * len(raw))


def apportion(total: int, *, weights: Sequence[int | Fraction], capacities: Sequence[int]) -> list[int]:
    """Splits `total` in proportion to `weights`, none above its capacity, by Webster's (Sainte-Laguë's) method.

    Seats are handed out in the order of (r + 1/2) / weight, r being the rank within the part. That order does not
    depend on `total`, so the split is monotone: a larger total takes away from nobody. This is what makes every
    prefix of a subset stratified and all sizes nested. Equal quotients go to the earlier part.

    Raises ValueError when the capacities cannot hold the total.
    """
    if total > sum(capacity for weight, capacity in zip(weights, capacities, strict=True) if weight > 0):
        raise ValueError(f"{total} exceeds what the parts hold: {list(capacities)}")
    shares = _floor_shares(total, weights, capacities)
    queue = [
        (Fraction(2 * share + 1) / (2 * Fraction(weight)), part)
        for part, (share, weight, capacity) in enumerate(zip(shares, weights, capacities, strict=True))
        if weight > 0 and share < capacity
    ]
    heapq.heapify(queue)
    for _ in range(total - sum(shares)):
        _, part = heapq.heappop(queue)
        shares[part] += 1
        if shares[part] < capacities[part]:
            heapq.heappush(queue, (Fraction(2 * shares[part] + 1) / (2 * Fraction(weights[part])), part))
    return shares


def _floor_shares(total: int, weights: Sequence[int | Fraction], capacities: Sequence[int]) -> list[int]:
    """Seats that every part gets for certain, so that only the last few need the queue.

    By its exact quota q a part has at least floor(q) - parts seats in Webster's order: the sum over the others cannot
    exceed their quotas by more than half a seat each.
    """
    whole = sum(Fraction(weight) for weight in weights)
    if not whole:
        return [0] * len(weights)
    return [
        max(0, min(capacity, int(total * Fraction(weight) / whole) - len(weights)))
        for weight, capacity in zip(weights, capacities, strict=True)
    ]
