"""Slow and literal: the average of all weights so far under the profile tau^gamma."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def power_average(weights_T: Sequence[Array], gamma: float) -> Array:
    """Weights of iteration t count with the integral of tau^gamma over (t - 1, t]."""
    times = np.arange(len(weights_T) + 1, dtype=np.float64)
    share = np.diff((times / times[-1]) ** (gamma + 1))
    found: Array = sum((s * w for s, w in zip(share, weights_T, strict=True)), np.zeros(()))
    return found
