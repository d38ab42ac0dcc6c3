"""Elementwise functions whose result does not depend on how torch divides the work.

Torch computes SiLU on whole vectors of numbers and what is left over of a thread's share one by
one, and the two round differently. Each thread gets an equal share, so that where the rest lies
depends on the number of threads, unless shares are whole vectors, or whole rows of an image.

Shapes: B images, H x W pixels, C channels.
"""

from collections.abc import Callable
from typing import Final

import torch
from torch import Tensor

_VECTOR: Final = 32  # numbers that torch treats as one
_SHARE: Final = 32768  # numbers that it never divides


def undivided(
    function: Callable[[Tensor, Tensor], object], x_BHWC: Tensor, y_BHWC: Tensor
) -> Callable[[], object]:
    """A call of function(x, y) that rounds every number as one thread would.

    Args:
        function: elementwise; sets y, and may read it.
        x_BHWC: contiguous.
        y_BHWC: contiguous, or the inside of a bordered buffer.
    """
    numel = x_BHWC.numel()
    unit = numel if y_BHWC.is_contiguous() else x_BHWC[0, 0].numel()
    pieces = [] if numel <= _SHARE else _pieces(x_BHWC, y_BHWC)

    def call() -> None:
        if not pieces or _shares_are_whole(numel, unit, torch.get_num_threads()):
            function(x_BHWC, y_BHWC)
            return
        for x, y in pieces:
            function(x, y)

    return call


def _shares_are_whole(numel: int, row: int, threads: int) -> bool:
    shares = min(threads, -(-numel // _SHARE))
    share = -(-numel // shares)
    return share % row == 0 or share % _VECTOR == row % _VECTOR == 0


def _pieces(x_BHWC: Tensor, y_BHWC: Tensor) -> list[tuple[Tensor, Tensor]]:
    """Whole vectors of whole pixels, each too small to be divided."""
    _, height, width, channels = x_BHWC.shape
    rows = _SHARE // (width * channels)
    if rows:
        cuts = [(slice(h, h + rows), slice(None)) for h in range(0, height, rows)]
    else:
        pixels = max(_SHARE // channels // _VECTOR * _VECTOR, 1)
        cuts = [
            (slice(h, h + 1), slice(w, w + pixels))
            for h in range(height)
            for w in range(0, width, pixels)
        ]
    return [(x[cut], y[cut]) for x, y in zip(x_BHWC, y_BHWC, strict=True) for cut in cuts]
