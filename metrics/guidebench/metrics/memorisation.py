"""Are samples nearer to the training images than to real images that were held out?

Shapes: N samples, T training images, H held-out images, D dimensions.
"""

import numpy as np
from scipy.spatial.distance import cdist

from guidebench.base import UserError
from guidebench.metrics._checks import (
    Float64s,
    Floats,
    require_finite,
    require_matrix,
    require_seeds,
)
from guidebench.metrics.estimate import Estimate, mean_estimate

_ROWS = 512


def _nearest_squared(samples_ND: Float64s, real_RD: Float64s) -> Float64s:
    """Squared distance [N] to the nearest of the real images, by differences, so 0 is exact."""
    rows = range(0, samples_ND.shape[0], _ROWS)
    nearest: Float64s = np.concatenate(
        [cdist(samples_ND[i : i + _ROWS], real_RD, "sqeuclidean").min(axis=1) for i in rows]
    )
    return nearest


def nearest_is_training(samples_ND: Floats, training_TD: Floats, held_out_HD: Floats) -> Estimate:
    """Share of samples whose nearest real image, by Euclidean distance, is a training image.

    The split into training and held out must be random. Then a sampler that has learnt the
    distribution and not the images gets T / (T + H) on average over splits
    (`perfect_nearest_share`), and one that copies gets 1. A tie counts one half. The standard
    error is that of fresh samples at this split.

    Raises:
        ValueError: where an input is not a matrix, or their numbers of dimensions differ.
        UserError: with fewer than two samples, without real images on either side, or where a
            number is not finite.
    """
    sets = {"samples": samples_ND, "training images": training_TD, "held-out images": held_out_HD}
    for what, rows in sets.items():
        require_matrix(what, rows)
        require_finite(what, rows)
    if len({rows.shape[1] for rows in sets.values()}) > 1:
        msg = ", ".join(f"{what} have {rows.shape[1]} dimensions" for what, rows in sets.items())
        raise ValueError(msg)
    require_seeds("a share of samples", samples_ND.shape[0])
    perfect_nearest_share(training_TD.shape[0], held_out_HD.shape[0])
    samples = samples_ND.astype(np.float64)
    to_training_N = _nearest_squared(samples, training_TD.astype(np.float64))
    to_held_out_N = _nearest_squared(samples, held_out_HD.astype(np.float64))
    return mean_estimate((1 + np.sign(to_held_out_N - to_training_N)) / 2)


def perfect_nearest_share(num_training: int, num_held_out: int) -> float:
    """What `nearest_is_training` gives on average where nothing is memorised.

    >>> perfect_nearest_share(1198, 599)
    0.6666666666666666

    Raises:
        UserError: without images on either side.
    """
    if num_training < 1 or num_held_out < 1:
        msg = (
            f"{num_training} training and {num_held_out} held-out images cannot be compared; "
            "give at least one of each"
        )
        raise UserError(msg)
    return num_training / (num_training + num_held_out)
