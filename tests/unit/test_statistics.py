"""Intervals, tests and scaling curves: properties, hand computations, scipy as oracle, and planted curves."""

import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy import stats

from xstilts.core.curves import Family, ScalingCurve, fit_curve
from xstilts.core.errors import UserError
from xstilts.core.statistics import (
    Interval,
    holm,
    mean_interval,
    paired_differences,
    paired_t_test,
    seed_means,
    sign_flip_test,
)

SCORES = st.floats(0, 100).map(lambda value: round(value, 3))
DIFFERENCES = st.lists(st.floats(-50, 50).map(lambda value: round(value, 3)), min_size=2, max_size=10)
P_VALUES = st.lists(st.floats(0, 1), max_size=12)
SIZES = [1_000, 3_000, 10_000, 30_000, 100_000, 392_702]


# ---- means


def test_the_interval_of_three_seeds_is_the_one_computed_by_hand() -> None:
    estimate = mean_interval([50.0, 52.0, 54.0])
    half = 4.302652729749464 * 2 / math.sqrt(3)  # t(0.975; 2), s = 2
    assert estimate.mean == 52
    assert estimate.interval == pytest.approx((52 - half, 52 + half))
    assert estimate.count == 3


@given(st.lists(SCORES, min_size=2, max_size=12), st.floats(0.5, 0.999))
def test_the_interval_agrees_with_scipy(values: list[float], confidence: float) -> None:
    assume(np.std(values) > 1e-3)
    low, high = stats.t.interval(confidence, len(values) - 1, loc=np.mean(values), scale=stats.sem(values))
    assert mean_interval(values, confidence=confidence).interval == pytest.approx((low, high), abs=1e-9)


def test_one_seed_has_a_mean_and_no_interval() -> None:
    estimate = mean_interval([51.5])
    assert (estimate.mean, estimate.interval, estimate.count) == (51.5, None, 1)


@pytest.mark.parametrize(
    ("values", "confidence", "message"),
    [
        pytest.param([], 0.95, "no values", id="no values"),
        pytest.param([1.0, math.nan], 0.95, "finite", id="a value that is no number"),
        pytest.param([1.0, 2.0], 95.0, "confidence: 95.0", id="a confidence in percent"),
    ],
)
def test_a_mean_refuses(values: list[float], confidence: float, message: str) -> None:
    with pytest.raises(UserError, match=message):
        mean_interval(values, confidence=confidence)


# ---- paired differences


def test_subset_seeds_are_averaged_within_their_training_seed() -> None:
    assert seed_means({2: [4.0], 1: [1.0, 3.0]}) == {1: 2.0, 2: 4.0}
    paired = paired_differences({1: [51.0, 53.0], 2: [55.0, 55.0]}, {1: 50.0, 2: 51.0})
    assert paired is not None
    assert paired.differences == {1: 2.0, 2: 4.0}
    assert paired.estimate.count == 2, "four trials, but two independent comparisons"


def test_training_seeds_of_one_side_only_are_left_out_and_named() -> None:
    paired = paired_differences({1: [51.0], 2: [52.0]}, {2: 50.0, 3: 49.0})
    assert paired is not None
    assert (paired.differences, paired.unpaired) == ({2: 2.0}, (1, 3))
    assert (paired.estimate.interval, paired.p_value, paired.sign_flip_p_value) == (None, None, None)


def test_without_a_common_seed_there_is_no_paired_difference() -> None:
    assert paired_differences({1: [51.0]}, {2: 50.0}) is None


def test_pairing_removes_the_noise_that_a_seed_has_on_both_sides() -> None:
    baseline = {1: 40.0, 2: 50.0, 3: 60.0}
    paired = paired_differences({1: [41.0], 2: [51.1], 3: [60.9]}, baseline)
    assert paired is not None
    assert paired.estimate.interval is not None
    assert paired.estimate.interval.low > 0.7


@given(DIFFERENCES)
def test_the_t_test_agrees_with_scipy(differences: list[float]) -> None:
    assume(np.std(differences) > 1e-3)
    assert paired_t_test(differences) == pytest.approx(stats.ttest_1samp(differences, 0).pvalue, abs=1e-9)


@given(DIFFERENCES)
def test_the_t_test_is_significant_exactly_where_the_interval_excludes_zero(differences: list[float]) -> None:
    assume(np.std(differences) > 1e-3)
    low, high = mean_interval(differences).interval or Interval(0, 0)
    p_value = paired_t_test(differences)
    assert p_value is not None
    assume(abs(p_value - 0.05) > 1e-6)
    assert (p_value < 0.05) == (not low <= 0 <= high)


@pytest.mark.parametrize("differences", [[2.0], [0.0, 0.0], [7.0, 7.0 + 1e-14, 7.0]])
def test_differences_without_spread_have_no_p_value(differences: list[float]) -> None:
    assert paired_t_test(differences) is None


@pytest.mark.parametrize(
    ("differences", "p_value"),
    [
        pytest.param([1.0, 2.0, 3.0], 2 / 8, id="three of a sign: only the pattern itself and its mirror image"),
        pytest.param([1.0, 2.0, -3.0], 1.0, id="a mean of zero"),
        pytest.param([3.0, 3.0, -1.0, 2.0], 4 / 16, id="counted by hand: sums of 7 and 9, and their mirror images"),
    ],
)
def test_the_sign_flip_test_counts_patterns(differences: list[float], p_value: float) -> None:
    assert sign_flip_test(differences) == p_value


@given(DIFFERENCES)
def test_the_sign_flip_test_agrees_with_scipy(differences: list[float]) -> None:
    expected = stats.permutation_test(
        (np.array(differences),), np.mean, permutation_type="samples", alternative="two-sided", n_resamples=np.inf
    )
    null = np.abs(expected.null_distribution)
    assume(not np.any((null != null.max()) & np.isclose(null, abs(np.mean(differences)), rtol=1e-9, atol=1e-9)))
    assert sign_flip_test(differences) == pytest.approx(np.mean(null >= abs(np.mean(differences)) - 1e-9))


@given(DIFFERENCES)
def test_the_sign_flip_test_ignores_signs_and_order(differences: list[float]) -> None:
    mirrored = [-value for value in reversed(differences)]
    assert sign_flip_test(differences) == sign_flip_test(mirrored) >= 2 / 2 ** len(differences)


def test_the_sign_flip_test_does_not_enumerate_for_ever() -> None:
    with pytest.raises(UserError, match="at most 16"):
        sign_flip_test([1.0] * 17)


# ---- many comparisons


def test_holm_agrees_with_the_computation_by_hand() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx((0.03, 0.06, 0.06, 0.02))


@given(P_VALUES)
def test_holm_keeps_order_and_lies_between_the_raw_p_value_and_bonferroni(p_values: list[float]) -> None:
    adjusted = holm(p_values)
    ranks = sorted(range(len(p_values)), key=p_values.__getitem__)
    assert [adjusted[i] for i in ranks] == sorted(adjusted)
    for raw, corrected in zip(p_values, adjusted, strict=True):
        assert raw <= corrected <= min(1.0, raw * len(p_values)) + 1e-12


def test_holm_refuses_what_is_no_probability() -> None:
    with pytest.raises(UserError, match="between 0 and 1"):
        holm([0.2, 1.2])


# ---- scaling curves


def planted(curve: Callable[[float], float], *, noise: float = 0.3, seeds: int = 5, random: int = 0) -> ScalingCurve:
    generator = np.random.default_rng(random)
    sizes = [float(size) for size in SIZES for _ in range(seeds)]
    return fit_curve(sizes, [curve(size) + generator.normal(0, noise) for size in sizes])


PLANTED = {
    Family.CONSTANT: lambda n: 51.0,
    Family.LOG: lambda n: 40 + 1.2 * math.log(n),
    Family.POWER: lambda n: 60 - 900 * n**-0.6,
    Family.QUADRATIC: lambda n: 10 + 8 * math.log(n) - 0.4 * math.log(n) ** 2,
}


@pytest.mark.parametrize("family", Family)
def test_a_planted_curve_is_recovered_from_noise(family: Family) -> None:
    curve = planted(PLANTED[family])
    assert curve.best.family is family
    for size in (*SIZES, 2 * SIZES[-1]):
        assert curve.predict(size) == pytest.approx(PLANTED[family](size), abs=0.6)


@pytest.mark.parametrize("family", Family)
def test_without_noise_the_parameters_are_exact_and_the_simplest_family_wins(family: Family) -> None:
    curve = planted(PLANTED[family], noise=0)
    expected = {
        Family.CONSTANT: [51.0],
        Family.LOG: [40, 1.2],
        Family.POWER: [60, 900, 0.6],
        Family.QUADRATIC: [10, 8, -0.4],
    }
    assert curve.best.family is family
    assert [p.value for p in curve.best.parameters] == pytest.approx(expected[family], rel=1e-3)


def test_intervals_of_parameters_cover_the_truth_as_often_as_they_say() -> None:
    covered = 0
    for random in range(200):
        curve = planted(PLANTED[Family.POWER], random=random)
        power = next(fit for fit in curve.fits if fit.family is Family.POWER)
        interval = power.parameters[0].interval
        assert interval is not None
        covered += interval.low <= 60 <= interval.high
    assert 180 <= covered <= 200


def test_aicc_and_the_slope_agree_with_scipy_and_the_formula() -> None:
    sizes, values = [1e3, 1e4, 1e5, 1e6, 1e3], [40.0, 43.0, 44.0, 47.5, 41.0]
    fit = next(fit for fit in fit_curve(sizes, values).fits if fit.family is Family.LOG)
    line = stats.linregress(np.log(sizes), values)
    residual_sum = float(np.sum((values - line.intercept - line.slope * np.log(sizes)) ** 2))
    half = stats.t.ppf(0.975, 3) * line.stderr
    assert [p.value for p in fit.parameters] == pytest.approx([line.intercept, line.slope])
    assert fit.parameters[1].interval == pytest.approx((line.slope - half, line.slope + half))
    assert fit.aicc == pytest.approx(5 * math.log(residual_sum / 5) + 2 * 3 + 2 * 3 * 4 / (5 - 3 - 1))


@given(st.lists(st.tuples(st.sampled_from(SIZES), SCORES), min_size=12, max_size=18))
def test_any_scores_give_ranked_families_whose_support_sums_to_one(points: list[tuple[int, float]]) -> None:
    assume(len({size for size, _ in points}) >= 4)
    curve = fit_curve(*zip(*points, strict=True))
    assert [fit.aicc for fit in curve.fits] == sorted(fit.aicc for fit in curve.fits)
    assert sum(fit.akaike_weight for fit in curve.fits) == pytest.approx(1)
    residuals = {fit.family: fit.residual_sum for fit in curve.fits}
    slack = 1e-6 * max(residuals.values()) + 1e-9
    assert residuals[Family.QUADRATIC] <= residuals[Family.LOG] + slack <= residuals[Family.CONSTANT] + 2 * slack
    assert residuals[Family.POWER] <= residuals[Family.CONSTANT] + slack


@given(st.lists(SCORES, min_size=6, max_size=6), st.floats(-10, 10), st.floats(0.1, 5))
def test_shifting_and_scaling_scores_changes_no_choice(values: list[float], shift: float, scale: float) -> None:
    assume(np.std(values) > 1)
    sizes = [float(size) for size in SIZES] * 2
    doubled = values + [value + 1 for value in values]
    before = fit_curve(sizes, doubled)
    after = fit_curve(sizes, [shift + scale * value for value in doubled])
    weights = {fit.family: fit.akaike_weight for fit in after.fits}
    assert {fit.family: fit.akaike_weight for fit in before.fits} == pytest.approx(weights, abs=1e-3)


def test_a_weight_of_two_moves_the_curve_like_two_observations() -> None:
    sizes, values = [1e3, 1e4, 1e5, 1e6, 1e6], [40.0, 43.0, 44.0, 47.5, 47.5]
    repeated = fit_curve(sizes, values)
    weighted = fit_curve([*sizes[:4], 1e3], [*values[:4], 40.0], weights=[0.5, 1, 1, 2, 0.5])
    by_family = {fit.family: fit for fit in weighted.fits}
    for fit in repeated.fits:
        twin = by_family[fit.family].parameters
        assert [p.value for p in fit.parameters] == pytest.approx([p.value for p in twin], rel=1e-5)


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        pytest.param([1e3, 1e4] * 5, "3 different sizes above 0, and there are 2", id="two sizes, however many seeds"),
        pytest.param([1e3, 1e4, 1e5], "at least 4 observations", id="three sizes of one seed"),
        pytest.param([0, 1e3, 1e4, 1e5], "the baseline, n = 0, is no point", id="the baseline"),
    ],
)
def test_a_curve_is_refused_with_the_reason(sizes: list[float], message: str) -> None:
    with pytest.raises(UserError, match=message):
        fit_curve(sizes, [50.0 + i for i in range(len(sizes))])


def test_families_with_too_few_points_are_skipped_with_the_reason() -> None:
    curve = fit_curve([1e3, 1e4, 1e5] * 3, [40.0, 44.0, 47.0, 41.0, 44.5, 48.0, 40.5, 43.0, 47.5])
    assert {fit.family for fit in curve.fits} == {Family.CONSTANT, Family.LOG}
    assert curve.skipped["power"] == "needs 4 different sizes, and there are 3"


@pytest.mark.parametrize("n", [0.0, 100.0, 3.01 * SIZES[-1]])
def test_predictions_far_from_the_data_are_refused(n: float) -> None:
    with pytest.raises(UserError, match="too far from the observed sizes"):
        planted(PLANTED[Family.LOG]).predict(n)
