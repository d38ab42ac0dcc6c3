"""Interprets a program's instructions with torch: each becomes a few calls on fixed memory.

Shapes: B images, H x W pixels, C, I and O channels, P = B H W, N = H W, M columns of the table, D
channels of a head; channels last.
"""

import math
from typing import final

import torch
import torch.nn.functional as F
from torch import Tensor

from guidebench.networks.program.convolution import (
    AbstractConvolution,
    Step,
    choose_direct,
    is_narrow,
    product,
)
from guidebench.networks.program.memory import Memory
from guidebench.networks.program.ops import Op
from guidebench.networks.program.prepacked import PackedConvolution
from guidebench.networks.program.vectors import undivided


@final
class Frame:
    """What changes from call to call, at fixed places.

    Attributes:
        x: the noisy sample, [B, C, H, W] or [B, 2].
        out: D(x; sigma), of the same shape.
        coefficients_3: c_in, c_skip, c_out.
        columns_BM: the table's row for each image.
    """

    def __init__(self, shape: tuple[int, ...], num_columns: int) -> None:
        self.x, self.out = torch.zeros(shape), torch.zeros(shape)
        self.coefficients_3 = torch.zeros(3)
        self.columns_BM = torch.zeros(shape[0], num_columns)


class TorchBackend:
    """Turns instructions into functions without arguments."""

    def __init__(self, memory: Memory, frame: Frame) -> None:
        self._memory, self._frame = memory, frame

    def algorithm(self, op: Op) -> AbstractConvolution:
        """How a convolution is computed."""
        return choose_direct(op)

    def bind(self, ops: list[Op]) -> list[Step]:
        """All calls, in order."""
        for op in ops:
            self._reserve(op)
        return [step for op in ops for step in getattr(self, f"_{op.kind}")(op)]

    def _reserve(self, op: Op) -> None:
        b, h, w, _ = op.writes.shape
        if op.kind == "conv":
            self.algorithm(op).reserve(op, self._memory)
        elif op.kind == "pixel_norm":
            self._memory.reserve("norms", b * h * w)
        elif op.kind == "attention":
            self._memory.reserve("norms", b * h * w * 3 * op.num_heads)

    def _input(self, op: Op) -> list[Step]:
        inside_BHWC, x = self._memory.inside(op.writes), self._frame.x
        c_in = self._frame.coefficients_3[0]
        channels = x.shape[1]
        inside_BHWC[..., channels:] = 1.0
        into = inside_BHWC[: len(x), ..., :channels].movedim(3, 1).view_as(x)
        return [lambda: torch.mul(x, c_in, out=into)]

    def _output(self, op: Op) -> list[Step]:
        x, out, (_, c_skip, c_out) = self._frame.x, self._frame.out, self._frame.coefficients_3
        raw = self._memory.inside(op.writes)[: len(x)].movedim(3, 1).view_as(x)
        return [lambda: torch.mul(x, c_skip, out=out), lambda: out.addcmul_(raw, c_out)]

    def _conv(self, op: Op) -> list[Step]:
        return self.algorithm(op).bind(op, self._memory)

    def _linear(self, op: Op) -> list[Step]:
        assert op.weight is not None
        (x,), y = op.reads, op.writes
        if not is_narrow(op) and op.columns is None:
            x_BIHW = self._memory.stored(x).permute(0, 3, 1, 2)
            packed = PackedConvolution(op.weight[:, :, None, None], x_BIHW)
            y_BOHW = self._memory.stored(y).permute(0, 3, 1, 2)
            return [packed.accumulate(x_BIHW, y_BOHW, op.beta)]
        x_PI, y_PO = self._memory.pixels(x), self._memory.pixels(y)
        weight_IO = op.weight.T.contiguous()
        if op.columns is None:
            return [product(x_PI, weight_IO, y_PO, op.beta)]
        row_O = self._frame.columns_BM[0, slice(*op.columns)]
        return [lambda: torch.addmm(row_O, x_PI, weight_IO, out=y_PO)]

    def _pixel_norm(self, op: Op) -> list[Step]:
        x_BHWC, y_BHWC = self._memory.stored(op.reads[0]), self._memory.stored(op.writes)
        norms_BHW1 = self._memory.scratch("norms", *x_BHWC.shape[:3], 1)
        return _normalize(x_BHWC, norms_BHW1, y_BHWC, op.alpha)

    def _silu(self, op: Op) -> list[Step]:
        x, y = self._memory.stored(op.reads[0]), self._memory.inside(op.writes)
        silu = torch.ops.aten.silu.out
        return [undivided(lambda x, y: silu(x, out=y), x, y)]

    def _modulate_silu(self, op: Op) -> list[Step]:
        x, y = self._memory.stored(op.reads[0]), self._memory.inside(op.writes)
        assert op.columns is not None
        factor_B11C = self._frame.columns_BM[:, None, None, slice(*op.columns)]
        return [
            lambda: torch.mul(x, factor_B11C, out=y),
            undivided(lambda _, y: F.silu(y, inplace=True), x, y),
        ]

    def _silu_gradient(self, op: Op) -> list[Step]:
        a, y = self._memory.stored(op.reads[0]), self._memory.stored(op.writes)
        gradient = torch.ops.aten.silu_backward.grad_input
        return [undivided(lambda a, y: gradient(y, a, grad_input=y), a, y)]

    def _clip(self, op: Op) -> list[Step]:
        x, y = self._memory.stored(op.reads[0]), self._memory.inside(op.writes)
        limit = op.alpha
        return [lambda: torch.clamp(x, -limit, limit, out=y)]

    def _concat(self, op: Op) -> list[Step]:
        a, b = (self._memory.stored(x) for x in op.reads)
        y, split = self._memory.stored(op.writes), op.reads[0].channels
        y_a, y_b = y[..., :split], y[..., split:]
        return [
            lambda: torch.mul(a, op.alpha, out=y_a),
            lambda: torch.mul(b, op.beta, out=y_b),
        ]

    def _downsample(self, op: Op) -> list[Step]:
        x_BCHW = self._memory.stored(op.reads[0]).permute(0, 3, 1, 2)
        y_BCHW = self._memory.stored(op.writes).permute(0, 3, 1, 2)
        pool = torch.ops.aten.avg_pool2d.out
        return [lambda: pool(x_BCHW, [2, 2], out=y_BCHW)]

    def _upsample(self, op: Op) -> list[Step]:
        x, y = self._memory.stored(op.reads[0]), self._memory.stored(op.writes)
        b, h, w, c = x.shape
        source = x.view(b, h, 1, w, 1, c).expand(b, h, 2, w, 2, c)
        into = y.view(b, h, 2, w, 2, c)
        return [lambda: into.copy_(source)]

    def _attention(self, op: Op) -> list[Step]:
        qkv, y = self._memory.stored(op.reads[0]), self._memory.stored(op.writes)
        b, h, w, c = y.shape
        heads = op.num_heads
        vectors_BNVD = qkv.view(b, h * w, 3 * heads, c // heads)
        norms_BNV1 = self._memory.scratch("norms", b, h * w, 3 * heads, 1)
        q, k, v = vectors_BNVD.transpose(1, 2).chunk(3, dim=1)
        into = y.view(b, h * w, heads, c // heads).transpose(1, 2)

        def attend() -> Tensor:
            return into.copy_(F.scaled_dot_product_attention(q, k, v))

        return [*_normalize(vectors_BNVD, norms_BNV1, vectors_BNVD, op.alpha), attend]


def _normalize(x: Tensor, norms: Tensor, y: Tensor, eps: float) -> list[Step]:
    """Sets y to x / (eps + root mean square over the last dimension)."""
    per_root = 1 / math.sqrt(x.shape[-1])
    return [
        lambda: torch.linalg.vector_norm(x, dim=-1, keepdim=True, out=norms),
        lambda: norms.mul_(per_root).add_(eps),
        lambda: torch.div(x, norms, out=y),
    ]
