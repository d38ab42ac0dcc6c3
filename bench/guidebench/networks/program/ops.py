"""The instructions of a static program: what is computed, on which buffers, and nothing about how.

A back end is an interpreter of this list: for each instruction it makes a function without
arguments that acts on the same memory at every call. The list knows shapes and folded weights
only, so that an interpreter in another language needs no Python network.

Shapes: B images, H x W pixels, C channels, channels last; O x I weights of products.
"""

from dataclasses import dataclass
from typing import Literal, final

from torch import Tensor
from typing_extensions import override

Kind = Literal[
    "input",  # y = c_in x, beside a channel of ones
    "conv",  # y = beta y + 3x3 convolution of x
    "linear",  # y = beta y + W x in each pixel; with columns, + the table's row
    "pixel_norm",  # y = x / (eps + root mean square over channels)
    "silu",  # y = silu(x)
    "modulate_silu",  # y = silu(m x), m from the table
    "silu_gradient",  # y = y silu'(x)
    "clip",  # y = min(max(x, -limit), limit)
    "concat",  # y = channels of alpha x0, then of beta x1
    "downsample",  # mean of 2 x 2 pixels
    "upsample",  # each pixel four times
    "attention",  # softmax(q k / sqrt(d)) v over pixels; q, k, v normalised per head
    "output",  # D = c_skip x + c_out y
]


@final
@dataclass(frozen=True, slots=True)
class Buffer:
    """Memory for [B, H, W, C] float32.

    `border` pixels of zeros surround each image: instructions write inside, and only a
    convolution reads them. `slot` says which memory: buffers of one slot never hold values at the
    same time.
    """

    shape: tuple[int, int, int, int]
    border: int
    slot: int

    @property
    def stored_shape(self) -> tuple[int, int, int, int]:
        """Shape with the border."""
        b, h, w, c = self.shape
        return b, h + 2 * self.border, w + 2 * self.border, c

    @property
    def channels(self) -> int:
        """Number of channels."""
        return self.shape[3]

    @override
    def __str__(self) -> str:
        _, h, w, c = self.shape
        return f"{h}x{w}x{c}{' bordered' if self.border else ''} @{self.slot}"


@final
@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Op:
    """One instruction.

    Attributes:
        kind: see `Kind`.
        name: of the layer that it belongs to.
        reads: the buffers x. One that is updated in place stands in `writes` alone.
        writes: the buffer y, whose inside is set. The kind "output" reads it.
        weight: [O, I, 3, 3] of a convolution, [O, I] of a linear map; float32, all constants
            folded in.
        alpha, beta: constants of the kind; `alpha` is the limit of a clip and the epsilon of a
            norm.
        columns: which columns of the table's row it takes, first and last plus one.
        num_heads: of attention.
    """

    kind: Kind
    name: str
    reads: tuple[Buffer, ...]
    writes: Buffer
    weight: Tensor | None = None
    alpha: float = 0.0
    beta: float = 0.0
    columns: tuple[int, int] | None = None
    num_heads: int = 0

    @override
    def __str__(self) -> str:
        words = [f"alpha={self.alpha:.4g}"] if self.alpha else []
        if self.beta:
            words.append(f"beta={self.beta:.4g}")
        if self.weight is not None:
            words.append("weight " + "x".join(str(n) for n in self.weight.shape))
        if self.columns is not None:
            words.append(f"table[{self.columns[0]}:{self.columns[1]}]")
        if self.num_heads:
            words.append(f"{self.num_heads} heads")
        reads = ", ".join(str(b) for b in self.reads)
        return f"{self.name}: {self.kind}({reads}) -> {self.writes}  {' '.join(words)}".rstrip()
