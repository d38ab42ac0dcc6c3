"""Magnitude-preserving primitives, written from Karras et al. 2023 (EDM2), arXiv:2312.02696.

Each keeps the expected magnitude of activations at 1 by construction.

Shapes: B images, C or I/O channels, H x W pixels; weights are O x I or O x I x k x k.
"""

import math
from typing import final

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from typing_extensions import override

EPS = 1e-4
SILU_MAGNITUDE = 0.596  # E[silu(x)^2]^(1/2) for x ~ N(0, 1), Eq. 81


def normalize(x: Tensor, dims: tuple[int, ...] | None = None) -> Tensor:
    """Scale to unit root mean square over `dims` (default: all but the first).

    The norm is taken in float32 at least, so that fp16 activations cannot overflow it.
    """
    dims = tuple(range(1, x.ndim)) if dims is None else dims
    wide = torch.promote_types(x.dtype, torch.float32)
    # Mean of squares, not vector_norm: over the channels of NCHW that is several times as fast.
    magnitude = x.to(wide).square().mean(dim=dims, keepdim=True).sqrt()
    return x / (EPS + magnitude).to(x.dtype)


def mp_silu(x: Tensor) -> Tensor:
    """SiLU divided by its expected magnitude, Eq. 81."""
    return F.silu(x) / SILU_MAGNITUDE


def mp_sum(a: Tensor, b: Tensor, t: float) -> Tensor:
    """Blend (1 - t) a + t b, rescaled to keep unit magnitude of independent inputs, Eq. 88."""
    return a.lerp(b, t) / math.hypot(1 - t, t)


def cat_weights(n_a: int, n_b: int, t: float) -> tuple[float, float]:
    """Factors of two sets of channels that are joined, Eq. 103."""
    scale = math.sqrt((n_a + n_b) / ((1 - t) ** 2 + t**2))
    return scale / math.sqrt(n_a) * (1 - t), scale / math.sqrt(n_b) * t


def mp_cat(a: Tensor, b: Tensor, t: float) -> Tensor:
    """Concatenate channels so that `b` contributes with weight t against 1 - t."""
    of_a, of_b = cat_weights(a.shape[1], b.shape[1], t)
    return torch.cat([a * of_a, b * of_b], dim=1)


def downsample(x_BCHW: Tensor) -> Tensor:
    """Halve the resolution with a 2x2 box."""
    return F.avg_pool2d(x_BCHW, 2)


def upsample(x_BCHW: Tensor) -> Tensor:
    """Double the resolution by repeating pixels, the box filter's transpose times 4."""
    return F.interpolate(x_BCHW, scale_factor=2, mode="nearest")


@final
class MPFourier(nn.Module):
    """Random Fourier features of a scalar, sqrt(2) cos(2 pi (f x + phase))."""

    freqs: Tensor
    phases: Tensor

    def __init__(self, num_channels: int, bandwidth: float = 1.0) -> None:
        super().__init__()
        self.register_buffer("freqs", 2 * math.pi * torch.randn(num_channels) * bandwidth)
        self.register_buffer("phases", 2 * math.pi * torch.rand(num_channels))

    @override
    def forward(self, x_B: Tensor) -> Tensor:
        angles = x_B.to(torch.float32).outer(self.freqs.to(torch.float32))
        features = (angles + self.phases.to(torch.float32)).cos() * math.sqrt(2)
        return features.to(x_B.dtype)


@final
class MPConv(nn.Module):
    """Convolution or linear layer without bias whose filters have unit norm.

    In training the stored weight itself is normalised before each use ("forced weight
    normalisation"). `bake` fixes the scaled weight for inference, once.
    """

    baked: Tensor | None

    def __init__(self, in_channels: int, out_channels: int, kernel: tuple[int, ...] = ()) -> None:
        super().__init__()
        self.in_channels = in_channels
        self.weight = nn.Parameter(torch.randn(out_channels, in_channels, *kernel))
        self.register_buffer("baked", None, persistent=False)  # moves with the module

    def scaled_weight(self, gain: Tensor | float) -> Tensor:
        """Unit-norm filters times `gain`, in float32.

        A gain that is stored in float16, as published ones are, is also divided in float16: the
        published networks do so, and it moves their output by about 4e-4.
        """
        w = self.weight.to(torch.float32)
        return normalize(w) * (gain / math.sqrt(w[0].numel()))

    @torch.no_grad()
    def bake(self, gain: Tensor | float = 1.0, dtype: torch.dtype = torch.float32) -> None:
        """Fix the scaled weight; from then on `forward` ignores its own `gain`."""
        self.baked = self.scaled_weight(gain).to(dtype)

    def release(self) -> None:
        """Free the stored weight of a baked layer: it can be neither trained nor saved any more."""
        assert self.baked is not None
        self.weight = nn.Parameter(self.weight.new_empty(0), requires_grad=False)

    @torch.no_grad()
    def force_unit_norm(self) -> None:
        """Replace the stored weight by its normalised self."""
        self.weight.copy_(normalize(self.weight))

    def effective_weight(self, gain: Tensor | float = 1.0) -> Tensor:
        """The weight that `forward` multiplies with."""
        return self.baked if self.baked is not None else self.scaled_weight(gain)

    @override
    def forward(self, x: Tensor, gain: Tensor | float = 1.0) -> Tensor:
        if self.training:
            self.force_unit_norm()
        w = self.effective_weight(gain).to(x.dtype)
        if w.ndim == 2:
            return x @ w.T
        return F.conv2d(x, w, padding=w.shape[-1] // 2)
