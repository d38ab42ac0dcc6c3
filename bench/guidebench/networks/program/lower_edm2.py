"""The EDM2 U-Net as a list of instructions, its constants folded into the weights.

Folded: the 1 / 0.596 of each magnitude-preserving SiLU into the weight that follows it, and the
factors of each magnitude-preserving sum (Eq. 88 of arXiv:2312.02696) into the product that makes
the second term. Those of a concatenation cannot be moved through the SiLU that follows; they are
applied while joining.

Shapes: B images, H x W pixels, C channels.
"""

import math
from itertools import accumulate, pairwise
from typing import final

import torch
from torch import Tensor

from guidebench.networks.block import ATTENTION_BALANCE, CLIP, RESIDUAL_BALANCE, Block
from guidebench.networks.layers import EPS, SILU_MAGNITUDE, MPConv, cat_weights
from guidebench.networks.precondition import EDM2Denoiser
from guidebench.networks.program.builder import Builder
from guidebench.networks.program.ops import Buffer
from guidebench.networks.unet import CONCAT_BALANCE


def lower_edm2(denoiser: EDM2Denoiser, builder: Builder) -> None:
    """Append the instructions of D(x; sigma, labels).

    Raises:
        ValueError: for a network in training mode, not baked in float32, or not on the CPU.
    """
    _check(denoiser)
    _Lowering(denoiser, builder).run()


def _check(denoiser: EDM2Denoiser) -> None:
    where = "a static program is made of a network in inference form"
    if denoiser.training:
        msg = f"{where}, and this one is in training mode, where dropout acts; call bake() first"
        raise ValueError(msg)
    if denoiser.dtype != torch.float32:
        msg = f"{where} with float32 weights, and this one has {denoiser.dtype}"
        raise ValueError(msg)
    if denoiser.unet.modulation_OE is None:
        msg = f"{where}, and this one's weights are not normalised yet; call bake() first"
        raise ValueError(msg)


def _sum_factors(t: float) -> tuple[float, float]:
    norm = math.hypot(1 - t, t)
    return (1 - t) / norm, t / norm


def _folded(layer: MPConv, factor: float = 1.0) -> Tensor:
    """The baked weight times `factor`, multiplied in float64; [O, I] where it is 1x1."""
    assert layer.baked is not None
    weight = (layer.baked.double() * factor).float()
    return weight if weight.shape[-1] == 3 else weight.flatten(1)


@final
class _Lowering:
    def __init__(self, denoiser: EDM2Denoiser, builder: Builder) -> None:
        self._sample_shape, self._unet, self._to = denoiser.sample_shape, denoiser.unet, builder
        ends = accumulate((block.out_channels for block in self._unet.blocks), initial=0)
        self._columns = iter(list(pairwise(ends)))

    def run(self) -> None:
        to, skips = self._to, []
        x = self._first_conv()
        for name, module in self._unet.enc.items():
            if isinstance(module, Block):
                x = self._encoder_block(f"enc.{name}", module, x)
                to.emit("clip", f"enc.{name}", (x,), x, alpha=CLIP)
            skips.append(to.share(x))
        for name, module in self._unet.dec.items():
            assert isinstance(module, Block)
            if "block" in name:
                x = self._concat(f"dec.{name}", x, skips.pop())
            x = self._decoder_block(f"dec.{name}", module, x)
            if name != list(self._unet.dec)[-1]:  # the last one is clipped into its own place
                to.emit("clip", f"dec.{name}", (x,), x, alpha=CLIP)
        self._output(x)

    def _first_conv(self) -> Buffer:
        name, layer = next(iter(self._unet.enc.items()))
        assert isinstance(layer, MPConv)
        channels, height, width = self._sample_shape
        inside = self._to.bordered(height, width, channels + 1, own=True)
        self._to.emit("input", "input", (), inside)
        weight = _folded(layer)
        out = self._to.new(height, width, len(weight))
        return self._to.emit("conv", f"enc.{name}", (inside,), out, weight=weight)

    def _output(self, x: Buffer) -> None:
        channels, height, width = self._sample_shape
        inside = self._to.bordered(height, width, x.channels)
        self._to.emit("clip", "out_conv", (x,), inside, alpha=CLIP)
        self._to.free(x)
        raw = self._to.new(height, width, channels)
        self._to.emit("conv", "out_conv", (inside,), raw, weight=_folded(self._unet.out_conv))
        self._to.emit("output", "output", (), raw)

    def _concat(self, name: str, x: Buffer, skip: Buffer) -> Buffer:
        _, h, w, c = x.shape
        alpha, beta = cat_weights(c, skip.channels, CONCAT_BALANCE)
        out = self._to.new(h, w, c + skip.channels)
        self._to.emit("concat", name, (x, skip), out, alpha=alpha, beta=beta)
        self._to.free(x)
        self._to.free(skip)
        return out

    def _resample(self, name: str, block: Block, x: Buffer) -> Buffer:
        _, h, w, c = x.shape
        if block.resample == "keep":
            return x
        if block.resample == "down":
            out = self._to.emit("downsample", name, (x,), self._to.new(h // 2, w // 2, c))
        else:
            out = self._to.emit("upsample", name, (x,), self._to.new(2 * h, 2 * w, c))
        self._to.free(x)
        return out

    def _pointwise(self, name: str, layer: MPConv, x: Buffer, factor: float = 1.0) -> Buffer:
        """A 1x1 convolution into a new buffer."""
        weight = _folded(layer, factor)
        out = self._to.new(x.shape[1], x.shape[2], len(weight))
        return self._to.emit("linear", name, (x,), out, weight=weight)

    def _encoder_block(self, name: str, block: Block, x: Buffer) -> Buffer:
        x = self._resample(name, block, x)
        wide = x
        if block.conv_skip is not None:
            wide = self._pointwise(f"{name}.conv_skip", block.conv_skip, x)
            self._to.free(x)
        out = self._to.new(*wide.shape[1:])
        self._to.emit("pixel_norm", name, (wide,), out, alpha=EPS)
        self._to.free(wide)
        keep, _ = _sum_factors(RESIDUAL_BALANCE)
        self._residual(name, block, out, into=out, keep=keep)
        return out

    def _decoder_block(self, name: str, block: Block, x: Buffer) -> Buffer:
        x, (keep, _) = self._resample(name, block, x), _sum_factors(RESIDUAL_BALANCE)
        if block.conv_skip is None:
            if self._to.is_shared(x):  # the deepest skip: a clipped value's clip is its copy
                self._to.free(x)
                x = self._to.emit("clip", name, (x,), self._to.new(*x.shape[1:]), alpha=CLIP)
            self._residual(name, block, x, into=x, keep=keep)
            return x
        out = self._pointwise(f"{name}.conv_skip", block.conv_skip, x, keep)
        self._residual(name, block, x, into=out, keep=1.0)
        self._to.free(x)
        return out

    def _residual(
        self, name: str, block: Block, x: Buffer, *, into: Buffer, keep: float
    ) -> None:  # fmt: skip
        """Sets `into` to keep * into + the block's branch of x; then attention, in place."""
        to, (_, h, w, c) = self._to, x.shape
        inside = to.emit("silu", name, (x,), to.bordered(h, w, c))
        y = to.new(h, w, block.out_channels)
        weight = _folded(block.conv_res0, 1 / SILU_MAGNITUDE)
        to.emit("conv", f"{name}.conv_res0", (inside,), y, weight=weight)
        inside = to.bordered(h, w, block.out_channels)
        to.emit("modulate_silu", name, (y,), inside, columns=next(self._columns))
        to.free(y)
        _, share = _sum_factors(RESIDUAL_BALANCE)
        weight = _folded(block.conv_res1, share / SILU_MAGNITUDE)
        to.emit("conv", f"{name}.conv_res1", (inside,), into, weight=weight, beta=keep)
        if block.num_heads:
            self._attention(name, block, into)

    def _attention(self, name: str, block: Block, x: Buffer) -> None:
        assert block.attn_qkv is not None
        assert block.attn_proj is not None
        to, (_, h, w, c), heads = self._to, x.shape, block.num_heads
        # Stored with query, key and value innermost; wanted outermost, so that each is one piece.
        stored = _folded(block.attn_qkv).reshape(heads, c // heads, 3, c)
        weight = stored.permute(2, 0, 1, 3).reshape(3 * c, c).contiguous()
        qkv = to.emit("linear", f"{name}.attn_qkv", (x,), to.new(h, w, 3 * c), weight=weight)
        y = to.new(h, w, c)
        to.emit("attention", name, (qkv,), y, num_heads=heads, alpha=EPS)
        to.free(qkv)
        keep, share = _sum_factors(ATTENTION_BALANCE)
        weight = _folded(block.attn_proj, share)
        to.emit("linear", f"{name}.attn_proj", (y,), x, weight=weight, beta=keep)
        to.free(y)
