"""Slow and literal: the metrics of the plane, a sample and a component at a time.

Each takes weights on the samples, so that an influence is a numerical derivative.
"""

import math

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def jensen_shannon_bits(p: list[float], q: list[float]) -> float:
    total = 0.0
    for a, b in zip(p, q, strict=True):
        middle = (a + b) / 2
        if a > 0:
            total += a / 2 * math.log2(a / middle)
        if b > 0:
            total += b / 2 * math.log2(b / middle)
    return total


def occupancy_divergence(responsibilities: Array, weights: Array, on_samples: Array) -> float:
    occupied: list[float] = [
        math.fsum(w * r for w, r in zip(on_samples, column, strict=True))
        for column in responsibilities.T
    ]
    return jensen_shannon_bits(occupied, list(weights))


def wasserstein_squared(x: Array, on_x: Array, y: Array, on_y: Array) -> float:
    """On a line: pour the leftmost mass of one into the leftmost of the other."""
    source: list[tuple[float, float]] = sorted(zip(x.tolist(), on_x.tolist(), strict=True))
    target: list[tuple[float, float]] = sorted(zip(y.tolist(), on_y.tolist(), strict=True))
    total = 0.0
    i = j = 0
    (at, left), (to, room) = source[0], target[0]
    while True:
        moved = min(left, room)
        total += moved * (at - to) ** 2
        left, room = left - moved, room - moved
        if left <= 1e-15:
            i += 1
            if i == len(source):
                return total
            at, left = source[i]
        if room <= 1e-15:
            j += 1
            if j == len(target):
                return total
            to, room = target[j]


def sliced_wasserstein(points: Array, on_points: Array, reference: Array, num: int) -> float:
    on_reference = np.full(len(reference), 1 / len(reference))
    total = 0.0
    for k in range(num):
        axis = np.array([math.cos(math.pi * k / num), math.sin(math.pi * k / num)])
        total += wasserstein_squared(points @ axis, on_points, reference @ axis, on_reference)
    return math.sqrt(total / num)
