"""Slow, literal resampling, pixel by pixel."""

import math

import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.float64]


def tf1_bilinear(image_HW: Image, size: int) -> Image:
    """TensorFlow 1's resize_bilinear with align_corners=False: source = i * scale, no antialias."""
    out = np.empty((size, size))
    height, width = image_HW.shape
    for i in range(size):
        for j in range(size):
            y, x = i * height / size, j * width / size
            top, left = math.floor(y), math.floor(x)
            below, right = min(top + 1, height - 1), min(left + 1, width - 1)
            dy, dx = y - top, x - left
            upper = (1 - dx) * image_HW[top, left] + dx * image_HW[top, right]
            lower = (1 - dx) * image_HW[below, left] + dx * image_HW[below, right]
            out[i, j] = (1 - dy) * upper + dy * lower
    return out


def cubic(distance: float, a: float) -> float:
    """Keys' kernel."""
    d = abs(distance)
    if d < 1:
        return (a + 2) * d**3 - (a + 3) * d**2 + 1
    return a * d**3 - 5 * a * d**2 + 8 * a * d - 4 * a if d < 2 else 0.0


def bicubic_with_scale(table_HW: Image, size: int, scale: float) -> Image:
    """Bicubic (a = -0.75), half-pixel centres, no antialias, edges repeated, `scale` as given."""
    out = np.zeros((size, size))
    side = table_HW.shape[0]
    for i in range(size):
        for j in range(size):
            y, x = (i + 0.5) / scale - 0.5, (j + 0.5) / scale - 0.5
            for row in range(math.floor(y) - 1, math.floor(y) + 3):
                for column in range(math.floor(x) - 1, math.floor(x) + 3):
                    weight = cubic(y - row, -0.75) * cubic(x - column, -0.75)
                    inside = min(max(row, 0), side - 1), min(max(column, 0), side - 1)
                    out[i, j] += weight * table_HW[inside]
    return out


def antialiased_bicubic(image_HW: Image, size: int) -> Image:
    """Bicubic (a = -0.5) whose kernel widens with the reduction, as Pillow's; no clamp."""

    def weights(n_in: int) -> NDArray[np.float64]:
        ratio = n_in / size
        support = 2.0 * max(ratio, 1.0)
        found = np.zeros((size, n_in))
        for i in range(size):
            centre = (i + 0.5) * ratio
            first, last = (
                int(max(centre - support + 0.5, 0)),
                int(min(centre + support + 0.5, n_in)),
            )
            for j in range(first, last):
                found[i, j] = cubic((j - centre + 0.5) / max(ratio, 1.0), -0.5)
        normed: NDArray[np.float64] = found / found.sum(axis=1, keepdims=True)
        return normed

    resized: Image = weights(image_HW.shape[0]) @ image_HW @ weights(image_HW.shape[1]).T
    return resized
