"""The 2D fractal: class A is sampled; its exact density judges.

Shapes: B, n, N points; M mixture components; R reference points.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final, final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from typing_extensions import override

from guidebench.base import UserError, sha256_bytes
from guidebench.data.fractal import Fractal
from guidebench.measure.clock import part
from guidebench.metrics import (
    Estimate,
    mean_log_density,
    occupancy_divergence,
    outlier_rate,
    simulated_floor,
    sliced_wasserstein,
)
from guidebench.reports.record import Display, StatisticsSource
from guidebench.runs.domains._base import AbstractDomain, Arrays, Measured, Start
from guidebench.sampling.noise import PerSeed

_OUTSIDE: Final = 0.01
_NUM_DIRECTIONS: Final = 64
_REFERENCE_SEED: Final = 1_000_003  # of the fresh true samples; replicates follow it
_FLOOR_REPLICATES: Final = 8
_GRID: Final = (-0.9, 1.5, -0.9, 1.5)
_GRID_POINTS: Final = 320

Points = NDArray[np.float64]


@lru_cache(maxsize=1)
def _truth() -> Fractal:
    return Fractal.of("A")


@lru_cache(maxsize=1)
def _contour() -> float:
    """Level of log p around 99 % of the mass of class A."""
    return _truth().contour_log_density(1 - _OUTSIDE)


def _fresh(num: int, index: int) -> Points:
    generator = torch.Generator().manual_seed(_REFERENCE_SEED + index)
    return _truth().sample(num, 0.0, generator).numpy()


def _log_density(points_N2: Points) -> NDArray[np.float64]:
    return _log_density_of(points_N2.tobytes())


@lru_cache(maxsize=4)
def _log_density_of(points: bytes) -> NDArray[np.float64]:
    """Two metrics and the preview ask for the same points in turn."""
    x_N2 = np.frombuffer(points).reshape(-1, 2).copy()
    return _truth().log_density(torch.from_numpy(x_N2)).numpy()


def _occupancy(points_N2: Points) -> Estimate:
    mixture = Fractal.of("A", dtype=torch.float32)  # shares need no more, at half the time
    posterior = mixture.responsibilities(torch.from_numpy(points_N2.astype(np.float32)))
    return occupancy_divergence(posterior.numpy(), _truth().weights_M.numpy())


@lru_cache
def _reference_points(num: int) -> Points:
    return _fresh(4 * num, 0)


def _wasserstein(points_N2: Points) -> Estimate:
    return sliced_wasserstein(points_N2, _reference_points(len(points_N2)), _NUM_DIRECTIONS)


@lru_cache
def _floor(metric: Callable[[Points], Estimate], num: int) -> tuple[float, float]:
    """What `num` exact samples score on average, and that average's standard error."""
    return simulated_floor(lambda i: metric(_fresh(num, i + 1)).value, _FLOOR_REPLICATES)


def _outliers(points_N2: Points) -> Estimate:
    return outlier_rate(_log_density(points_N2), _contour())


def _mean_log_density(points_N2: Points) -> Estimate:
    return mean_log_density(_log_density(points_N2))


@final
@dataclass(frozen=True, slots=True)
class _Metric:
    display: Display
    text: str
    measure: Callable[[Points], Estimate]


_METRICS: Final[dict[str, _Metric]] = {
    "outlier_rate": _Metric(
        Display(label="outliers", better="lower", percent=True),
        "share outside the 99 % contour of the true density",
        _outliers,
    ),
    "mean_log_density": _Metric(
        Display(label="mean log p", better="neither"),
        "mean true log-density, in nats",
        _mean_log_density,
    ),
    "occupancy_divergence": _Metric(
        Display(label="JS divergence", better="lower"),
        "Jensen-Shannon divergence of component occupancy, in bits",
        _occupancy,
    ),
    "sliced_wasserstein": _Metric(
        Display(label="sliced W2", better="lower"),
        "sliced 2-Wasserstein distance to fresh true samples",
        _wasserstein,
    ),
}


@final
class FractalDomain(AbstractDomain):
    """Class A of the fractal. Starting points are exact samples smoothed at sigma_max."""

    @override
    def start(self, seeds_B: Sequence[int], sigma_max: float, device: torch.device) -> Start:
        noise = PerSeed(seeds_B, device)
        return Start(tuple(seeds_B), noise, self._draw(noise, sigma_max), None, None)

    def _draw(self, noise: PerSeed, sigma: float) -> Tensor:
        truth = Fractal.of("A", dtype=torch.float32, device=noise.device)
        return truth.place(noise.uniform(), noise.normal((2,)), noise.normal((2,)), sigma)

    @override
    def decode(self, x: Tensor) -> NDArray[np.float32]:
        if not bool(torch.isfinite(x).all()):
            bad = int((~torch.isfinite(x).all(1)).sum())
            msg = f"{bad} of {len(x)} samples are not finite; lower the guidance weight"
            raise UserError(msg)
        points: NDArray[np.float32] = x.to("cpu", torch.float32).numpy()
        return points

    @override
    def finish(self, x: Tensor, start: Start) -> dict[str, NDArray[Any]]:
        with part("decode"):
            return {"points": self.decode(x)}

    @override
    def real(self, seeds_n: Sequence[int]) -> dict[str, NDArray[Any]]:
        return {"points": self.decode(self._draw(PerSeed(seeds_n), 0.0))}

    @override
    def metric_names(self) -> dict[str, str]:
        return {name: metric.text for name, metric in _METRICS.items()}

    @override
    def measure(self, names: Sequence[str], repeats: Sequence[Arrays]) -> dict[str, Measured]:
        if unknown := set(names) - set(_METRICS):
            msg = f"the fractal has no metric {min(unknown)}; it has {', '.join(_METRICS)}"
            raise UserError(msg)
        points = [np.asarray(r["points"], dtype=np.float64) for r in repeats]
        digest = sha256_bytes(_truth().covariances_M22.numpy().tobytes())
        found = {}
        for name in names:
            metric = _METRICS[name]
            floor, floor_error = (
                (_OUTSIDE, 0.0)
                if name == "outlier_rate"
                else _floor(metric.measure, len(points[0]))
            )
            found[name] = Measured(
                repeats=[metric.measure(p) for p in points],
                display=metric.display,
                floor=floor,
                floor_standard_error=floor_error,
                reference=StatisticsSource(
                    name="exact density of class A", sha256=digest, num_images=None
                ),
                features=None,
            )
        return found

    @override
    def preview(self, arrays: Arrays, *, truth: bool) -> tuple[str, dict[str, NDArray[Any]]]:
        points = np.asarray(arrays["points"], dtype=np.float64)
        outside = _log_density(points) < _contour()
        found: dict[str, NDArray[Any]] = {
            "points": points.astype(np.float32),
            "highlight": outside.astype(np.uint8),
        }
        if truth:
            x = np.linspace(_GRID[0], _GRID[1], _GRID_POINTS)
            y = np.linspace(_GRID[2], _GRID[3], _GRID_POINTS)
            grid = np.stack(np.meshgrid(x, y), axis=-1).reshape(-1, 2)
            found["grid_log_density"] = (
                _log_density(grid).reshape(_GRID_POINTS, _GRID_POINTS).astype(np.float32)
            )
            found["grid_extent"] = np.array(_GRID)
            found["contour_log_density"] = np.array([_contour()])
        return "points", found
