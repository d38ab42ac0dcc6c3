"""What a perfect sampler scores: the Fréchet distance of exact draws to where they come from.

Shapes: D features, R directions that carry variance, N samples.
"""

import math
from dataclasses import dataclass
from typing import Final, Literal, final

import numpy as np
from numpy.typing import NDArray

from guidebench.metrics._checks import require_seeds
from guidebench.metrics.moments import covariance_factor

_ENOUGH: Final = 4  # samples a direction, from where the closed form is within about 5 %
_FEWEST_DRAWS: Final = 4
_MOST_DRAWS: Final = 64
_PRECISE: Final = 0.02  # standard error over value at which no further set is drawn
_SEED: Final = 0  # the same floor on every machine, up to rounding
Float64s = NDArray[np.float64]


@final
@dataclass(frozen=True, slots=True)
class NoiseFloor:
    """The mean score, how it was found, and the error of that; None for a closed form."""

    value: float
    standard_error: float | None
    method: Literal["closed form", "simulated"]


def frechet_noise_floor(reference_cov_DD: Float64s, num_images: int) -> NoiseFloor:
    """What a perfect sampler scores on average with `num_images` images.

    It assumes Gaussian features and exact reference moments. With at least 4 images for each
    direction that carries variance, a closed form; below that, where the closed form is off by
    a quarter to severalfold, the mean over sets drawn with a fixed seed.

    Raises:
        ValueError: where the covariance is not square.
        UserError: where it is no covariance, or `num_images` is below 2.
    """
    require_seeds("a noise floor", num_images)
    covariance_factor(reference_cov_DD)  # refuses what is no covariance
    values_D: Float64s = np.asarray(np.linalg.eigvalsh(reference_cov_DD), dtype=np.float64)
    least = values_D.size * np.finfo(np.float64).eps * values_D.max(initial=0.0)
    values_R = values_D[values_D > least]
    if num_images >= _ENOUGH * values_R.size:
        return NoiseFloor(_closed_form(values_R, num_images), None, "closed form")
    return _simulated(values_R, num_images)


def _closed_form(values_R: Float64s, num_images: int) -> float:
    """[tr S + 1/2 sum_ij l_i l_j (1 + delta_ij) / (l_i + l_j)] / N over the eigenvalues l of S.

    The expectation to second order of the squared 2-Wasserstein distance of N samples' Gaussian
    to the Gaussian they come from. The first part is the mean's, the second the covariance's.
    """
    pairs_RR = np.multiply.outer(values_R, values_R) / np.add.outer(values_R, values_R)
    doubled = float(pairs_RR.sum() + np.trace(pairs_RR))
    return (float(values_R.sum()) + doubled / 2) / num_images


def _simulated(values_R: Float64s, num_images: int) -> NoiseFloor:
    """The mean's part, tr S / N, is exact; the covariance's is drawn in the eigenbasis of S.

    There N centred samples are N - 1 free ones Z diag(l)^1/2, and the cross term is the sum of
    singular values of Z diag(l) / (N - 1)^1/2. The trace of the same draw takes most of the
    cross term's spread away.
    """
    generator = np.random.default_rng(_SEED)
    total = float(values_R.sum())
    found: list[float] = []
    for drawn in range(1, _MOST_DRAWS + 1):
        z_NR = generator.standard_normal((num_images - 1, values_R.size))
        trace = float((z_NR**2).sum(axis=0) @ values_R) / (num_images - 1)
        z_NR *= values_R
        gram = z_NR @ z_NR.T if len(z_NR) < values_R.size else z_NR.T @ z_NR
        squares = np.linalg.eigvalsh(gram / (num_images - 1)).clip(0.0)
        found.append(total + trace - 2.0 * float(np.sqrt(squares).sum()))
        if drawn >= _FEWEST_DRAWS and _error(found) <= _PRECISE * math.fsum(found) / drawn:
            break
    value = total / num_images + math.fsum(found) / len(found)
    return NoiseFloor(value, _error(found), "simulated")


def _error(found: list[float]) -> float:
    return float(np.std(found, ddof=1)) / math.sqrt(len(found))
