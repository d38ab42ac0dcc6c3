"""Published reference statistics: a dict of num_images and, for each metric, mu and sigma.

Shapes: D features.
"""

from dataclasses import dataclass
from typing import Any, Final, final

import numpy as np
from numpy.typing import NDArray

from guidebench.checkpoints.legacy_pickle.arrays import array, as_dict, scalar, shown
from guidebench.checkpoints.legacy_pickle.records import RefusedError

METRICS: Final = ("fid", "fd_dinov2")
_WIDEST: Final = 8192
_MOST_IMAGES: Final = 1 << 40


@final
@dataclass(frozen=True, slots=True, eq=False)
class PickledStatistics:
    """Float64 mean [D] and covariance [D, D]."""

    mu_D: NDArray[np.float64]
    sigma_DD: NDArray[np.float64]


@final
@dataclass(frozen=True, slots=True, eq=False)
class PickledReference:
    """All statistics of one file; `num_images` is None where it does not say."""

    num_images: int | None
    statistics: dict[str, PickledStatistics]


def is_reference(record: Any) -> bool:  # noqa: ANN401
    """Whether records look like reference statistics, whole or not."""
    return isinstance(record, dict) and any(metric in record for metric in METRICS)


def reference_from(record: Any) -> PickledReference:  # noqa: ANN401
    """The statistics that a pickle's records describe.

    Raises:
        RefusedError: for other keys, sizes that do not fit, or other numbers than float64.
    """
    top = as_dict(record, "the file")
    found: dict[str, PickledStatistics] = {
        key: _statistics(top[key], key) for key in METRICS if key in top
    }
    unknown = set(top) - {*METRICS, "num_images"}
    if not found or unknown:
        keys = ", ".join(sorted(shown(k) for k in list(top if not found else unknown)[:6]))
        msg = f"it holds {keys or 'nothing'}; statistics are kept under {' and '.join(METRICS)}"
        raise RefusedError(msg)
    return PickledReference(_count(top.get("num_images")), found)


def _count(record: Any) -> int | None:  # noqa: ANN401
    found = None if record is None else scalar(record, "num_images")
    if found is not None and not 0 < found <= _MOST_IMAGES:
        msg = f"num_images is {shown(found)}"
        raise RefusedError(msg)
    return found


def _statistics(record: Any, metric: str) -> PickledStatistics:  # noqa: ANN401
    fields = as_dict(record, metric)
    mu, sigma = (array(fields.get(key), f"{metric} {key}") for key in ("mu", "sigma"))
    fits = mu.ndim == 1 and sigma.shape == (*mu.shape, *mu.shape) and 0 < len(mu) <= _WIDEST
    if not fits or mu.dtype != np.float64 or sigma.dtype != np.float64:
        msg = (
            f"{metric} has mu {mu.shape} of {mu.dtype} and sigma {sigma.shape} of {sigma.dtype}; "
            "float64 [D] and [D, D] belong together"
        )
        raise RefusedError(msg)
    if not (np.isfinite(mu).all() and np.isfinite(sigma).all()):
        msg = f"{metric} holds numbers that are not finite"
        raise RefusedError(msg)
    return PickledStatistics(mu, sigma)
