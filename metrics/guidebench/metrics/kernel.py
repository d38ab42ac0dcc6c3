"""Kernel distances between samples and real images: unbiased squared MMD, tile by tile.

Shapes: N samples, M real images, D features; tiles of at most 2048 x 2048 pairs are in memory.
"""

from collections.abc import Callable, Iterator
from typing import Final, TypeAlias

import numpy as np

from guidebench.base import UserError
from guidebench.metrics._checks import Float64s, Floats, require_seeds
from guidebench.metrics.estimate import Estimate
from guidebench.metrics.moments import require_features

TILE: Final = 2048
_CMMD_SIGMA: Final = 10.0
_CMMD_SCALE: Final = 1000.0
Kernel: TypeAlias = Callable[[Float64s, Float64s], Float64s]
"""Rows [A, D] and [B, D] to values [A, B]."""


def kid(features_ND: Floats, real_MD: Floats) -> Estimate:
    """Kernel Inception distance, Binkowski et al. 2018 (arXiv:1801.01401), over all pairs.

    The kernel is (x.y / D + 1)^3. Others average the same statistic over random subsets of
    1,000: that has the same expectation and more noise.

    Raises:
        ValueError: where an input is not a matrix.
        UserError: where dimensions differ, a feature is not finite, or a side has fewer than 2.
    """
    return mmd(features_ND, real_MD, _cubic)


def cmmd(features_ND: Floats, real_MD: Floats, *, sigma: float = _CMMD_SIGMA) -> Estimate:
    """1,000 times the squared MMD by a Gaussian kernel, as CMMD has it (arXiv:2401.09603).

    There on CLIP features and biased; here unbiased, on any features of unit length: rows are
    normalised first, as CLIP's are. Values on other features compare with each other alone.

    Raises:
        ValueError: where an input is not a matrix.
        UserError: as `kid`, and for a sigma that is not above 0.
    """
    if not sigma > 0:
        msg = f"the kernel's sigma must be above 0, got {sigma}"
        raise UserError(msg)

    def gaussian(a_AD: Float64s, b_BD: Float64s) -> Float64s:
        a, b = _unit(a_AD), _unit(b_BD)
        squared = np.square(a).sum(1)[:, None] + np.square(b).sum(1) - 2 * (a @ b.T)
        found: Float64s = np.exp(-np.maximum(squared, 0) / (2 * sigma**2))
        return found

    plain = mmd(features_ND, real_MD, gaussian)
    return Estimate(
        value=_CMMD_SCALE * plain.value,
        influence_N=_CMMD_SCALE * plain.influence_N,
        terms={name: _CMMD_SCALE * term for name, term in plain.terms.items()},
    )


def mmd(features_ND: Floats, real_MD: Floats, kernel: Kernel) -> Estimate:
    """Unbiased squared maximum mean discrepancy, Gretton et al. 2012, Eq. 3.

    Its influence is that of fresh samples against these real images: twice the mean kernel of a
    sample with the others minus that with the real ones. It may be below 0.

    Returns:
        The value with its terms "samples", "real" and "cross", which add up to it.

    Raises:
        ValueError: where an input is not a matrix.
        UserError: where dimensions differ, a feature is not finite, or a side has fewer than 2.
    """
    require_features(real_MD, real_MD.shape[-1])
    require_features(features_ND, real_MD.shape[1])
    num, num_real = features_ND.shape[0], real_MD.shape[0]
    require_seeds("a kernel distance", min(num, num_real))
    own_N = _row_sums(features_ND, None, kernel) / (num - 1)
    cross_N = _row_sums(features_ND, real_MD, kernel) / num_real
    real_M = _row_sums(real_MD, None, kernel) / (num_real - 1)
    terms = {
        "samples": float(own_N.mean()),
        "real": float(real_M.mean()),
        "cross": -2 * float(cross_N.mean()),
    }
    influence_N = 2 * (own_N - cross_N)
    return Estimate(
        value=sum(terms.values()), influence_N=influence_N - influence_N.mean(), terms=terms
    )


def tiles(features_ND: Floats) -> Iterator[tuple[slice, Float64s]]:
    """Rows in float64, a tile at a time."""
    for start in range(0, features_ND.shape[0], TILE):
        place = slice(start, min(start + TILE, features_ND.shape[0]))
        yield place, features_ND[place].astype(np.float64)


def _row_sums(a_AD: Floats, b_BD: Floats | None, kernel: Kernel) -> Float64s:
    """Sums [A] of the kernel over all of `b`, or over `a` without each row itself."""
    sums_A = np.zeros(a_AD.shape[0])
    for rows, a in tiles(a_AD):
        for columns, b in tiles(a_AD if b_BD is None else b_BD):
            values = kernel(a, b)
            if b_BD is None and rows == columns:
                np.fill_diagonal(values, 0.0)
            sums_A[rows] += values.sum(axis=1)
    return sums_A


def _cubic(a_AD: Float64s, b_BD: Float64s) -> Float64s:
    found: Float64s = (a_AD @ b_BD.T / a_AD.shape[1] + 1) ** 3
    return found


def _unit(rows_AD: Float64s) -> Float64s:
    norms_A1 = np.linalg.norm(rows_AD, axis=1, keepdims=True)
    found: Float64s = rows_AD / np.where(norms_A1 > 0, norms_A1, 1)
    return found
