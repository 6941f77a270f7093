"""Scaling curves: how a score depends on the number n of intermediate training rows. Pure and deterministic.

Four families are fitted by least squares and compared by AICc, because a power law alone cannot say that size has no
effect, or that more data hurts (science.md, section 8, protocol e):

    constant   c                             no effect of size beyond "some data"
    log        a + b·log n                   steady gains a decade
    power      c - a·n**(-b)                 saturation at c (Hestness et al. 2017, with offset)
    quadratic  a + b·log n + d·(log n)**2    an inverted U

The baseline, n = 0, is no point of a curve: log 0 does not exist, and no intermediate phase is another treatment than
a short one.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

import numpy as np

from xstilts.core.errors import UserError
from xstilts.core.statistics import CONFIDENCE, Interval, Vector, t_quantile

MIN_SIZES = 3
"""Distinct sizes below which nothing is fitted: two cannot tell a line from a curve or a level from a slope."""
EXTRAPOLATION = 3.0
"""Factor beyond the observed sizes up to which a curve predicts (protocol j)."""
EXPONENTS = (0.02, 3.0)
"""Bounds of b in the power family: below, it is a logarithm over any data we have; above, a step."""


class Family(StrEnum):
    """Families of curves, the simpler first."""

    CONSTANT = "constant"
    LOG = "log"
    POWER = "power"
    QUADRATIC = "quadratic"


@dataclass(frozen=True, kw_only=True, slots=True)
class Parameter:
    name: str
    value: float
    interval: Interval | None
    """t interval from the curvature of the fit; None where the data do not determine the parameter."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Fit:
    """One family, fitted."""

    family: Family
    parameters: tuple[Parameter, ...]
    residual_sum: float
    """Weighted sum of squared residuals."""
    aicc: float
    akaike_weight: float = 1.0
    """Relative support among the families that could be fitted; they sum to 1 (Burnham & Anderson 2002, 2.9)."""

    def __call__(self, n: float) -> float:
        """The curve at n, without any guard; see `ScalingCurve.predict`."""
        return float(_evaluate(self.family, [p.value for p in self.parameters], np.array([float(n)]))[0])


@dataclass(frozen=True, kw_only=True, slots=True)
class ScalingCurve:
    """The families that the data can tell apart, best first."""

    fits: tuple[Fit, ...]
    skipped: dict[str, str]
    """Family to the reason why it was not fitted."""
    smallest: float
    largest: float
    """Range of the observed sizes."""
    observations: int

    @property
    def best(self) -> Fit:
        """The family of lowest AICc."""
        return self.fits[0]

    def predict(self, n: float) -> float:
        """The best curve at n rows. Raises UserError beyond 3x the observed sizes, on either side."""
        low, high = self.smallest / EXTRAPOLATION, self.largest * EXTRAPOLATION
        if not low <= n <= high:
            raise UserError(
                f"n = {n:g} is too far from the observed sizes {self.smallest:g} to {self.largest:g}: predictions "
                f"reach from {low:g} to {high:g}; train at a size nearer to it"
            )
        return self.best(n)


def fit_curve(
    sizes: Sequence[float], values: Sequence[float], *, weights: Sequence[float] | None = None
) -> ScalingCurve:
    """Fits all families to observations (size, value), several of one size allowed, and ranks them by AICc.

    AICc = m·ln(RSS/m) + 2k + 2k(k + 1)/(m - k - 1), with m observations and k parameters, the variance counted (Hurvich
    & Tsai 1989). A family needs one distinct size more than it has coefficients (the constant two), and m > k + 1.
    `weights` are inverse variances up to a factor. They are the same for all families, as AICc compares likelihoods of
    one error model. Hestness et al. weigh by n (`weights=sizes`), which fits a noise that shrinks with n and a curve
    meant for the largest sizes; scores averaged over a fixed test set have about the same noise at every size, so equal
    weights are the default.

    Raises UserError, saying what is missing, with fewer than 3 distinct sizes or too few observations for any family.
    """
    x, y, w = _observations(sizes, values, weights)
    distinct = len(np.unique(x))
    if distinct < MIN_SIZES:
        raise UserError(f"a curve needs at least {MIN_SIZES} different sizes above 0, and there are {distinct}")
    fits, skipped = [], {}
    for family, solve in _SOLVERS.items():
        if reason := _unfit(family, distinct=distinct, observations=len(x)):
            skipped[str(family)] = reason
        else:
            fits.append(_fit(family, solve(x, y, w), x, y, w))
    if not fits:
        raise UserError(f"a curve needs at least 4 observations (sizes x seeds), and there are {len(x)}")
    return ScalingCurve(
        fits=_ranked(fits),
        skipped=skipped,
        smallest=float(x.min()),
        largest=float(x.max()),
        observations=len(x),
    )


def _observations(
    sizes: Sequence[float], values: Sequence[float], weights: Sequence[float] | None
) -> tuple[Vector, Vector, Vector]:
    given = [1.0] * len(sizes) if weights is None else weights
    if not len(sizes) == len(values) == len(given):
        raise UserError(f"{len(sizes)} sizes, {len(values)} values and {len(given)} weights; give as many of each")
    x, y, w = (np.asarray(column, dtype=np.float64) for column in (sizes, values, given))
    if not (np.isfinite(x).all() and np.isfinite(y).all() and np.isfinite(w).all()):
        raise UserError("sizes, values and weights must be finite numbers")
    if (x <= 0).any() or (w <= 0).any():
        raise UserError("sizes and weights must be above 0; the baseline, n = 0, is no point of a curve")
    return x, y, w / w.mean() if len(w) else w


# ---- families: names of coefficients, values, and derivatives

_COEFFICIENTS = {
    Family.CONSTANT: ("c",),
    Family.LOG: ("a", "b"),
    Family.POWER: ("c", "a", "b"),
    Family.QUADRATIC: ("a", "b", "d"),
}


def _evaluate(family: Family, coefficients: Sequence[float], x: Vector) -> Vector:
    if family is Family.POWER:
        c, a, b = coefficients
        return np.asarray(c - a * x**-b, dtype=np.float64)
    return np.asarray(_log_design(x, degree=len(coefficients) - 1) @ np.asarray(coefficients), dtype=np.float64)


def _jacobian(family: Family, coefficients: Sequence[float], x: Vector) -> Vector:
    if family is Family.POWER:
        _, a, b = coefficients
        return np.column_stack([np.ones_like(x), -(x**-b), a * x**-b * np.log(x)])
    return _log_design(x, degree=len(coefficients) - 1)


def _log_design(x: Vector, *, degree: int) -> Vector:
    return np.vander(np.log(x), degree + 1, increasing=True)


# ---- least squares


def _polynomial(degree: int) -> Callable[[Vector, Vector, Vector], list[float]]:
    def solve(x: Vector, y: Vector, w: Vector) -> list[float]:
        return _linear(_log_design(x, degree=degree), y, w)

    return solve


def _linear(design: Vector, y: Vector, w: Vector) -> list[float]:
    root = np.sqrt(w)
    return [float(value) for value in np.linalg.lstsq(design * root[:, None], y * root, rcond=None)[0]]


def _power(x: Vector, y: Vector, w: Vector) -> list[float]:
    """Variable projection (Golub & Pereyra 1973): c and a are linear given b, so only b is searched.

    A grid finds the valley and a bounded search its floor; no start values, hence the same answer everywhere. Sizes are
    divided by the smallest, so that n**(-b) stays near 1.
    """
    from scipy.optimize import minimize_scalar

    scaled = x / x.min()

    def linear(log_b: float) -> list[float]:
        return _linear(np.column_stack([np.ones_like(x), -(scaled ** -math.exp(log_b))]), y, w)

    def residual_sum(log_b: float) -> float:
        c, a = linear(log_b)
        return float(w @ (y - c + a * scaled ** -math.exp(log_b)) ** 2)

    grid = np.linspace(math.log(EXPONENTS[0]), math.log(EXPONENTS[1]), 41)
    lowest = int(np.argmin([residual_sum(log_b) for log_b in grid]))
    bounds = (grid[max(lowest - 1, 0)], grid[min(lowest + 1, len(grid) - 1)])
    log_b = float(minimize_scalar(residual_sum, bounds=bounds, method="bounded", options={"xatol": 1e-9}).x)
    c, a = linear(log_b)
    return [c, a * float(x.min()) ** math.exp(log_b), math.exp(log_b)]


_SOLVERS: dict[Family, Callable[[Vector, Vector, Vector], list[float]]] = {
    Family.CONSTANT: _polynomial(0),
    Family.LOG: _polynomial(1),
    Family.POWER: _power,
    Family.QUADRATIC: _polynomial(2),
}


# ---- comparison


def _unfit(family: Family, *, distinct: int, observations: int) -> str | None:
    """Why the family cannot be fitted, or None."""
    coefficients = len(_COEFFICIENTS[family])
    if distinct <= coefficients:
        return f"needs {coefficients + 1} different sizes, and there are {distinct}"
    least = coefficients + 3  # AICc divides by m - k - 1, with k = coefficients + 1
    if observations < least:
        return f"needs {least} observations, and there are {observations}"
    return None


def _fit(family: Family, coefficients: list[float], x: Vector, y: Vector, w: Vector) -> Fit:
    residuals = y - _evaluate(family, coefficients, x)
    residual_sum = float(w @ residuals**2)
    intervals = _intervals(family, coefficients, residual_sum, x, w)
    names = _COEFFICIENTS[family]
    return Fit(
        family=family,
        parameters=tuple(
            Parameter(name=name, value=value, interval=interval)
            for name, value, interval in zip(names, coefficients, intervals, strict=True)
        ),
        residual_sum=residual_sum,
        aicc=_aicc(residual_sum, scale=float(np.abs(y).max()), observations=len(y), parameters=len(names) + 1),
    )


def _aicc(residual_sum: float, *, scale: float, observations: int, parameters: int) -> float:
    """Residuals below the rounding of the values count as rounding, so that an exact fit is no infinite support."""
    variance = max(residual_sum / observations, (1e-9 * max(scale, 1.0)) ** 2)
    correction = 2 * parameters * (parameters + 1) / (observations - parameters - 1)
    return observations * math.log(variance) + 2 * parameters + correction


def _intervals(
    family: Family, coefficients: list[float], residual_sum: float, x: Vector, w: Vector
) -> list[Interval | None]:
    """coefficient ± t·se, with the covariance s²·(J'WJ)⁻¹ (Bates & Watts 1988, 2.3); exact for the linear families."""
    jacobian = _jacobian(family, coefficients, x)
    scale = np.linalg.norm(jacobian, axis=0)
    degrees = len(x) - len(coefficients)
    if not scale.all() or np.linalg.matrix_rank(jacobian / scale) < len(coefficients):
        return [None] * len(coefficients)
    unit = jacobian / scale * np.sqrt(w)[:, None]
    errors = np.sqrt(np.diag(np.linalg.inv(unit.T @ unit)) * residual_sum / degrees) / scale
    halves = t_quantile(CONFIDENCE, degrees=degrees) * errors
    return [Interval(float(c - half), float(c + half)) for c, half in zip(coefficients, halves, strict=True)]


def _ranked(fits: list[Fit]) -> tuple[Fit, ...]:
    """Best first; a tie goes to the simpler family."""
    lowest = min(fit.aicc for fit in fits)
    support = [math.exp((lowest - fit.aicc) / 2) for fit in fits]
    weighted = [replace(fit, akaike_weight=weight / sum(support)) for fit, weight in zip(fits, support, strict=True)]
    return tuple(sorted(weighted, key=lambda fit: fit.aicc))
