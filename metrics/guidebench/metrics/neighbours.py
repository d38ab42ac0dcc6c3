"""Where samples lie among real images: precision, recall, density, coverage, copies.

All by distances to nearest neighbours in feature space, tile by tile: 50,000 x 50,000 pairs need
the features themselves and a few hundred megabytes.

Shapes: N samples, M real images, D features, K neighbours.
"""

from dataclasses import dataclass
from typing import Final, final

import numpy as np
from numpy.typing import NDArray

from guidebench.base import UserError
from guidebench.metrics._checks import Float64s, Floats
from guidebench.metrics.estimate import Estimate, mean_estimate
from guidebench.metrics.kernel import tiles
from guidebench.metrics.moments import require_features

COPY_RATIO: Final = 1 / 3
"""Below it a sample counts as a copy: Yoon et al. 2023."""


@final
@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Manifold:
    """How samples cover real images, each by balls out to the k-th neighbour.

    Attributes:
        precision: Share of samples in some real image's ball (arXiv:1904.06991).
        recall: Share of real images in some sample's ball; its influence is over real images.
        density: Real balls around a sample, over k (arXiv:2002.09797).
        coverage: Share of real images with a sample in their ball; its influence is exact for
            leaving one sample out.
    """

    precision: Estimate
    recall: Estimate
    density: Estimate
    coverage: Estimate


def manifold(features_ND: Floats, real_MD: Floats, *, k: int) -> Manifold:
    """Improved precision and recall, density and coverage, in one pass over all pairs.

    Papers take k = 3 for precision and recall, k = 5 for density and coverage. All four depend
    on N and M: compare at equal numbers.

    Raises:
        ValueError: where an input is not a matrix.
        UserError: where dimensions differ, a feature is not finite, or a side has no k neighbours.
    """
    require_features(real_MD, real_MD.shape[-1])
    require_features(features_ND, real_MD.shape[1])
    num, num_real = features_ND.shape[0], real_MD.shape[0]
    if not 1 <= k < min(num, num_real):
        msg = (
            f"{num} samples and {num_real} real images have no {k}-th neighbours; "
            "give more images or a smaller k"
        )
        raise UserError(msg)
    real_ball_M = nearest_squared(real_MD, None, k)[:, -1]
    own_ball_N = nearest_squared(features_ND, None, k)[:, -1]
    balls_N, samples_M = np.zeros(num), np.zeros(num_real)
    last_M = np.zeros(num_real, dtype=np.int64)
    recalled_M = np.zeros(num_real, dtype=bool)
    for rows, a in tiles(features_ND):
        for columns, b in tiles(real_MD):
            squared = _squared(a, b)
            inside = squared <= real_ball_M[columns]
            balls_N[rows] += inside.sum(axis=1)
            samples_M[columns] += inside.sum(axis=0)
            found = inside.any(axis=0)
            last_M[columns] = np.where(found, rows.start + inside.argmax(axis=0), last_M[columns])
            recalled_M[columns] |= (squared <= own_ball_N[rows, None]).any(axis=0)
    alone_N = np.bincount(last_M[samples_M == 1], minlength=num)
    return Manifold(
        precision=mean_estimate((balls_N > 0).astype(np.float64)),
        recall=mean_estimate(recalled_M.astype(np.float64)),
        density=mean_estimate(balls_N / k),
        coverage=_left_out(float((samples_M > 0).mean()), alone_N / num_real),
    )


def _left_out(value: float, loss_N: Float64s) -> Estimate:
    """From how much the value falls without each sample: the jackknife's influence."""
    influence_N = (loss_N.size - 1) * loss_N
    return Estimate(value=value, influence_N=influence_N - influence_N.mean())


@final
@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Copies:
    """Distance to the nearest training image over that to the second nearest, [N]."""

    ratio_N: Float64s
    nearest_N: NDArray[np.int64]
    share: Estimate


def copies(features_ND: Floats, training_MD: Floats, *, below: float = COPY_RATIO) -> Copies:
    """Which samples are far nearer to one training image than to any other.

    A duplicate in the training set hides its copies: both distances are then 0, and the ratio
    counts as 0.

    Raises:
        ValueError: where an input is not a matrix.
        UserError: where dimensions differ, a feature is not finite, or training images are
            fewer than 2.
    """
    require_features(training_MD, training_MD.shape[-1])
    require_features(features_ND, training_MD.shape[1])
    if training_MD.shape[0] < 2:
        msg = f"{training_MD.shape[0]} training images have no second neighbour; give at least 2"
        raise UserError(msg)
    squared_N2, nearest_N = _nearest_two(features_ND, training_MD)
    first_N, second_N = np.sqrt(squared_N2).T
    ratio_N: Float64s = np.divide(first_N, second_N, out=np.zeros_like(first_N), where=second_N > 0)
    share = mean_estimate((ratio_N < below).astype(np.float64))
    return Copies(ratio_N=ratio_N, nearest_N=nearest_N, share=share)


def nearest_squared(a_AD: Floats, b_BD: Floats | None, k: int) -> Float64s:
    """Squared distances [A, K] to the k nearest rows of `b`, ascending.

    Without `b` to the others of `a`: a row is not its own neighbour, an equal row is.
    """
    found_AK = np.full((a_AD.shape[0], k), np.inf)
    for rows, a in tiles(a_AD):
        best = found_AK[rows]
        for columns, b in tiles(a_AD if b_BD is None else b_BD):
            squared = _squared(a, b)
            if b_BD is None and rows == columns:
                np.fill_diagonal(squared, np.inf)
            best = np.partition(np.concatenate([best, squared], axis=1), k - 1, axis=1)[:, :k]
        found_AK[rows] = np.sort(best, axis=1)
    return found_AK


def _nearest_two(a_AD: Floats, b_BD: Floats) -> tuple[Float64s, NDArray[np.int64]]:
    """The two nearest squared distances [A, 2] and the place of the nearest [A]."""
    found_A2 = np.full((a_AD.shape[0], 2), np.inf)
    places_A = np.zeros(a_AD.shape[0], dtype=np.int64)
    for rows, a in tiles(a_AD):
        for columns, b in tiles(b_BD):
            squared = _squared(a, b)
            here = squared.argmin(axis=1)
            nearer = squared[np.arange(len(a)), here] < found_A2[rows, 0]
            places_A[rows] = np.where(nearer, columns.start + here, places_A[rows])
            joined = np.concatenate([found_A2[rows], squared], axis=1)
            found_A2[rows] = np.sort(np.partition(joined, 1, axis=1)[:, :2], axis=1)
    return found_A2, places_A


def _squared(a_AD: Float64s, b_BD: Float64s) -> Float64s:
    """Squared distances [A, B] by one product; equal rows of integers give exactly 0."""
    found: Float64s = np.square(a_AD).sum(1)[:, None] + np.square(b_BD).sum(1) - 2 * (a_AD @ b_BD.T)
    return np.maximum(found, 0, out=found)
