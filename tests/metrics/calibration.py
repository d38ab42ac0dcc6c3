"""Is a standard error the spread over fresh draws, and does the interval hold what it says?"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from guidebench.metrics import Estimate

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Calibration:
    mean: float
    spread: float
    mean_standard_error: float
    coverage: float

    @property
    def ratio(self) -> float:
        return self.mean_standard_error / self.spread


def calibrate(draw: Callable[[int], Estimate], replicates: int) -> Calibration:
    """Coverage is of the mean over replicates: of the expectation at this N."""
    estimates = [draw(i) for i in range(replicates)]
    values = np.array([e.value for e in estimates])
    mean = float(values.mean())
    inside = [e.interval_95[0] <= mean <= e.interval_95[1] for e in estimates]
    return Calibration(
        mean=mean,
        spread=float(values.std(ddof=1)),
        mean_standard_error=float(np.mean([e.standard_error for e in estimates])),
        coverage=float(np.mean(inside)),
    )


def derivatives(functional: Callable[[Array], float], count: int, step: float = 1e-5) -> Array:
    """Of a functional of weights on samples, toward each sample: its influence values."""
    even = np.full(count, 1 / count)

    def toward(n: int, eps: float) -> float:
        weights = (1 - eps) * even
        weights[n] += eps
        return functional(weights)

    return np.array([(toward(n, step) - toward(n, -step)) / (2 * step) for n in range(count)])
