"""Kernel distances: against loops over pairs, against torch-fidelity, and their errors."""

import math
from collections.abc import Callable

import numpy as np
import pytest
from torch_fidelity.metric_kid import kernel_poly, mmd2

from guidebench.base import UserError
from guidebench.metrics import kernel
from guidebench.metrics.kernel import cmmd, kid, mmd

from .calibration import calibrate

RNG = np.random.default_rng(0)
SAMPLES = RNG.normal(size=(60, 8)).astype(np.float32)
REAL = (RNG.normal(size=(45, 8)) * 1.2 + 0.1).astype(np.float32)


def by_loops(a: np.ndarray, b: np.ndarray, k: Callable[..., float]) -> float:
    n, m = len(a), len(b)
    own = sum(k(a[i], a[j]) for i in range(n) for j in range(n) if i != j) / (n * (n - 1))
    real = sum(k(b[i], b[j]) for i in range(m) for j in range(m) if i != j) / (m * (m - 1))
    cross = sum(k(x, y) for x in a for y in b) / (n * m)
    return float(own + real - 2 * cross)


def test_kid_is_the_sum_over_pairs() -> None:
    a, b = SAMPLES.astype(float), REAL.astype(float)
    literal = by_loops(a, b, lambda x, y: (x @ y / 8 + 1) ** 3)
    assert kid(SAMPLES, REAL).value == pytest.approx(literal, rel=1e-10)


def test_kid_is_torch_fidelitys() -> None:
    a, b = SAMPLES[:45].astype(float), REAL.astype(float)
    options = {"kid_kernel_poly_degree": 3, "kid_kernel_poly_gamma": None,
               "kid_kernel_poly_coef0": 1.0}  # fmt: skip
    theirs = mmd2(*(kernel_poly(x, y, **options) for x, y in ((a, a), (a, b), (b, b))))
    assert kid(SAMPLES[:45], REAL).value == pytest.approx(theirs, rel=1e-10)


def test_cmmd_is_the_sum_over_pairs_of_unit_vectors() -> None:
    a, b = (x / np.linalg.norm(x, axis=1, keepdims=True) for x in (SAMPLES, REAL))
    literal = by_loops(a, b, lambda x, y: math.exp(-float(((x - y) ** 2).sum()) / 200))
    assert cmmd(SAMPLES, REAL).value == pytest.approx(1000 * literal, rel=1e-4)
    assert cmmd(8 * SAMPLES, REAL).value == pytest.approx(cmmd(SAMPLES, REAL).value, rel=1e-9)


def test_tiles_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = kid(SAMPLES, REAL)
    monkeypatch.setattr(kernel, "TILE", 7)
    tiled = kid(SAMPLES, REAL)
    assert tiled.value == pytest.approx(whole.value, rel=1e-12)
    np.testing.assert_allclose(tiled.influence_N, whole.influence_N, rtol=1e-10, atol=1e-12)


def test_terms_add_up_and_influences_have_mean_0() -> None:
    found = kid(SAMPLES, REAL)
    assert sum(found.terms.values()) == pytest.approx(found.value, rel=1e-12)
    assert abs(found.influence_N.mean()) < 1e-12


def test_intervals_cover_the_expectation() -> None:
    """Against a fixed reference: fresh samples, expectation by many."""
    rng = np.random.default_rng(1)
    real = rng.normal(size=(150, 4))

    found = calibrate(lambda _: kid(rng.normal(size=(400, 4)) * 1.3, real), 400)
    assert 0.92 <= found.coverage <= 0.98
    assert found.ratio == pytest.approx(1, abs=0.1)


def test_bad_input_is_refused() -> None:
    with pytest.raises(UserError, match="feature dimensions differ: 8 and 7"):
        kid(SAMPLES, REAL[:, :7])
    with pytest.raises(UserError, match="at least 2 samples, got 1"):
        kid(SAMPLES[:1], REAL)
    with pytest.raises(UserError, match="are not finite"):
        kid(SAMPLES, np.full((3, 8), np.nan))
    with pytest.raises(UserError, match="sigma must be above 0"):
        cmmd(SAMPLES, REAL, sigma=0)
    with pytest.raises(ValueError, match="must have 2 axes"):
        mmd(SAMPLES[0], REAL, lambda a, b: a @ b.T)
