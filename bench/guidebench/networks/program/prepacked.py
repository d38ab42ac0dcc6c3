"""A convolution of oneDNN whose weights are brought into its own order once.

`torch.nn.functional.conv2d` reorders them at every call. The operators used here are those that
torch's own compiler emits; where a build lacks them, conv2d gives the same numbers.

Shapes: B images, I and O channels, H x W pixels.
"""

from collections.abc import Callable
from typing import Any, final

import torch
import torch.nn.functional as F
from torch import Tensor

_UNIT = [1, 1]
_NONE = [0, 0]


def has_packed_convolutions() -> bool:
    """Whether this build of torch has oneDNN and the operators for packed weights."""
    operators = ("_convolution_pointwise", "_reorder_convolution_weight")
    return torch.backends.mkldnn.is_available() and all(
        hasattr(torch.ops.mkldnn, name) for name in operators
    )


@final
class PackedConvolution:
    """x [B, I, H, W] -> [B, O, ...] without padding, stride 1, channels last.

    Args:
        weight_OIKK: [O, I / groups, k, k].
        example_BIHW: of the shape that will be given.
        groups: of channels.
    """

    def __init__(self, weight_OIKK: Tensor, example_BIHW: Tensor, groups: int = 1) -> None:
        self._weight = weight_OIKK.contiguous(memory_format=torch.channels_last)
        self._groups = groups
        self._packed: Any = None
        if has_packed_convolutions():
            self._packed = torch.ops.mkldnn._reorder_convolution_weight(  # noqa: SLF001
                self._weight, _NONE, _UNIT, _UNIT, groups, list(example_BIHW.shape)
            )

    def __call__(self, x_BIHW: Tensor) -> Tensor:
        """A new tensor, channels last."""
        if self._packed is None:
            return F.conv2d(x_BIHW, self._weight, groups=self._groups)
        out: Tensor = torch.ops.mkldnn._convolution_pointwise.default(  # noqa: SLF001
            x_BIHW, self._packed, None, _NONE, _UNIT, _UNIT, self._groups, "none", [], ""
        )
        return out

    def accumulate(self, x_BIHW: Tensor, y_BOHW: Tensor, beta: float) -> Callable[[], object]:
        """What to call for y = conv(x) + beta y."""
        if beta:
            return lambda: torch.add(self(x_BIHW), y_BOHW, alpha=beta, out=y_BOHW)
        return lambda: y_BOHW.copy_(self(x_BIHW))
