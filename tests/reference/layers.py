"""Slow and literal: the norm of one filter or pixel at a time, in float64."""

import math

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def unit_rms(vector: Array, eps: float = 1e-4) -> Array:
    total = math.fsum(v * v for v in vector.ravel().tolist())
    found: Array = vector / (eps + math.sqrt(total / vector.size))
    return found
