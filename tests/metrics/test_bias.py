"""Bias-corrected Fréchet distances: against blocks taken literally, and the truth."""

import numpy as np
import pytest

from guidebench.base import UserError
from guidebench.metrics import GaussianReference, MomentSums, frechet, frechet_distance
from guidebench.metrics.bias import fd_infinity, jackknife
from guidebench.metrics.frechet import frechet_to
from guidebench.metrics.moments import Moments
from tests.metrics.calibration import calibrate

DIM = 12
COV = np.diag(np.linspace(1.0, 0.2, DIM))
REFERENCE = GaussianReference.from_moments(Moments(np.zeros(DIM), COV, 10**6), name="truth")


def draw(num: int, seed: int, scale: float = 1.1) -> np.ndarray:
    found: np.ndarray = np.random.default_rng(seed).normal(size=(num, DIM)) * np.sqrt(np.diag(COV))
    return found * scale


TRUTH = float((0.1**2) * np.trace(COV))


def test_jackknife_is_the_literal_one() -> None:
    features, blocks = draw(210, 0), 10
    found = jackknife(features, REFERENCE, blocks=blocks)
    whole = frechet(features, REFERENCE).value
    parts = np.array_split(np.arange(210), blocks)
    left = [frechet(np.delete(features, p, axis=0), REFERENCE).value for p in parts]
    pseudo = blocks * whole - (blocks - 1) * np.array(left)
    assert found.at_n == pytest.approx(whole, rel=1e-9)
    assert found.value == pytest.approx(pseudo.mean(), rel=1e-7)
    assert found.standard_error == pytest.approx(pseudo.std(ddof=1) / np.sqrt(blocks), rel=1e-6)


def test_bias_goes_and_intervals_cover_the_truth() -> None:
    """200 sets of 800, stated seeds: the plain value is far off, the corrected one is not."""
    plain, corrected, infinite, inside = [], [], [], 0
    for seed in range(200):
        features = draw(800, 1000 + seed)
        found = jackknife(features, REFERENCE)
        plain.append(found.at_n)
        corrected.append(found.value)
        if seed < 60:
            infinite.append(fd_infinity(features, REFERENCE, seed=seed).value)
        inside += found.interval_95[0] <= TRUTH <= found.interval_95[1]
    assert np.mean(plain) > 1.2 * TRUTH
    assert np.mean(corrected) == pytest.approx(TRUTH, rel=0.03)
    assert np.mean(infinite) == pytest.approx(TRUTH, rel=0.06)
    assert np.std(corrected[:60]) < 1.2 * np.std(infinite)
    assert 0.92 <= inside / 200 <= 0.98


def test_fd_infinity_is_the_intercept() -> None:
    features = draw(400, 5)
    order = np.random.default_rng(3).permutation(400)
    sizes = np.linspace(40, 400, 15).round().astype(int)
    values = [frechet(features[order[:n]], REFERENCE).value for n in sizes]
    slope, intercept = np.polyfit(1 / sizes, values, 1)
    assert slope > 0
    assert fd_infinity(features, REFERENCE, seed=3).value == pytest.approx(intercept, rel=1e-6)


def test_fd_infinitys_error_is_the_spread_over_fresh_draws() -> None:
    """Wider than the plain distance's: early samples are in more of the sets."""
    found = calibrate(lambda i: fd_infinity(draw(800, 3000 + i), REFERENCE, seed=i), 120)
    assert found.ratio == pytest.approx(1, abs=0.15)
    plain = calibrate(lambda i: frechet(draw(800, 3000 + i), REFERENCE), 120)
    assert found.mean_standard_error > 1.1 * plain.mean_standard_error


def test_a_reference_with_its_factor_gives_the_same_distance() -> None:
    sums = MomentSums(DIM)
    sums.update(draw(300, 1))
    moments = sums.finish()
    other = Moments(REFERENCE.mean_D, REFERENCE.cov_DD, 10**6)
    assert frechet_to(moments, REFERENCE) == pytest.approx(frechet_distance(moments, other))


def test_bad_input_is_refused() -> None:
    with pytest.raises(UserError, match="30 samples do not fill 20 blocks of 2"):
        jackknife(draw(30, 0), REFERENCE)
    with pytest.raises(UserError, match="FD-infinity needs at least 2 samples"):
        fd_infinity(draw(12, 0), REFERENCE)
