"""Power-function EMA profiles and their reconstruction after training. No files, no networks.

Karras et al. 2023 (EDM2), arXiv:2312.02696. The average of the
weights theta(tau) up to time t has weight proportional to tau^gamma; its length is given as
sigma_rel, the profile's standard deviation relative to t.

Shapes: S snapshots, R results.
"""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from guidebench.base import UserError

MAX_SIGMA_REL = math.sqrt(1 / 12)  # gamma = 0, the plain mean of all weights


def exponent(sigma_rel: float) -> float:
    """Gamma of the profile with relative standard deviation `sigma_rel`: `sigma_rel` inverted.

    >>> round(exponent(0.10), 2)
    6.94

    Raises:
        UserError: outside (0, 0.2887), where no such profile exists.
    """
    if not 0 < sigma_rel < MAX_SIGMA_REL:
        msg = f"an EMA length lies between 0 and {MAX_SIGMA_REL:.4f}, got {sigma_rel}"
        raise UserError(msg)
    precision = sigma_rel**-2
    roots = np.roots([1, 7, 16 - precision, 12 - precision])
    return float(np.max(roots[np.abs(roots.imag) < 1e-9].real))


def sigma_rel(gamma: float) -> float:
    """Relative standard deviation of the profile tau^gamma.

    >>> round(sigma_rel(6.94), 3)
    0.1
    """
    return math.sqrt((gamma + 1) / ((gamma + 2) ** 2 * (gamma + 3)))


def beta(length: float, t_next: float, t_delta: float) -> float:
    """Decay of one update that arrives at time `t_next` after `t_delta`.

    >>> beta(0.10, t_next=64, t_delta=64)
    0.0
    """
    return math.pow(1 - t_delta / t_next, exponent(length) + 1)


def coefficients(
    snapshots: Sequence[tuple[float, float]], results: Sequence[tuple[float, float]]
) -> NDArray[np.float64]:
    """Weights [S, R] whose combination of snapshots is closest to each result's profile.

    Least squares in the inner product of profiles; each column
    is scaled to sum to 1, so that a constant network stays as it is.

    Args:
        snapshots: (time, EMA length) of each stored average.
        results: (time, EMA length) wanted; time in the same unit, iterations or images.

    Raises:
        UserError: for a result later than the last snapshot, or no snapshot at all.
    """
    if not snapshots or max(t for t, _ in results) > max(t for t, _ in snapshots):
        latest = max((t for t, _ in snapshots), default=0)
        wanted = max(t for t, _ in results)
        msg = f"an EMA at time {wanted:g} needs a snapshot from then on; the last is at {latest:g}"
        raise UserError(msg)
    gram = _inner_products(snapshots, snapshots)
    target = _inner_products(snapshots, results)
    solved = np.linalg.solve(gram, target)
    scaled: NDArray[np.float64] = np.divide(solved, solved.sum(axis=0), dtype=np.float64)
    return scaled


def profile_errors(
    snapshots: Sequence[tuple[float, float]],
    results: Sequence[tuple[float, float]],
    weights_SR: NDArray[np.float64],
) -> NDArray[np.float64]:
    """How far each combined profile is from the one wanted [R], relative to the latter's norm.

    The norm is that of the least squares. No weights of a network are needed: it is the error of
    a network whose weights moved at random, and a bound on nothing else.
    """
    gram, cross = _inner_products(snapshots, snapshots), _inner_products(snapshots, results)
    own = np.diag(_inner_products(results, results))
    squared = np.einsum("sr,st,tr->r", weights_SR, gram, weights_SR)
    squared += own - 2 * np.einsum("sr,sr->r", weights_SR, cross)
    found: NDArray[np.float64] = np.sqrt(np.maximum(squared, 0) / own)
    return found


def _inner_products(
    a: Sequence[tuple[float, float]], b: Sequence[tuple[float, float]]
) -> NDArray[np.float64]:
    """<p_a, p_b> for each pair of profiles, in closed form."""
    t_a, gamma_a = (np.array(v)[:, None] for v in _times_and_exponents(a))
    t_b, gamma_b = (np.array(v)[None, :] for v in _times_and_exponents(b))
    ratio = t_a / t_b
    shrink = np.where(ratio < 1, ratio**gamma_b, ratio**-gamma_a)
    later = np.maximum(t_a, t_b)
    products: NDArray[np.float64] = (
        (gamma_a + 1) * (gamma_b + 1) * shrink / ((gamma_a + gamma_b + 1) * later)
    )
    return products


def _times_and_exponents(
    profiles: Sequence[tuple[float, float]],
) -> tuple[list[float], list[float]]:
    return [float(t) for t, _ in profiles], [exponent(length) for _, length in profiles]
