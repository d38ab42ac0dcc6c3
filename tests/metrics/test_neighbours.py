"""Precision, recall, density, coverage and copies: against loops, and torch-fidelity."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch_fidelity.metric_prc import calculate_precision_recall_full

from guidebench.base import UserError
from guidebench.metrics import kernel
from guidebench.metrics.neighbours import copies, manifold, nearest_squared

RNG = np.random.default_rng(0)
SAMPLES = RNG.normal(size=(70, 5))
REAL = RNG.normal(size=(50, 5)) * 0.8 + 0.3


def literal(a: np.ndarray, b: np.ndarray, k: int) -> tuple[float, float, float, float]:
    """Precision, recall, density, coverage, by loops."""

    def ball(rows: np.ndarray, place: int) -> float:
        others = [((rows[place] - r) ** 2).sum() for j, r in enumerate(rows) if j != place]
        return float(sorted(others)[k - 1])

    balls_b, balls_a = [ball(b, j) for j in range(len(b))], [ball(a, i) for i in range(len(a))]
    near = np.array([[((x - y) ** 2).sum() for y in b] for x in a])
    inside = near <= np.array(balls_b)
    recalled = [(near[:, j] <= np.array(balls_a)).any() for j in range(len(b))]
    return (
        float(inside.any(1).mean()), float(np.mean(recalled)),
        float(inside.sum() / (k * len(a))), float(inside.any(0).mean()),
    )  # fmt: skip


@pytest.mark.parametrize("k", [1, 3, 5])
def test_all_four_are_the_literal_ones(k: int) -> None:
    found = manifold(SAMPLES, REAL, k=k)
    values = [e.value for e in (found.precision, found.recall, found.density, found.coverage)]
    np.testing.assert_allclose(values, literal(SAMPLES, REAL, k), rtol=1e-12)


def test_precision_and_recall_are_torch_fidelitys() -> None:
    found = manifold(SAMPLES, REAL, k=3)
    theirs = calculate_precision_recall_full(torch.tensor(SAMPLES), torch.tensor(REAL), 3)
    assert (found.precision.value, found.recall.value) == pytest.approx(theirs, abs=1e-6)


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 10_000), st.sampled_from([3, 7, 11, 64]))
def test_tiles_change_nothing(seed: int, tile: int) -> None:
    rng = np.random.default_rng(seed)
    a, b = rng.integers(0, 4, (23, 3)).astype(float), rng.integers(0, 4, (17, 3)).astype(float)
    whole, copied = manifold(a, b, k=2), copies(a, b)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(kernel, "TILE", tile)
        tiled, copied_tiled = manifold(a, b, k=2), copies(a, b)
    for name in ("precision", "recall", "density", "coverage"):
        one, other = getattr(whole, name), getattr(tiled, name)
        assert one.value == other.value
        if name != "coverage":
            np.testing.assert_array_equal(one.influence_N, other.influence_N)
    np.testing.assert_array_equal(copied.ratio_N, copied_tiled.ratio_N)


def test_coverages_influence_is_the_jackknifes() -> None:
    found = manifold(SAMPLES, REAL, k=2).coverage
    left_out = [
        manifold(np.delete(SAMPLES, i, axis=0), REAL, k=2).coverage.value for i in range(70)
    ]
    loss = found.value - np.array(left_out)
    np.testing.assert_allclose(found.influence_N, 69 * (loss - loss.mean()), atol=1e-9)


def test_copies_are_found_and_named() -> None:
    rng = np.random.default_rng(2)
    training = rng.normal(size=(40, 6))
    samples = np.concatenate([training[[7, 30]] + 1e-3, rng.normal(size=(10, 6))])
    found = copies(samples, training)
    assert found.nearest_N[:2].tolist() == [7, 30]
    assert (found.ratio_N[:2] < 0.01).all()
    assert found.share.value == pytest.approx(2 / 12, abs=1e-12)
    first = np.sort(((samples[:, None] - training) ** 2).sum(-1), axis=1)
    np.testing.assert_allclose(found.ratio_N, np.sqrt(first[:, 0] / first[:, 1]), rtol=1e-6)


def test_equal_images_are_at_distance_0() -> None:
    a = np.array([[1.0, 2.0], [1.0, 2.0], [5.0, 5.0]])
    np.testing.assert_array_equal(nearest_squared(a, None, 1)[:, 0], [0, 0, 25])
    assert copies(a, np.array([[1.0, 2.0], [1.0, 2.0]])).ratio_N[0] == 0


def test_bad_input_is_refused() -> None:
    with pytest.raises(UserError, match="no 50-th neighbours"):
        manifold(SAMPLES, REAL, k=50)
    with pytest.raises(UserError, match="feature dimensions differ"):
        manifold(SAMPLES, REAL[:, :2], k=3)
    with pytest.raises(UserError, match="no second neighbour"):
        copies(SAMPLES, REAL[:1])
