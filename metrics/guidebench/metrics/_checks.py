"""What every metric asks of its input, and the array types that they share.

Shapes: N samples, D features.
"""

from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from guidebench.base import UserError

Floats: TypeAlias = NDArray[np.floating[Any]]
Float64s: TypeAlias = NDArray[np.float64]


def require_finite(what: str, values: Floats) -> None:
    """Refuse NaN and infinity by count.

    Raises:
        UserError: where any value is not finite.
    """
    bad = values.size - int(np.count_nonzero(np.isfinite(values)))
    if bad:
        msg = (
            f"{bad} of {values.size} values of {what} are not finite; find the seeds that gave "
            "them and lower the guidance weight or raise the precision"
        )
        raise UserError(msg)


def require_seeds(what: str, count: int) -> None:
    """Refuse fewer than two samples: one has no spread.

    Raises:
        UserError: where `count` is below 2.
    """
    if count < 2:
        msg = f"{what} needs at least 2 samples, got {count}; raise the number of seeds"
        raise UserError(msg)


def require_matrix(what: str, values: Floats) -> None:
    """Refuse anything but two axes.

    Raises:
        ValueError: where `values` is not a matrix.
    """
    if values.ndim != 2:
        msg = f"{what} must have 2 axes (samples, dimensions), got shape {values.shape}"
        raise ValueError(msg)


def as_vector(what: str, values: Floats) -> Float64s:
    """Float64 [N] of at least two finite numbers.

    Raises:
        ValueError: where `values` has another number of axes than 1.
        UserError: with fewer than two values, or where one is not finite.
    """
    if values.ndim != 1:
        msg = f"{what} must have 1 axis (samples), got shape {values.shape}"
        raise ValueError(msg)
    require_seeds(what, values.size)
    require_finite(what, values)
    return values.astype(np.float64)
