"""Ways to compute a 3x3 convolution, chosen from the layer's shape alone.

The batch size and the number of threads must not enter the choice, so that an image's bits depend
on neither.

Shapes: B images, H x W pixels, I and O channels, P = B H W; channels last.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Final, final

import torch
import torch.nn.functional as F
from torch import Tensor
from typing_extensions import override

from guidebench.networks.program.memory import Memory
from guidebench.networks.program.ops import Op
from guidebench.networks.program.prepacked import PackedConvolution

Step = Callable[[], object]
_COLUMNS: Final = 16
NARROW: Final = 64
"""Below so many channels a call of oneDNN costs more than its arithmetic."""


class AbstractConvolution(ABC):
    """One algorithm."""

    def reserve(self, op: Op, memory: Memory) -> None:  # noqa: B027  most need none
        """Ask for the scratch memory that `bind` will use."""

    @abstractmethod
    def bind(self, op: Op, memory: Memory) -> list[Step]:
        """What to call, in order, to set `op.writes`."""


@final
class Gathered(AbstractConvolution):
    """The nine neighbours of each pixel side by side, and one matrix product.

    For narrow layers: two calls without any preparation.
    """

    @override
    def reserve(self, op: Op, memory: Memory) -> None:
        b, h, w, c = op.reads[0].shape
        memory.reserve("gathered", b * h * w * 9 * c)

    @override
    def bind(self, op: Op, memory: Memory) -> list[Step]:
        assert op.weight is not None
        (x,) = op.reads
        b, h, w, c = x.shape
        source_BHWC = memory.stored(x)
        image, row, pixel, _ = source_BHWC.stride()
        # Three pixels of a row are one run of 3 I numbers.
        windows = source_BHWC.as_strided((b, h, w, 3, 3 * c), (image, row, pixel, row, 1))
        gathered = memory.scratch("gathered", b, h, w, 3, 3 * c)
        rows_PK = gathered.view(b * h * w, 9 * c)
        weight_KO = op.weight.permute(2, 3, 1, 0).reshape(9 * c, -1).contiguous()
        return [
            lambda: gathered.copy_(windows),
            product(rows_PK, weight_KO, memory.pixels(op.writes), op.beta),
        ]


@final
class Direct(AbstractConvolution):
    """oneDNN's convolution, with weights in its own order."""

    @override
    def bind(self, op: Op, memory: Memory) -> list[Step]:
        assert op.weight is not None
        x_BIHW = memory.stored(op.reads[0]).permute(0, 3, 1, 2)
        y_BOHW = memory.stored(op.writes).permute(0, 3, 1, 2)
        packed = PackedConvolution(op.weight, x_BIHW)
        return [packed.accumulate(x_BIHW, y_BOHW, op.beta)]


def product(x_PI: Tensor, weight_IO: Tensor, y_PO: Tensor, beta: float) -> Step:
    """Sets y to x W + beta y."""
    rest = weight_IO.shape[1] % _COLUMNS
    if rest and weight_IO.shape[1] > _COLUMNS:
        return _filled_product(x_PI, F.pad(weight_IO, (0, _COLUMNS - rest)), y_PO, beta)
    if beta:
        return lambda: y_PO.addmm_(x_PI, weight_IO, beta=beta)
    return lambda: torch.mm(x_PI, weight_IO, out=y_PO)


def _filled_product(x_PI: Tensor, weight_IF: Tensor, y_PO: Tensor, beta: float) -> Step:
    """Sets y to x W + beta y, with columns of zeros.

    MKL rounds a block of columns that is not full otherwise, and which block that is depends on
    the number of threads.
    """
    filled_PF = y_PO.new_zeros(len(y_PO), weight_IF.shape[1])
    made_PO = filled_PF[:, : y_PO.shape[1]]

    def run() -> None:
        torch.mm(x_PI, weight_IF, out=filled_PF)
        torch.add(made_PO, y_PO, alpha=beta, out=y_PO) if beta else y_PO.copy_(made_PO)

    return run


def choose_direct(op: Op) -> AbstractConvolution:
    """The algorithm without transforms that suits the layer's shape."""
    return Gathered() if is_narrow(op) else Direct()


def is_narrow(op: Op) -> bool:
    """Whether a matrix product serves this layer better than oneDNN's convolution.

    Narrow convolutions of oneDNN also round differently for different batch sizes.
    """
    return max(op.reads[0].channels, op.writes.channels) < NARROW
