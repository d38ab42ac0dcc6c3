import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from guidebench.base import UserError
from guidebench.metrics import (
    Estimate,
    mean_log_density,
    occupancy_divergence,
    outlier_rate,
    simulated_floor,
    sliced_wasserstein,
)
from tests.metrics.calibration import calibrate, derivatives
from tests.reference import metrics_fractal as literal

Array = NDArray[np.float64]

CENTRES = np.array([[-2.0, 0.0], [0.0, 1.0], [1.0, -1.0], [3.0, 2.0]])
WEIGHTS = np.array([0.1, 0.2, 0.3, 0.4])

# Of (1/2, 1/2) and (1, 0): the middle is (3/4, 1/4).
HALF_EMPTY = (math.log2(4 / 3) + (math.log2(2 / 3) + math.log2(2)) / 2) / 2


def mixture(rng: np.random.Generator, count: int, weights: Array = WEIGHTS) -> Array:
    return CENTRES[rng.choice(4, count, p=weights)] + rng.standard_normal((count, 2))


def responsibilities(points: Array) -> Array:
    squared: Array = np.square(points[:, None] - CENTRES).sum(axis=2)
    joint: Array = WEIGHTS * np.exp(-squared / 2)
    joint /= joint.sum(axis=1, keepdims=True)
    return joint


def log_density(points: Array) -> Array:
    """Of N(0, I) in the plane; exp(-r^2 / 2) of the mass lies beyond r."""
    found: Array = -np.square(points).sum(axis=1) / 2 - math.log(2 * math.pi)
    return found


def test_outlier_rate_counts() -> None:
    found = outlier_rate(np.array([-1.0, -5.0, -3.0, -1e30]), -3.0)
    assert found.value == 0.5
    assert found.standard_error == pytest.approx(math.sqrt(1 / 3) / 2)


def test_outlier_rate_of_perfect_samples_at_the_99_percent_contour() -> None:
    rng = np.random.default_rng(0)
    threshold = math.log(0.01) - math.log(2 * math.pi)
    found = calibrate(
        lambda _: outlier_rate(log_density(rng.standard_normal((4000, 2))), threshold), 400
    )
    assert found.mean == pytest.approx(0.01, rel=0.03)
    assert found.ratio == pytest.approx(1.0, abs=0.1)


def test_mean_log_density_of_perfect_samples_is_minus_the_entropy() -> None:
    rng = np.random.default_rng(1)
    found = mean_log_density(log_density(rng.standard_normal((100_000, 2))))
    assert found.value == pytest.approx(-math.log(2 * math.pi * math.e), abs=0.01)
    assert found.standard_error == pytest.approx(1 / math.sqrt(100_000), rel=0.02)


def test_mean_log_density_far_from_the_data_is_finite() -> None:
    found = mean_log_density(np.array([-1.0, -1e300], dtype=np.float64))
    assert found.value == -5e299


@given(st.lists(st.floats(0.01, 1), min_size=4, max_size=4), st.integers(2, 20))
def test_occupancy_agrees_with_the_literal_form(raw: list[float], count: int) -> None:
    weights = np.array(raw) / sum(raw)
    rows = np.random.default_rng(count).dirichlet([0.3] * 4, size=count)
    expected = literal.occupancy_divergence(rows, weights, np.full(count, 1 / count))
    assert occupancy_divergence(rows, weights).value == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize(
    ("weights", "occupied", "bits"),
    [
        ([1.0, 0.0], [0.0, 1.0], 1.0),
        ([0.5, 0.5], [0.5, 0.5], 0.0),
        ([0.5, 0.5], [1.0, 0.0], HALF_EMPTY),
        ([1.0, 0.0], [0.5, 0.5], HALF_EMPTY),
        ([0.5, 0.5, 0.0], [0.5, 0.5, 0.0], 0.0),
    ],
)
def test_occupancy_with_empty_components(
    weights: list[float], occupied: list[float], bits: float
) -> None:
    found = occupancy_divergence(np.array([occupied] * 3), np.array(weights))
    assert found.value == pytest.approx(bits, abs=1e-12)
    assert literal.jensen_shannon_bits(occupied, weights) == pytest.approx(bits, abs=1e-12)


def test_occupancy_influence_is_the_derivative() -> None:
    rng = np.random.default_rng(2)
    rows = responsibilities(mixture(rng, 40, np.array([0.4, 0.3, 0.2, 0.1])))
    expected = derivatives(lambda w: literal.occupancy_divergence(rows, WEIGHTS, w), 40)
    found = occupancy_divergence(rows, WEIGHTS).influence_N
    np.testing.assert_allclose(found, expected, atol=1e-8)


def test_occupancy_standard_error_is_the_spread_over_fresh_draws() -> None:
    rng = np.random.default_rng(3)
    skewed = np.array([0.25, 0.25, 0.25, 0.25])
    found = calibrate(
        lambda _: occupancy_divergence(responsibilities(mixture(rng, 2000, skewed)), WEIGHTS), 1000
    )
    assert found.ratio == pytest.approx(1.0, abs=0.08)  # 1000 draws know a spread to 2.2 %
    assert found.coverage == pytest.approx(0.95, abs=0.03)


def test_occupancy_of_perfect_samples_falls_with_their_number() -> None:
    rng = np.random.default_rng(4)

    def floor(count: int) -> float:
        return simulated_floor(
            lambda _: occupancy_divergence(responsibilities(mixture(rng, count)), WEIGHTS).value,
            300,
        )[0]

    assert floor(100) / floor(1600) == pytest.approx(16.0, rel=0.25)


def test_occupancy_at_the_size_of_a_run_in_float32() -> None:
    rng = np.random.default_rng(5)
    rows = rng.random((8192, 1016), dtype=np.float32)
    rows /= rows.sum(axis=1, keepdims=True)
    weights = np.full(1016, 1 / 1016)
    found = occupancy_divergence(rows, weights)
    exact = occupancy_divergence(rows.astype(np.float64), weights)
    assert found.value == pytest.approx(exact.value, rel=1e-6)
    assert 0 < found.value < 1e-4


@pytest.mark.parametrize(
    ("rows", "weights", "complaint"),
    [
        ([[0.5, 0.4], [0.5, 0.5]], [0.5, 0.5], "a sum is off by 0.1"),
        ([[1.5, -0.5], [0.5, 0.5]], [0.5, 0.5], "at least 0"),
        ([[0.5, 0.5], [0.5, 0.5]], [1.0, 1.0], "a sum is off by 1"),
        ([[0.5, np.nan], [0.5, 0.5]], [0.5, 0.5], "1 of 2 values of the responsibilities"),
        ([[0.5, 0.5]], [0.5, 0.5], "at least 2 samples, got 1"),
    ],
)
def test_occupancy_refuses_what_is_no_distribution(
    rows: list[list[float]], weights: list[float], complaint: str
) -> None:
    with pytest.raises(UserError, match=complaint):
        occupancy_divergence(np.array(rows), np.array(weights))


def test_occupancy_refuses_other_numbers_of_components() -> None:
    with pytest.raises(ValueError, match=r"of 2 components, weights of shape \(3,\)"):
        occupancy_divergence(np.full((2, 2), 0.5), np.full(3, 1 / 3))


@pytest.mark.parametrize(("n", "r"), [(12, 12), (12, 36), (36, 12), (12, 7), (5, 1), (2, 9)])
def test_sliced_agrees_with_the_literal_form(n: int, r: int) -> None:
    rng = np.random.default_rng(6)
    x, y = rng.standard_normal((n, 2)), rng.standard_normal((r, 2)) * [1.0, 3.0] + 0.2
    expected = literal.sliced_wasserstein(x, np.full(n, 1 / n), y, 8)
    assert sliced_wasserstein(x, y, 8).value == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize(("n", "r"), [(12, 12), (12, 36), (36, 12), (12, 7)])
def test_sliced_influence_is_the_derivative(n: int, r: int) -> None:
    """Where levels of both coincide the derivative has two sides: the influence is their mean."""
    rng = np.random.default_rng(7)
    x, y = rng.standard_normal((n, 2)), rng.standard_normal((r, 2)) * [1.0, 3.0] + 0.2
    expected = derivatives(lambda w: literal.sliced_wasserstein(x, w, y, 8), n, step=1e-6)
    found = sliced_wasserstein(x, y, 8)
    np.testing.assert_allclose(found.influence_N, expected, atol=1e-5)
    assert found.influence_N.mean() == pytest.approx(0.0, abs=1e-12)


@given(st.floats(-5, 5), st.floats(-5, 5))
def test_sliced_of_a_shift(dx: float, dy: float) -> None:
    x = np.random.default_rng(8).standard_normal((50, 2))
    found = sliced_wasserstein(x + np.array([dx, dy]), x, 16)
    assert found.value == pytest.approx(math.hypot(dx, dy) / math.sqrt(2), abs=1e-7)


def test_sliced_of_two_normals_of_other_width() -> None:
    """N(0, 4 I) to N(0, I): the quantiles are twice as far out, so the distance is 1."""
    rng = np.random.default_rng(9)
    x, y = 2 * rng.standard_normal((20_000, 2)), rng.standard_normal((40_000, 2))
    found = sliced_wasserstein(x, y, 16)
    assert found.value == pytest.approx(1.0, abs=4 * found.standard_error + 0.01)


def test_sliced_of_a_set_to_itself_is_nothing() -> None:
    x = np.random.default_rng(10).standard_normal((50, 2)).astype(np.float32)
    found = sliced_wasserstein(x, x[::-1], 5)
    assert (found.value, found.standard_error) == (0.0, 0.0)


def test_sliced_ignores_the_order_of_the_points_and_influence_follows_it() -> None:
    rng = np.random.default_rng(11)
    x, y, order = rng.random((30, 2)), rng.random((60, 2)), rng.permutation(30)
    a, b = sliced_wasserstein(x, y, 4), sliced_wasserstein(x[order], y, 4)
    assert a.value == pytest.approx(b.value, rel=1e-14)
    np.testing.assert_allclose(a.influence_N[order], b.influence_N, atol=1e-14)


def test_sliced_standard_error_is_the_spread_over_fresh_draws() -> None:
    rng = np.random.default_rng(12)
    reference = mixture(rng, 4000)
    shares = np.array([0.2, 0.2, 0.3, 0.3])
    found = calibrate(lambda _: sliced_wasserstein(mixture(rng, 1000, shares), reference, 8), 400)
    assert found.ratio == pytest.approx(1.0, abs=0.08)
    assert found.coverage == pytest.approx(0.95, abs=0.03)


def test_common_seeds_tighten_a_sliced_comparison() -> None:
    rng = np.random.default_rng(13)
    reference = mixture(rng, 4000)

    def both() -> tuple[Estimate, Estimate]:
        x = mixture(rng, 1000)
        return sliced_wasserstein(1.2 * x, reference, 8), sliced_wasserstein(1.3 * x, reference, 8)

    differences = [a.difference(b) for a, b in (both() for _ in range(200))]
    spread = float(np.std([d.value for d in differences], ddof=1))
    paired = float(np.mean([d.standard_error for d in differences]))
    assert paired == pytest.approx(spread, rel=0.12)
    assert paired < np.mean([d.unpaired_standard_error for d in differences]) / 3


def test_sliced_at_the_size_of_a_run() -> None:
    x, y = np.random.default_rng(14).standard_normal((2, 8192, 2))
    found = sliced_wasserstein(x, y, 64)
    assert 0 < found.value < 0.1


def test_sliced_refusals() -> None:
    x = np.zeros((3, 2))
    with pytest.raises(ValueError, match=r"points must have 2 coordinates, got shape \(3, 3\)"):
        sliced_wasserstein(np.zeros((3, 3)), x, 4)
    with pytest.raises(ValueError, match="num_directions must be at least 1, got 0"):
        sliced_wasserstein(x, x, 0)
    with pytest.raises(UserError, match="no reference points"):
        sliced_wasserstein(x, x[:0], 4)
    with pytest.raises(UserError, match="3 of 6 values of points are not finite"):
        sliced_wasserstein(x + np.array([0.0, np.nan]), x, 4)
    with pytest.raises(UserError, match="at least 2 samples, got 1"):
        sliced_wasserstein(x[:1], x, 4)


def test_simulated_floor_is_a_mean_with_its_error() -> None:
    mean, error = simulated_floor(lambda i: i**2 / 2, 5)
    values = [0.0, 0.5, 2.0, 4.5, 8.0]
    assert mean == pytest.approx(3.0)
    assert error == pytest.approx(float(np.std(values, ddof=1)) / math.sqrt(5))
    with pytest.raises(UserError, match="simulated floor needs at least 2 samples, got 1"):
        simulated_floor(lambda _: 1.0, 1)
