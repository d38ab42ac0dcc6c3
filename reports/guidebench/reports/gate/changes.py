"""How much a metric moved between accepted and new samples of the same seeds, and how surely.

Let psi be a seed's influence on the metric (facts of the delta method: docs/trust.md). Then the
change has SE = sd(psi_new - psi_old) / sqrt(N), which is small where the same seeds still make
nearly the same images. Several sets of seeds count as the mean of their values, each at its own
N, with the influences end to end.

Shapes: N seeds over all sets; D features.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final, final

import numpy as np

from guidebench.reports.gate.baseline import Measured
from guidebench.reports.gate.pairing import Pair
from guidebench.reports.record import Display
from guidebench.reports.store import FloatArray

_SPREAD: Final = "trace"
_SAME_SHARE: Final = 0.01
"""Equal samples may differ by another machine's rounding of the metric: this share of its SE."""


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Moved:
    """A number before and now, with the standard errors of both and of their paired change."""

    before: float
    after: float
    before_error: float
    after_error: float
    error: float

    @property
    def change(self) -> float:
        """Now minus before."""
        return self.after - self.before

    @property
    def correlation(self) -> float | None:
        """Of the two sides' influences; None where one side has no spread."""
        product = 2 * self.before_error * self.after_error
        if product == 0:
            return None
        return (self.before_error**2 + self.after_error**2 - self.error**2) / product

    def error_at(self, harm: float) -> float:
        """The error if the new value were off by `harm` and its variance grew in proportion."""
        rho = self.correlation
        if self.before == 0 or rho is None:
            return self.error
        grown = self.after_error * math.sqrt(1 + harm / abs(self.before))
        square = self.before_error**2 + grown**2 - 2 * rho * self.before_error * grown
        return math.sqrt(max(square, self.error**2))


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Change:
    """One metric of one row over `sets` sets of seeds.

    `runs_as` is what `guidebench run` takes. `margin` is how much harm would not matter, in the
    metric's unit. `spread` is the samples' feature variance (half the mean squared distance
    between two samples) in units of the real images', a diversity number that a distance alone
    can hide. `apart` is the Fréchet distance between the accepted samples and the new ones.
    """

    suite: str
    row: str
    runs_as: str
    title: str
    metric: str
    display: Display
    moved: Moved
    num_images: int
    sets: int
    margin: float
    same_samples: bool
    differs: tuple[str, ...]
    spread: Moved | None
    apart: float | None

    @property
    def name(self) -> str:
        """`SUITE::ROW`."""
        return f"{self.suite}::{self.row}"

    @property
    def harm(self) -> float:
        """How much worse it became; negative where it became better."""
        return -self.moved.change if self.display.better == "higher" else self.moved.change

    @property
    def same_number(self) -> bool:
        """Equal up to the rounding of another machine, far below the noise."""
        slack = max(_SAME_SHARE * self.moved.before_error, 1e-9 * abs(self.moved.before))
        return abs(self.harm) <= slack


def changes(pair: Pair, sets: int, margin: float) -> list[Change]:
    """Each metric with a better side over the first `sets` sets of a row.

    Args:
        pair: accepted and new sets of one row.
        sets: how many of them to use.
        margin: share of the accepted value, or of the noise floor where that is larger, by
            which a metric may get worse.
    """
    old, new = pair.old[:sets], pair.new[:sets]
    same = all(
        o.record.samples_sha256 == n.record.samples_sha256 for o, n in zip(old, new, strict=True)
    )
    found = []
    for name, first in old[0].record.metrics.items():
        if first.display.better == "neither":
            continue
        moved = _moved(old, new, name)
        found.append(
            Change(
                suite=pair.suite,
                row=pair.row,
                runs_as=new[0].record.runs_as,
                title=new[0].record.title,
                metric=name,
                display=first.display,
                moved=moved,
                num_images=first.num_images * len(first.repeats) * sets,
                sets=sets,
                margin=margin * max(abs(moved.before), first.noise_floor or 0.0),
                same_samples=same,
                differs=pair.differs,
                spread=_spread(old, new, name),
                apart=None if same else _apart(old, new, name),
            )
        )
    return found


def _values(sets: Sequence[Measured], metric: str) -> Iterable[float]:
    return (s.record.metrics[metric].value for s in sets)


def _influences(sets: Sequence[Measured], name: str) -> FloatArray:
    return np.concatenate([s.influence(name) for s in sets])


def _moved(old: Sequence[Measured], new: Sequence[Measured], metric: str) -> Moved:
    before_N, after_N = _influences(old, metric), _influences(new, metric)
    return Moved(
        before=float(np.mean([*_values(old, metric)])),
        after=float(np.mean([*_values(new, metric)])),
        before_error=_error(before_N),
        after_error=_error(after_N),
        error=_error(after_N - before_N),
    )


def _error(influence_N: FloatArray) -> float:
    return float(influence_N.std(ddof=1)) / math.sqrt(len(influence_N))


def _spread(old: Sequence[Measured], new: Sequence[Measured], metric: str) -> Moved | None:
    """Traces of the feature covariances over the reference's."""
    term = f"{metric}/{_SPREAD}"
    sides = [*old, *new]
    if any(_SPREAD not in s.record.metrics[metric].terms for s in sides):
        return None
    if not all(s.has_influence(term) for s in sides):
        return None
    unit = old[0].record.metrics[metric].terms["reference_trace"]
    before_N, after_N = _influences(old, term) / unit, _influences(new, term) / unit

    def mean(sets: Sequence[Measured]) -> float:
        return float(np.mean([s.record.metrics[metric].terms[_SPREAD] for s in sets])) / unit

    return Moved(
        before=mean(old),
        after=mean(new),
        before_error=_error(before_N),
        after_error=_error(after_N),
        error=_error(after_N - before_N),
    )


def _apart(old: Sequence[Measured], new: Sequence[Measured], metric: str) -> float | None:
    """Mean over the sets of the Fréchet distance between accepted and new samples."""
    found = []
    for one, two in zip(old, new, strict=True):
        a, b = one.moments(metric), two.moments(metric)
        if a is None or b is None:
            return None
        found.append(_frechet(a, b))
    return float(np.mean(found))


def _frechet(a: tuple[FloatArray, FloatArray], b: tuple[FloatArray, FloatArray]) -> float:
    """|mu_a - mu_b|^2 + tr A + tr B - 2 tr (A B)^(1/2), the last as a nuclear norm."""
    (mean_a_D, cov_a_DD), (mean_b_D, cov_b_DD) = a, b
    roots = np.linalg.svd(_factor(cov_a_DD).T @ _factor(cov_b_DD), compute_uv=False)
    gap_D = mean_a_D - mean_b_D
    total = gap_D @ gap_D + np.trace(cov_a_DD) + np.trace(cov_b_DD) - 2 * roots.sum()
    return max(0.0, float(total))


def _factor(cov_DD: FloatArray) -> FloatArray:
    values_D, vectors_DD = np.linalg.eigh(cov_DD)
    factor_DD: FloatArray = vectors_DD * np.sqrt(values_D.clip(min=0))
    return factor_DD
