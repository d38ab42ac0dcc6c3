"""Slow and literal: the Fréchet distance as the TTUR code has it, complex part dropped."""

import numpy as np
import scipy.linalg
from numpy.typing import NDArray

Array = NDArray[np.float64]


def frechet_by_sqrtm(mean_a: Array, cov_a: Array, mean_b: Array, cov_b: Array) -> float:
    root = scipy.linalg.sqrtm(cov_a @ cov_b)
    gap = np.square(mean_a - mean_b).sum()
    return float(gap + np.trace(cov_a) + np.trace(cov_b) - 2 * np.real(np.trace(root)))


def weighted_moments(features_ND: Array, weights_N: Array) -> tuple[Array, Array]:
    """With these weights on the samples; at equal weights the covariance is over N - 1."""
    mean, factor = weighted_factor(features_ND, weights_N)
    return mean, factor @ factor.T


def weighted_factor(features_ND: Array, weights_N: Array) -> tuple[Array, Array]:
    count = len(weights_N)
    mean = weights_N @ features_ND
    rows = (features_ND - mean) * np.sqrt(weights_N * count / (count - 1))[:, None]
    return mean, rows.T


def frechet_by_factors(mean_a: Array, a: Array, mean_b: Array, b: Array) -> float:
    """Of covariances a a^T and b b^T, at any rank."""
    gap = np.square(mean_a - mean_b).sum() + np.square(a).sum() + np.square(b).sum()
    return float(gap - 2 * np.linalg.norm(a.T @ b, ord="nuc"))
