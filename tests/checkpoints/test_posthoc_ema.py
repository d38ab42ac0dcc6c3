import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from guidebench.base import UserError
from guidebench.checkpoints.posthoc_ema import (
    MAX_SIGMA_REL,
    beta,
    coefficients,
    exponent,
    profile_errors,
    sigma_rel,
)

GOLDEN = Path(__file__).parents[1] / "golden" / "posthoc_ema.npz"
LENGTHS = st.floats(0.005, 0.28)


def test_exponents_are_the_published_ones() -> None:
    with np.load(GOLDEN, allow_pickle=False) as file:
        found = [exponent(float(s)) for s in file["stds"]]
        np.testing.assert_allclose(found, file["exponents"], rtol=1e-9)


def test_decays_are_the_published_ones() -> None:
    with np.load(GOLDEN, allow_pickle=False) as file:
        times = file["beta_t_next_t_delta"].tolist()
        found = [[beta(float(s), a, b) for a, b in times] for s in file["stds"]]
        np.testing.assert_allclose(found, file["beta"], rtol=1e-9, atol=1e-300)


def test_coefficients_are_the_published_ones() -> None:
    with np.load(GOLDEN, allow_pickle=False) as file:
        snapshots = list(zip(file["in_nimg"].tolist(), file["in_std"].tolist(), strict=True))
        results = [(float(file["out_nimg"]), float(s)) for s in file["out_std"]]
        expected = file["coefficients"]
    found = coefficients(snapshots, results)
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(found.sum(0), 1.0, atol=1e-9)


@given(LENGTHS)
def test_length_and_exponent_are_inverse(length: float) -> None:
    assert sigma_rel(exponent(length)) == pytest.approx(length, rel=1e-9)


@given(st.floats(0.001, 300))
def test_exponent_and_length_are_inverse(gamma: float) -> None:
    assert exponent(sigma_rel(gamma)) == pytest.approx(gamma, rel=1e-6, abs=1e-6)


@settings(deadline=None, max_examples=20)
@given(LENGTHS)
def test_length_is_the_profiles_standard_deviation(length: float) -> None:
    """By sums over tau^gamma on (0, 1)."""
    tau = (np.arange(20_000) + 0.5) / 20_000
    weight = tau ** exponent(length)
    weight /= weight.sum()
    mean = float(weight @ tau)
    assert math.sqrt(float(weight @ (tau - mean) ** 2)) == pytest.approx(length, rel=1e-3)


@pytest.mark.parametrize("length", [0.0, -0.1, MAX_SIGMA_REL, 0.3, math.inf, math.nan])
def test_lengths_that_do_not_exist_are_refused(length: float) -> None:
    with pytest.raises(UserError, match=r"an EMA length lies between 0 and 0\.2887, got"):
        exponent(length)


def test_a_snapshot_is_its_own_reconstruction() -> None:
    snapshots = [(t, length) for t in (100.0, 200.0) for length in (0.05, 0.10)]
    np.testing.assert_allclose(coefficients(snapshots, snapshots), np.eye(4), atol=1e-9)


def test_unit_of_time_does_not_matter() -> None:
    snapshots = [(t, length) for t in (100.0, 200.0) for length in (0.05, 0.10)]
    scaled = [(t * 2048, length) for t, length in snapshots]
    a, b = coefficients(snapshots, [(180.0, 0.07)]), coefficients(scaled, [(180.0 * 2048, 0.07)])
    np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-9)


def test_the_future_is_refused() -> None:
    with pytest.raises(UserError, match="an EMA at time 201 needs a snapshot from then on; the la"):
        coefficients([(200.0, 0.05)], [(201.0, 0.05)])
    with pytest.raises(UserError, match="the last is at 0"):
        coefficients([], [(1.0, 0.05)])


def test_profile_errors_are_distances_of_functions() -> None:
    """By sums over time, of the profiles as functions."""
    snapshots = [(t, s) for t in (40.0, 80.0, 100.0) for s in (0.05, 0.1)]
    results = [(100.0, 0.15), (70.0, 0.2), (80.0, 0.1)]
    weights = coefficients(snapshots, results)
    time = (np.arange(400_000) + 0.5) / 4000

    def profile(end: float, length: float) -> np.ndarray:
        gamma = exponent(length)
        return np.where(time < end, (gamma + 1) / end * (time / end) ** gamma, 0)

    made = np.stack([profile(*s) for s in snapshots], axis=1) @ weights
    wanted = np.stack([profile(*r) for r in results], axis=1)
    literal = np.linalg.norm(made - wanted, axis=0) / np.linalg.norm(wanted, axis=0)
    found = profile_errors(snapshots, results, weights)
    np.testing.assert_allclose(found[:2], literal[:2], rtol=1e-3)
    assert found[2] < 1e-6
    assert found[:2].min() > 0.01
