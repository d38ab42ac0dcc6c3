import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from guidebench.base import UserError
from guidebench.metrics import Estimate, mean_estimate, pool
from tests.metrics.calibration import calibrate

NUMBERS = st.lists(st.floats(-1e3, 1e3), min_size=2, max_size=30)


@given(NUMBERS)
def test_mean_has_the_textbook_standard_error(numbers: list[float]) -> None:
    values = np.array(numbers)
    estimate = mean_estimate(values)
    expected = values.std(ddof=1) / math.sqrt(values.size)
    assert estimate.value == pytest.approx(values.mean())
    assert estimate.standard_error == pytest.approx(expected, abs=1e-12)
    assert estimate.influence_N.mean() == pytest.approx(0.0, abs=1e-12)


def test_interval_is_symmetric_and_of_the_normal_width() -> None:
    estimate = mean_estimate(np.array([0.0, 1.0, 2.0, 3.0]))
    low, high = estimate.interval_95
    assert (low + high) / 2 == pytest.approx(estimate.value)
    assert (high - low) / estimate.standard_error == pytest.approx(2 * 1.959963984540054)


def test_interval_of_a_mean_covers_the_expectation() -> None:
    rng = np.random.default_rng(0)
    found = calibrate(lambda _: mean_estimate(rng.exponential(size=200)), 2000)
    assert found.ratio == pytest.approx(1.0, abs=0.03)
    assert found.coverage == pytest.approx(0.95, abs=0.015)


@given(NUMBERS)
def test_difference_of_means_is_the_mean_of_differences(numbers: list[float]) -> None:
    a = np.array(numbers)
    b = np.sin(a) + 0.5 * a
    difference = mean_estimate(a).difference(mean_estimate(b))
    direct = mean_estimate(a - b)
    assert difference.value == pytest.approx(direct.value, abs=1e-9)
    assert difference.standard_error == pytest.approx(direct.standard_error, abs=1e-9)
    assert difference.interval_95 == pytest.approx(direct.interval_95, abs=1e-9)
    assert difference.num_seeds == a.size


def test_common_seeds_tighten_a_difference() -> None:
    common, own_a, own_b = np.random.default_rng(1).standard_normal((3, 5000))
    a, b = mean_estimate(common + 0.1 * own_a), mean_estimate(common + 0.1 * own_b)
    difference = a.difference(b)
    assert difference.standard_error == pytest.approx(0.1 * math.sqrt(2 / 5000), rel=0.05)
    assert difference.unpaired_standard_error == pytest.approx(math.sqrt(2.02 / 5000), rel=0.05)


def test_nothing_differs_from_itself() -> None:
    a = mean_estimate(np.array([1.0, 2.0, 4.0]))
    difference = a.difference(a)
    assert (difference.value, difference.standard_error) == (0.0, 0.0)


def test_different_numbers_of_seeds_do_not_pair() -> None:
    a, b = mean_estimate(np.arange(3.0)), mean_estimate(np.arange(4.0))
    with pytest.raises(UserError, match="cannot pair 3 seeds with 4; measure both on the same"):
        a.difference(b)


def test_pooled_means_are_the_mean_of_all() -> None:
    values = np.random.default_rng(2).standard_normal((3, 100))
    pooled = pool([mean_estimate(v) for v in values])
    whole = mean_estimate(values.ravel())
    assert pooled.value == pytest.approx(whole.value)
    assert pooled.num_seeds == 300
    # The spread between the three means is not in the influences: a part in a hundred here.
    assert pooled.standard_error == pytest.approx(whole.standard_error, rel=0.02)


def test_pool_averages_terms() -> None:
    influence = np.array([-1.0, 1.0])
    parts = [Estimate(value=v, influence_N=influence, terms={"mean": v}) for v in (1.0, 3.0)]
    pooled = pool(parts)
    assert dict(pooled.terms) == {"mean": 2.0}
    assert pooled.standard_error == pytest.approx(math.sqrt(4 / 3) / 2)


def test_pool_of_nothing_or_of_unlike_things_is_refused() -> None:
    a, b = mean_estimate(np.arange(3.0)), mean_estimate(np.arange(4.0))
    with pytest.raises(UserError, match="no repeats to pool"):
        pool([])
    with pytest.raises(UserError, match="cannot pool repeats of 3 and 4 seeds"):
        pool([a, b])
    other = Estimate(value=1.0, influence_N=a.influence_N, terms={"mean": 1.0})
    with pytest.raises(UserError, match=r"cannot pool terms \(\) with \('mean',\)"):
        pool([a, other])


def test_one_seed_has_no_spread() -> None:
    with pytest.raises(UserError, match="at least 2 samples, got 1; raise the number of seeds"):
        mean_estimate(np.array([1.0]))


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_non_finite_numbers_are_counted_and_refused(bad: float) -> None:
    with pytest.raises(UserError, match="1 of 3 values of a mean are not finite"):
        mean_estimate(np.array([1.0, bad, 2.0]))
    with pytest.raises(UserError, match="1 of 1 values of the estimate are not finite"):
        Estimate(value=bad, influence_N=np.zeros(2))


def test_values_must_lie_along_one_axis() -> None:
    with pytest.raises(ValueError, match=r"1 axis \(samples\), got shape \(2, 2\)"):
        mean_estimate(np.zeros((2, 2)))
