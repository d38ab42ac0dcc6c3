"""Metrics of points in the plane against a density that is known.

The density comes in as numbers (its logarithm at each sample, the responsibilities of its
components), so that any mixture can be measured. Every number has an expectation under perfect
sampling: 0.01 for the outlier rate at the 99 % contour, minus the entropy for the mean log
density, and for the two distances a floor that `simulated_floor` finds.

Shapes: N samples, M mixture components, R reference points, P pieces of a merged quantile grid.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import final

import numpy as np
from numpy.typing import NDArray

from guidebench.base import UserError
from guidebench.metrics._checks import (
    Float64s,
    Floats,
    as_vector,
    require_finite,
    require_matrix,
    require_seeds,
)
from guidebench.metrics.estimate import Estimate, mean_estimate

_ROWS = 512


def outlier_rate(log_density_N: Floats, threshold: float) -> Estimate:
    """Share of samples whose log density is below `threshold`.

    A share of exactly 0 or 1 has no spread: its standard error reads 0, whatever N.

    Args:
        log_density_N: Natural logarithm of the true density at each sample.
        threshold: Same unit; at the contour that holds 99 % of the mass, perfect is 0.01.

    Raises:
        ValueError: where `log_density_N` has another number of axes than 1.
        UserError: with fewer than two samples, or where a number is not finite.
    """
    require_finite("the threshold", np.asarray(threshold, dtype=np.float64))
    return mean_estimate((as_vector("an outlier rate", log_density_N) < threshold) * 1.0)


def mean_log_density(log_density_N: Floats) -> Estimate:
    """Mean over samples of the natural logarithm of the true density.

    Higher is not better without end: a perfect sampler gets minus the entropy of the density,
    and samples drawn to its peaks get more.

    Raises:
        ValueError: where `log_density_N` has another number of axes than 1.
        UserError: with fewer than two samples, or where a number is not finite.
    """
    return mean_estimate(as_vector("a mean log density", log_density_N))


def _shares_of_components(responsibilities_NM: Floats, weights_M: Floats) -> Float64s:
    """Mean responsibilities [M], after a look at both inputs; adds up to 1."""
    require_matrix("responsibilities", responsibilities_NM)
    samples, components = responsibilities_NM.shape
    if weights_M.shape != (components,):
        msg = f"responsibilities of {components} components, weights of shape {weights_M.shape}"
        raise ValueError(msg)
    require_seeds("an occupancy divergence", samples)
    sums_N = responsibilities_NM.sum(axis=1, dtype=np.float64)
    require_finite("the responsibilities", sums_N)
    require_finite("the weights", weights_M)
    worst = max(float(np.abs(sums_N - 1).max()), abs(float(weights_M.sum(dtype=np.float64)) - 1))
    if worst > 1e-3 or responsibilities_NM.min() < 0 or weights_M.min() < 0:
        msg = (
            "responsibilities of each sample and the weights must be at least 0 and add up to 1; "
            f"a sum is off by {worst:.3g}: normalise them over the components"
        )
        raise UserError(msg)
    shares_M: Float64s = responsibilities_NM.mean(axis=0, dtype=np.float64)
    shares_M /= shares_M.sum()
    return shares_M


def _log2_ratio(shares_M: Float64s, middle_M: Float64s) -> Float64s:
    """Base 2 logarithm of shares over middle, 0 where the share is 0."""
    present_M = shares_M > 0
    ratio_M = np.ones_like(shares_M)
    np.divide(shares_M, middle_M, out=ratio_M, where=present_M)
    return np.log2(ratio_M)


def occupancy_divergence(responsibilities_NM: Floats, weights_M: Floats) -> Estimate:
    """Jensen-Shannon divergence in bits between occupied and true shares of the components.

    The occupied share of a component is its mean responsibility over the samples; under the
    true density its expectation is exactly the component's weight. With q the occupied shares,
    w the weights and m = (q + w) / 2 the divergence is (KL(q|m) + KL(w|m)) / 2, Lin 1991,
    Eq. 4.1; its derivative in q is log2(q / m) / 2, so sample n has the influence
    sum_m r_nm log2(q_m / m_m) / 2, less the mean.

    Args:
        responsibilities_NM: Probability of each component given each sample; any float type.
        weights_M: The components' true weights.

    Returns:
        Bits from 0 (every component has its share) to 1 (only components of weight 0). Biased
        upward at finite N; near the floor the standard error is too wide by up to sqrt(2).

    Raises:
        ValueError: where the shapes are not [N, M] and [M].
        UserError: where either is not finite or no distribution, or N < 2.
    """
    shares_M = _shares_of_components(responsibilities_NM, weights_M)
    true_M = weights_M.astype(np.float64)
    true_M /= true_M.sum()
    middle_M = (shares_M + true_M) / 2
    slope_M = _log2_ratio(shares_M, middle_M) / 2
    value = float(shares_M @ slope_M + true_M @ _log2_ratio(true_M, middle_M) / 2)
    influence_N = np.concatenate(
        [
            responsibilities_NM[start : start + _ROWS].astype(np.float64) @ slope_M
            for start in range(0, responsibilities_NM.shape[0], _ROWS)
        ]
    )
    return Estimate(value=max(0.0, value), influence_N=influence_N - influence_N.mean())


@final
@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class _QuantileGrid:
    """The common refinement of the quantile steps of N samples and R reference points.

    Attributes:
        sample_P: Which sorted sample each piece belongs to.
        reference_P: Which sorted reference point.
        mass_P: Probability of each piece; adds up to 1.
        below_N: Index of the sorted reference point just below the upper end of each sample's
            step, without the last; `above_N` the one just above. The same where it cuts a step.
        above_N: See `below_N`.
    """

    sample_P: NDArray[np.int64]
    reference_P: NDArray[np.int64]
    mass_P: Float64s
    below_N: NDArray[np.int64]
    above_N: NDArray[np.int64]

    @classmethod
    def of(cls, samples: int, references: int) -> "_QuantileGrid":
        """In whole numbers: a unit of mass is 1 / (samples x references)."""
        ends_N = np.arange(1, samples + 1, dtype=np.int64) * references
        ends_P = np.union1d(ends_N, np.arange(1, references + 1, dtype=np.int64) * samples)
        starts_P = np.concatenate([[0], ends_P[:-1]])
        return cls(
            sample_P=starts_P // references,
            reference_P=starts_P // samples,
            mass_P=(ends_P - starts_P) / (samples * references),
            below_N=(ends_N[:-1] - 1) // samples,
            above_N=ends_N[:-1] // samples,
        )


def _directions(num_directions: int) -> Iterator[Float64s]:
    for k in range(num_directions):
        angle = math.pi * k / num_directions
        yield np.array([math.cos(angle), math.sin(angle)])


def _line_transport(
    points_N: Float64s, reference_R: Float64s, grid: _QuantileGrid
) -> tuple[float, Float64s]:
    """Squared 2-Wasserstein distance on a line and its Kantorovich potential at the points.

    The potential is phi with phi'(x) = 2 (x - T(x)), T the optimal map. Between two sorted
    points T is constant: it is the reference's quantile at the level that the points enclose.
    """
    order_N = np.argsort(points_N, kind="stable")
    sorted_N, sorted_R = points_N[order_N], np.sort(reference_R)
    gap_P = sorted_N[grid.sample_P] - sorted_R[grid.reference_P]
    squared = float(grid.mass_P @ np.square(gap_P))
    between_N = (sorted_R[grid.below_N] + sorted_R[grid.above_N]) / 2
    middle_N = (sorted_N[1:] + sorted_N[:-1]) / 2
    steps_N = 2 * np.diff(sorted_N) * (middle_N - between_N)
    potential_N = np.empty_like(sorted_N)
    potential_N[order_N] = np.concatenate([[0.0], np.cumsum(steps_N)])
    return squared, potential_N - potential_N.mean()


def sliced_wasserstein(points_N2: Floats, reference_R2: Floats, num_directions: int) -> Estimate:
    """Root of the mean squared 2-Wasserstein distance over directions in the half circle.

    Directions are equally spaced in [0, pi), the first along the x axis. Each distance is exact
    between the two sets of points, whatever their sizes. A sample's influence is its
    Kantorovich potential, averaged over directions, over twice the distance.

    Args:
        points_N2: Samples, in seed order.
        reference_R2: Points from the true density, taken as given: the standard error is that
            of fresh samples against these.
        num_directions: At least 1; 64 serve.

    Returns:
        In the unit of the points. A shift by d gives |d| / sqrt(2). Biased upward at finite N.

    Raises:
        ValueError: where either is not [count, 2], or `num_directions` is below 1.
        UserError: where a coordinate is not finite, N < 2, or there is no reference point.
    """
    for what, points in (("points", points_N2), ("reference points", reference_R2)):
        require_matrix(what, points)
        if points.shape[1] != 2:
            msg = f"{what} must have 2 coordinates, got shape {points.shape}"
            raise ValueError(msg)
        require_finite(what, points)
    require_seeds("a sliced distance", points_N2.shape[0])
    if not reference_R2.shape[0]:
        msg = "there are no reference points; draw some from the true density"
        raise UserError(msg)
    if num_directions < 1:
        msg = f"num_directions must be at least 1, got {num_directions}"
        raise ValueError(msg)
    points, reference = points_N2.astype(np.float64), reference_R2.astype(np.float64)
    grid = _QuantileGrid.of(points.shape[0], reference.shape[0])
    squared, potential_N = 0.0, np.zeros(points.shape[0])
    for direction in _directions(num_directions):
        on_line = _line_transport(points @ direction, reference @ direction, grid)
        squared += on_line[0] / num_directions
        potential_N += on_line[1] / num_directions
    value = math.sqrt(squared)
    influence_N = potential_N / (2 * value) if value else np.zeros_like(potential_N)
    return Estimate(value=value, influence_N=influence_N)


def simulated_floor(draw: Callable[[int], float], replicates: int) -> tuple[float, float]:
    """Mean of a metric over perfect sample sets, and the standard error of that mean.

    Args:
        draw: The metric's value on the i-th fresh set from the true density.
        replicates: How many sets; at least 2.

    Raises:
        UserError: with fewer than two replicates, or where a value is not finite.
    """
    require_seeds("a simulated floor", replicates)
    values = np.array([draw(i) for i in range(replicates)], dtype=np.float64)
    floor = mean_estimate(values)
    return floor.value, floor.standard_error
