"""What a perfect sampler scores, against perfect samplers: exact draws, measured as others are."""

import numpy as np
import pytest
from numpy.typing import NDArray

from guidebench.base import UserError
from guidebench.metrics import GaussianReference, Moments, frechet, frechet_noise_floor
from guidebench.metrics.noise_floor import _closed_form

Array = NDArray[np.float64]


def population(cov: Array) -> GaussianReference:
    """Exact moments, as if from very many images."""
    return GaussianReference.from_moments(Moments(np.zeros(len(cov)), cov, 10**9), name="exact")


def spectrum_of(power: float) -> Array:
    return np.arange(1, 25, dtype=np.float64) ** -power


def turned(spectrum: Array) -> Array:
    """A covariance with these eigenvalues, whose axes are not the features'."""
    axes = np.linalg.qr(np.random.default_rng(1).standard_normal((len(spectrum),) * 2))[0]
    cov: Array = axes * spectrum @ axes.T
    return np.asarray((cov + cov.T) / 2)


def scores(cov: Array, num: int, repeats: int) -> Array:
    rng, reference = np.random.default_rng(8), population(cov)
    factor = np.linalg.cholesky(cov)
    draws = (rng.standard_normal((num, len(cov))) @ factor.T for _ in range(repeats))
    return np.array([frechet(x, reference).value for x in draws])


@pytest.mark.parametrize("power", [0.5, 1.0, 2.0])
@pytest.mark.parametrize("num", [3, 12, 24, 95, 96, 500])
def test_it_is_the_mean_score_of_a_perfect_sampler(power: float, num: int) -> None:
    """Within 4 standard errors of both means, and 6 % where the closed form begins."""
    cov = turned(spectrum_of(power))
    floor, found = frechet_noise_floor(cov, num), scores(cov, num, 400)
    assert floor.method == ("closed form" if num >= 96 else "simulated")
    error = np.hypot(np.std(found, ddof=1) / 20, floor.standard_error or 0.0)
    beside = 0.0 if floor.standard_error else 0.06 * floor.value
    assert abs(found.mean() - floor.value) <= 4 * error + beside


def test_where_images_are_few_the_closed_form_would_not_do() -> None:
    """So the test above can fail: off by more than half at two images, a fifth at D / 2."""
    spectrum = spectrum_of(0.5)
    for num, off in ((2, 0.5), (12, 0.2)):
        mean = scores(turned(spectrum), num, 400).mean()
        assert abs(_closed_form(spectrum, num) / mean - 1) > off


def test_directions_without_variance_count_for_nothing() -> None:
    spectrum = np.r_[1 / np.arange(1, 9), np.zeros(40)]
    few, many = (
        frechet_noise_floor(turned(spectrum), 32),
        frechet_noise_floor(np.diag(spectrum), 32),
    )
    assert few.method == many.method == "closed form"
    assert few.value == pytest.approx(many.value)


def test_it_is_the_same_each_time() -> None:
    assert frechet_noise_floor(np.eye(9), 5) == frechet_noise_floor(np.eye(9), 5)


def test_in_closed_form() -> None:
    """d equal eigenvalues: d s / N of the mean, d (d + 1) s / 4 N of the covariance."""
    for d in (1, 3):
        expected = (2.0 * d + 2.0 * d * (d + 1) / 4) / 100
        assert frechet_noise_floor(2.0 * np.eye(d), 100).value == pytest.approx(expected)
    assert frechet_noise_floor(np.diag([2.0, 0.0]), 100).value == pytest.approx(3.0 / 100)
    assert frechet_noise_floor(np.zeros((2, 2)), 100).value == 0.0


def test_one_image_has_no_floor() -> None:
    with pytest.raises(UserError, match="a noise floor needs at least 2 samples"):
        frechet_noise_floor(np.eye(3), 1)
