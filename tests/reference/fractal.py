"""Slow and literal: a mixture of Gaussians, one point at a time, by matrix inverses."""

import math

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Mixture = tuple[Array, Array, Array]
"""Weights, means and covariances."""


def log_terms(mixture: Mixture, x_2: Array, sigma: float) -> Array:
    """Log of weight times density of each component at one point."""
    weights_M, means_M2, covs_M22 = mixture
    noisy = covs_M22 + sigma**2 * np.eye(2)
    offset = x_2 - means_M2
    distance = np.einsum("mi,mij,mj->m", offset, np.linalg.inv(noisy), offset)
    peak = np.log(weights_M) - math.log(2 * math.pi) - 0.5 * np.log(np.linalg.det(noisy))
    found: Array = peak - 0.5 * distance
    return found


def log_density(terms_M: Array) -> float:
    top = float(terms_M.max())
    return top + math.log(math.fsum(np.exp(terms_M - top)))


def score(mixture: Mixture, x_2: Array, sigma: float) -> Array:
    _, means_M2, covs_M22 = mixture
    terms = log_terms(mixture, x_2, sigma)
    posterior = np.exp(terms - log_density(terms))
    inverse = np.linalg.inv(covs_M22 + sigma**2 * np.eye(2))
    found: Array = -np.einsum("m,mij,mj->i", posterior, inverse, x_2 - means_M2)
    return found
