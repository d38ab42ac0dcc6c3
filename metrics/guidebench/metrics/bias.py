"""What a Fréchet distance would be without its bias at finite N.

Shapes: N samples, D features.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, final

import numpy as np

from guidebench.base import UserError
from guidebench.metrics._checks import Floats, require_seeds
from guidebench.metrics.estimate import NORMAL_97_5, Estimate
from guidebench.metrics.frechet import GaussianReference, frechet, frechet_to
from guidebench.metrics.moments import Moments, MomentSums, require_features

BLOCKS: Final = 20
_POINTS: Final = 15
_SMALLEST: Final = 0.1  # of N, as 5,000 of 50,000


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Corrected:
    """An estimate of the distance at infinite N: the interval is for that, not for E[FD_N].

    `at_n` is the plain value at N. `standard_error` is the block jackknife's, of `at_n` too: the
    correction does not move it to first order.
    """

    value: float
    standard_error: float
    at_n: float

    @property
    def interval_95(self) -> tuple[float, float]:
        """Two-sided 95 % interval, normal approximation."""
        half = NORMAL_97_5 * self.standard_error
        return self.value - half, self.value + half


def jackknife(
    features_ND: Floats, reference: GaussianReference, *, blocks: int = BLOCKS
) -> Corrected:
    """Block jackknife: B FD_N - (B - 1) mean of FD without each block; it removes the 1/N bias.

    Blocks are runs of neighbouring seeds, the last ones one shorter where they do not divide.

    Raises:
        ValueError: where `features_ND` is not a matrix.
        UserError: where dimensions differ, or N is below two samples a block.
    """
    require_features(features_ND, reference.mean_D.size)
    if not 2 <= blocks <= features_ND.shape[0] // 2:
        msg = f"{features_ND.shape[0]} samples do not fill {blocks} blocks of 2; take fewer blocks"
        raise UserError(msg)
    parts = np.array_split(features_ND, blocks)  # views; sums are made twice and never kept,
    whole = MomentSums(reference.mean_D.size)  # for 20 of 2,048 features are 670 MB
    for rows in parts:
        whole.merge(_summed(rows))
    at_n = frechet_to(whole.finish(), reference)
    without = np.array([frechet_to(_without(whole, _summed(rows)), reference) for rows in parts])
    pseudo = blocks * at_n - (blocks - 1) * without
    return Corrected(
        value=float(pseudo.mean()),
        standard_error=float(pseudo.std(ddof=1)) / math.sqrt(blocks),
        at_n=at_n,
    )


def _summed(rows_ND: Floats) -> MomentSums:
    sums = MomentSums(rows_ND.shape[1])
    sums.update(rows_ND)
    return sums


def _without(whole: MomentSums, part: MomentSums) -> Moments:
    left = MomentSums(whole.sum_D.size)
    left.count = whole.count - part.count
    left.sum_D = whole.sum_D - part.sum_D
    left.outer_DD = whole.outer_DD - part.outer_DD
    return left.finish()


def pooled_jackknife(repeats: Sequence[Floats], reference: GaussianReference) -> Corrected | None:
    """Mean over repeats of equal size on disjoint seeds; None where N does not fill the blocks.

    Raises:
        ValueError: where features are no matrix.
        UserError: where dimensions differ.
    """
    if any(len(features_ND) < 2 * BLOCKS for features_ND in repeats):
        return None
    found = [jackknife(features_ND, reference) for features_ND in repeats]
    return Corrected(
        value=math.fsum(f.value for f in found) / len(found),
        standard_error=math.hypot(*(f.standard_error for f in found)) / len(found),
        at_n=math.fsum(f.at_n for f in found) / len(found),
    )


def fd_infinity(
    features_ND: Floats, reference: GaussianReference, *, seed: int = 0, points: int = _POINTS
) -> Estimate:
    """FD-infinity, Chong and Forsyth (arXiv:1911.07023): the intercept over 1/N.

    Distances of the first n of a random order, for `points` values of n evenly between N/10 and
    N, and a straight line through them. About a quarter noisier than `jackknife`, since early
    samples count more; it is here because others report it.

    Returns:
        The intercept. It is a weighted sum of the distances, so the influence of a sample is
        that of the whole set times the sum of weight N / n over the sets that it is in.

    Raises:
        ValueError: where `features_ND` is not a matrix.
        UserError: where dimensions differ, or N is too small for the points.
    """
    require_features(features_ND, reference.mean_D.size)
    num = features_ND.shape[0]
    require_seeds("FD-infinity", num // 10)
    order = np.random.default_rng(seed).permutation(num)
    sizes = np.linspace(max(2, round(_SMALLEST * num)), num, points).round().astype(int)
    sums, taken, found = MomentSums(features_ND.shape[1]), 0, []
    for size in sizes.tolist():
        if size > taken:
            sums.update(features_ND[np.sort(order[taken:size])])
            taken = size
        found.append(frechet_to(sums.finish(), reference))
    weights = np.linalg.pinv(np.stack([np.ones(points), 1 / sizes], axis=1))[0]
    share_N = np.zeros(num)
    for weight, size in zip(weights, sizes.tolist(), strict=True):
        share_N[order[:size]] += weight * num / size
    influence_N = frechet(features_ND, reference).influence_N * share_N
    return Estimate(
        value=float(weights @ np.array(found)), influence_N=influence_N - influence_N.mean()
    )
