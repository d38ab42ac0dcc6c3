"""Slow and literal: nearest real image, a pair at a time."""

import math

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def nearest_is_training(samples: Array, training: Array, held_out: Array) -> float:
    score = 0.0
    for sample in samples:
        near = min(math.dist(sample, image) for image in training)
        far = min(math.dist(sample, image) for image in held_out)
        score += 1.0 if near < far else 0.5 if near == far else 0.0
    return score / len(samples)
