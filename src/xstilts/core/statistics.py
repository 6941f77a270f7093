"""What may be said about means and differences over a few training seeds. Pure: no I/O, no randomness.

Called by `xstilts.report` and by the controller's status; scaling curves are next door, in `xstilts.core.curves`.

A replicate is one *training seed*. Subset seeds are averaged within their training seed first: all trials of a training
seed are compared with the same baseline run, so their differences share that run's noise, and to count each as
independent would narrow the interval by up to the root of their number. Intervals therefore speak about new training
seeds, given the subsets that were drawn.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import special

from xstilts.core.errors import UserError

Vector = NDArray[np.float64]

CONFIDENCE = 0.95
MAX_ENUMERATED = 16
"""Differences up to which all sign flips are enumerated (65,536 of them)."""


class Interval(NamedTuple):
    low: float
    high: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Estimate:
    """A mean over replicates."""

    mean: float
    interval: Interval | None
    """None for a single replicate, which says nothing about noise."""
    count: int
    """Replicates."""


@dataclass(frozen=True, kw_only=True, slots=True)
class PairedDifference:
    """Treatment minus baseline, paired by training seed."""

    differences: dict[int, float]
    """By training seed."""
    unpaired: tuple[int, ...]
    """Training seeds that only one side has; left out."""
    estimate: Estimate
    p_value: float | None
    """Two-sided paired t test, the dual of the interval; None where `paired_t_test` says none."""
    sign_flip_p_value: float | None
    """The same without assuming a normal distribution; with n pairs it is never below 2 / 2**n."""


def mean_interval(values: Sequence[float], *, confidence: float = CONFIDENCE) -> Estimate:
    """Mean and its Student t interval: mean ± t(1 - alpha/2; n - 1) · s / sqrt(n) (Student 1908).

    Raises UserError without values, for values that are not finite, and for a confidence outside (0, 1).
    """
    array = _finite(values)
    if not 0 < confidence < 1:
        raise UserError(f"confidence: {confidence} is not between 0 and 1; write 0.95 for 95 %")
    mean = float(array.mean())
    if len(array) == 1:
        return Estimate(mean=mean, interval=None, count=1)
    half = t_quantile(confidence, degrees=len(array) - 1) * _standard_error(array)
    return Estimate(mean=mean, interval=Interval(mean - half, mean + half), count=len(array))


def t_quantile(confidence: float, *, degrees: int) -> float:
    """How many standard errors a two-sided t interval reaches to each side."""
    return float(special.stdtrit(degrees, (1 + confidence) / 2))


def seed_means(values: Mapping[int, Sequence[float]]) -> dict[int, float]:
    """One replicate a training seed: the mean over its subset seeds, in the order of the seeds."""
    return {seed: float(_finite(values[seed]).mean()) for seed in sorted(values)}


def paired_differences(
    treatment: Mapping[int, Sequence[float]], baseline: Mapping[int, float], *, confidence: float = CONFIDENCE
) -> PairedDifference | None:
    """Treatment minus baseline by training seed; `treatment` holds one value a subset seed, averaged first.

    None where no training seed is on both sides: an unpaired difference would mix in the noise between seeds.
    """
    means = seed_means(treatment)
    differences = {seed: mean - baseline[seed] for seed, mean in means.items() if seed in baseline}
    if not differences:
        return None
    values = list(differences.values())
    return PairedDifference(
        differences=differences,
        unpaired=tuple(sorted(means.keys() ^ baseline.keys())),
        estimate=mean_interval(values, confidence=confidence),
        p_value=paired_t_test(values),
        sign_flip_p_value=sign_flip_test(values) if 1 < len(values) <= MAX_ENUMERATED else None,
    )


def paired_t_test(differences: Sequence[float]) -> float | None:
    """Two-sided p value of Student's paired t test for mean 0.

    None for a single pair, and for differences that are equal but for rounding: on a small test set that happens by
    chance, and says nothing about noise.
    """
    array = _finite(differences)
    if np.ptp(array) <= 1e-9 * np.abs(array).max():
        return None
    statistic = float(array.mean()) / _standard_error(array)
    return float(2 * special.stdtr(len(array) - 1, -abs(statistic)))


def sign_flip_test(differences: Sequence[float]) -> float:
    """Two-sided p value of the exact permutation test for paired data (Fisher 1935; Pitman 1937).

    If the recipe changed nothing, each difference could as well have the other sign. The p value is the share of all
    2**n sign patterns whose mean is at least as far from 0 as the observed one.
    """
    array = _finite(differences)
    if len(array) > MAX_ENUMERATED:
        raise UserError(
            f"{len(array)} differences have 2**{len(array)} sign patterns; "
            f"give at most {MAX_ENUMERATED}, or use the t test"
        )
    signs = np.array(list(product((1.0, -1.0), repeat=len(array))))
    sums = np.abs(signs @ array)
    tolerance = 1e-12 * np.abs(array).sum()  # patterns that tie but for rounding count as ties
    return float(np.mean(sums >= sums[0] - tolerance))


def holm(p_values: Sequence[float]) -> tuple[float, ...]:
    """Adjusted p values in the given order, for a family-wise error rate (Holm 1979).

    The i-th smallest of m, from 0, is multiplied by m - i; the results are made monotone and capped at 1.
    """
    if any(not 0 <= p <= 1 for p in p_values):
        raise UserError(f"p values must lie between 0 and 1, not {list(p_values)}")
    order = sorted(range(len(p_values)), key=p_values.__getitem__)
    adjusted, largest = [0.0] * len(p_values), 0.0
    for rank, index in enumerate(order):
        largest = max(largest, min(1.0, (len(order) - rank) * p_values[index]))
        adjusted[index] = largest
    return tuple(adjusted)


def _finite(values: Sequence[float]) -> Vector:
    array = np.asarray(values, dtype=np.float64)
    if not array.size:
        raise UserError("no values given; a mean needs at least one")
    if not np.isfinite(array).all():
        raise UserError(f"values must be finite numbers, not {list(values)}")
    return array.reshape(-1)


def _standard_error(array: Vector) -> float:
    return float(array.std(ddof=1)) / math.sqrt(len(array))
