import numpy as np
import pytest
from numpy.typing import NDArray

from guidebench.base import UserError
from guidebench.metrics import nearest_is_training, perfect_nearest_share
from tests.reference import metrics_memorisation as literal

RNG = np.random.default_rng(0)
TRAINING: NDArray[np.float64] = RNG.standard_normal((40, 5))
HELD_OUT: NDArray[np.float64] = RNG.standard_normal((20, 5))


def test_agrees_with_the_literal_form() -> None:
    samples = np.random.default_rng(1).standard_normal((1300, 5))
    expected = literal.nearest_is_training(samples, TRAINING, HELD_OUT)
    assert nearest_is_training(samples, TRAINING, HELD_OUT).value == pytest.approx(expected)


def test_copies_score_one_and_held_out_images_nothing() -> None:
    assert nearest_is_training(TRAINING, TRAINING, HELD_OUT).value == 1.0
    assert nearest_is_training(HELD_OUT, TRAINING, HELD_OUT).value == 0.0


def test_ties_count_one_half() -> None:
    samples = np.array([[0.0], [1.0], [0.25]])
    found = nearest_is_training(samples, np.array([[-1.0], [1.0]]), np.array([[1.0]]))
    assert found.value == pytest.approx(0.5)
    found = nearest_is_training(samples, np.array([[0.0]]), np.array([[0.5]]))
    assert found.value == pytest.approx((1 + 0 + 0.5) / 3)


def test_small_distances_far_from_the_origin_are_exact() -> None:
    training = np.full((1, 64), 1e8)
    held_out = training + np.eye(64)[:1] * 1e-6
    assert nearest_is_training(np.repeat(training, 2, axis=0), training, held_out).value == 1.0


def test_perfect_samples_get_the_share_of_the_split() -> None:
    """On average over random splits, as the docstring says."""
    rng = np.random.default_rng(2)
    shares = [
        nearest_is_training(
            rng.standard_normal((20, 2)),
            rng.standard_normal((30, 2)),
            rng.standard_normal((10, 2)),
        ).value
        for _ in range(1500)
    ]
    error = float(np.std(shares, ddof=1)) / np.sqrt(1500)
    assert error < 0.01
    assert np.mean(shares) == pytest.approx(perfect_nearest_share(30, 10), abs=3 * error)


def test_refusals() -> None:
    with pytest.raises(UserError, match="40 training and 0 held-out images cannot be compared"):
        nearest_is_training(TRAINING, TRAINING, HELD_OUT[:0])
    with pytest.raises(ValueError, match="samples have 4 dimensions, training images have 5"):
        nearest_is_training(TRAINING[:, :4], TRAINING, HELD_OUT)
    with pytest.raises(UserError, match="200 of 200 values of samples are not finite"):
        nearest_is_training(np.full((40, 5), np.nan), TRAINING, HELD_OUT)
    with pytest.raises(UserError, match="at least 2 samples, got 1"):
        nearest_is_training(TRAINING[:1], TRAINING, HELD_OUT)
