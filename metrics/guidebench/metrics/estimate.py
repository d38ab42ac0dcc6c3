"""A number over seeds that knows how far it may be off.

An influence value says how much one seed moves the number: the number over N seeds is, to first
order, its expectation plus the mean of the influences. So their spread gives the standard error
(the delta method), and the spread of two schemes' differences over common seeds gives the
standard error of the comparison.

Shapes: N seeds.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import final

import numpy as np

from guidebench.base import UserError
from guidebench.metrics._checks import Float64s, Floats, as_vector, require_finite

NORMAL_97_5 = 1.959963984540054
"""The 97.5 % point of the standard normal distribution."""


def _interval_95(value: float, standard_error: float) -> tuple[float, float]:
    half = NORMAL_97_5 * standard_error
    return value - half, value + half


def _standard_error(influence_N: Float64s) -> float:
    return float(influence_N.std(ddof=1)) / math.sqrt(influence_N.size)


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Difference:
    """One scheme's number minus another's, over the same seeds.

    `unpaired_standard_error` is what two independent sets of seeds would have given: the ratio
    of the two says what common seeds were worth.
    """

    value: float
    standard_error: float
    unpaired_standard_error: float
    num_seeds: int

    @property
    def interval_95(self) -> tuple[float, float]:
        """Two-sided 95 % interval, normal approximation."""
        return _interval_95(self.value, self.standard_error)


@final
@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Estimate:
    """A number over seeds with one influence value per seed (mean 0).

    The interval is for the number's expectation at this many seeds. Where the metric is biased
    at finite N, as a Fréchet distance is, the bias is in that expectation and not in the
    interval: compare at equal N, and with the metric's noise floor.

    Attributes:
        value: The number itself.
        influence_N: Float64, in seed order, in the units of `value`.
        terms: Parts of `value` worth printing beside it; empty where there are none.
        term_influences: Like `influence_N`, for the terms that have one.

    Raises:
        ValueError: where `influence_N` has another number of axes than 1.
        UserError: with fewer than two seeds, or where a number is not finite.
    """

    value: float
    influence_N: Float64s
    terms: Mapping[str, float] = field(default_factory=lambda: MappingProxyType({}))
    term_influences: Mapping[str, Float64s] = field(default_factory=lambda: MappingProxyType({}))

    def __post_init__(self) -> None:
        require_finite("the estimate", np.asarray(self.value, dtype=np.float64))
        as_vector("the influence", self.influence_N)

    @property
    def num_seeds(self) -> int:
        """How many seeds it was measured on."""
        return self.influence_N.size

    @property
    def standard_error(self) -> float:
        """Standard deviation of the influences over the root of their number."""
        return _standard_error(self.influence_N)

    @property
    def interval_95(self) -> tuple[float, float]:
        """Two-sided 95 % interval for the expectation at this N, normal approximation."""
        return _interval_95(self.value, self.standard_error)

    def difference(self, other: "Estimate") -> Difference:
        """This minus `other`, paired: seed n of one belongs to seed n of the other.

        Raises:
            UserError: where the two were measured on different numbers of seeds.
        """
        if self.num_seeds != other.num_seeds:
            msg = (
                f"cannot pair {self.num_seeds} seeds with {other.num_seeds}; "
                "measure both on the same seeds"
            )
            raise UserError(msg)
        return Difference(
            value=self.value - other.value,
            standard_error=_standard_error(self.influence_N - other.influence_N),
            unpaired_standard_error=math.hypot(self.standard_error, other.standard_error),
            num_seeds=self.num_seeds,
        )


def mean_estimate(values_N: Floats) -> Estimate:
    """The mean of one number per seed.

    >>> mean_estimate(np.array([1.0, 2.0, 3.0])).value
    2.0

    Raises:
        ValueError: where `values_N` has another number of axes than 1.
        UserError: with fewer than two values, or where one is not finite.
    """
    values = as_vector("a mean", values_N)
    value = float(values.mean())
    return Estimate(value=value, influence_N=values - value)


def pool(estimates: Sequence[Estimate]) -> Estimate:
    """Mean over K repeats of equal size on disjoint seeds, influences end to end.

    The standard error falls with K; a bias at finite N stays that of one repeat.

    Raises:
        UserError: without repeats, or where they differ in size or in the names of their terms.
    """
    if not estimates:
        msg = "there are no repeats to pool; run at least one"
        raise UserError(msg)
    sizes = sorted({e.num_seeds for e in estimates})
    if len(sizes) > 1:
        msg = f"cannot pool repeats of {sizes[0]} and {sizes[-1]} seeds; run all at one size"
        raise UserError(msg)
    names = sorted({tuple(e.terms) for e in estimates})
    if len(names) > 1:
        msg = f"cannot pool terms {names[0]} with {names[-1]}; pool repeats of one metric"
        raise UserError(msg)
    return Estimate(
        value=math.fsum(e.value for e in estimates) / len(estimates),
        influence_N=np.concatenate([e.influence_N for e in estimates]),
        terms={n: math.fsum(e.terms[n] for e in estimates) / len(estimates) for n in names[0]},
        term_influences={
            n: np.concatenate([e.term_influences[n] for e in estimates])
            for n in estimates[0].term_influences
        },
    )
