"""The EDM2 U-Net, config G, written from Karras et al. 2023, arXiv:2312.02696.

Names of parameters follow the published checkpoints, so that these can be read later.

Shapes: B images, C channels, H x W pixels, E embedding channels, L class labels.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, final

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from typing_extensions import override

from guidebench.networks.layers import (
    MPConv,
    MPFourier,
    downsample,
    mp_cat,
    mp_silu,
    mp_sum,
    normalize,
    upsample,
)

_RESIDUAL_BALANCE = 0.3
_ATTENTION_BALANCE = 0.3
_EMBEDDING_BALANCE = 0.5
_CONCAT_BALANCE = 0.5
_CLIP = 256.0

Resample = Literal["keep", "down", "up"]


@final
class Block(nn.Module):
    """One residual block, with self-attention where `num_heads` > 0."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        emb_channels: int,
        *,
        decoder: bool,
        resample: Resample = "keep",
        num_heads: int = 0,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.decoder, self.resample = decoder, resample
        self.num_heads, self.dropout = num_heads, dropout
        res0_channels = in_channels if decoder else out_channels
        self.emb_gain = nn.Parameter(torch.zeros([]))
        self.conv_res0 = MPConv(res0_channels, out_channels, (3, 3))
        self.emb_linear = MPConv(emb_channels, out_channels)
        self.conv_res1 = MPConv(out_channels, out_channels, (3, 3))
        narrow = in_channels == out_channels
        self.conv_skip = None if narrow else MPConv(in_channels, out_channels, (1, 1))
        self.attn_qkv = MPConv(out_channels, out_channels * 3, (1, 1)) if num_heads else None
        self.attn_proj = MPConv(out_channels, out_channels, (1, 1)) if num_heads else None

    def bake(self, dtype: torch.dtype) -> None:
        """Fix all weights for inference; the embedding's gain goes into its weight."""
        self.emb_linear.bake(self.emb_gain, dtype)
        for layer in (
            self.conv_res0,
            self.conv_res1,
            self.conv_skip,
            self.attn_qkv,
            self.attn_proj,
        ):
            if layer is not None:
                layer.bake(dtype=dtype)

    @override
    def forward(self, x_BCHW: Tensor, emb_BE: Tensor) -> Tensor:
        x = x_BCHW
        if self.resample != "keep":
            x = downsample(x) if self.resample == "down" else upsample(x)
        if not self.decoder:
            x = x if self.conv_skip is None else self.conv_skip(x)
            x = normalize(x, dims=(1,))
        modulation_BO = self.emb_linear(emb_BE, gain=self.emb_gain) + 1
        y = self.conv_res0(mp_silu(x))
        y = mp_silu(y * modulation_BO[:, :, None, None].to(y.dtype))
        if self.training and self.dropout:
            y = F.dropout(y, p=self.dropout)
        y = self.conv_res1(y)
        if self.decoder and self.conv_skip is not None:
            x = self.conv_skip(x)
        x = mp_sum(x, y, t=_RESIDUAL_BALANCE)
        if self.num_heads:
            x = mp_sum(x, self._attention(x), t=_ATTENTION_BALANCE)
        return x.clip(-_CLIP, _CLIP)

    def _attention(self, x_BCHW: Tensor) -> Tensor:
        """Cosine attention: queries, keys and values of unit magnitude per head."""
        assert self.attn_qkv is not None
        assert self.attn_proj is not None
        b, c, h, w = x_BCHW.shape
        qkv = self.attn_qkv(x_BCHW).reshape(b, self.num_heads, c // self.num_heads, 3, h * w)
        q, k, v = normalize(qkv, dims=(2,)).permute(3, 0, 1, 4, 2).contiguous().unbind(0)
        y = F.scaled_dot_product_attention(q, k, v)
        out: Tensor = self.attn_proj(y.transpose(2, 3).reshape(b, c, h, w))
        return out


@final
@dataclass(frozen=True, slots=True)
class _Stage:
    """One block of the U-Net: its published name, channels, resampling and attention."""

    name: str
    in_channels: int
    out_channels: int
    resample: Resample
    attention: bool


@final
@dataclass(frozen=True, slots=True)
class _Plan:
    """Which blocks there are, from the highest resolution down and back up."""

    resolution: int
    widths: Sequence[int]
    num_blocks: int
    attn_resolutions: Sequence[int]

    def _at(self, level: int) -> tuple[str, bool]:
        resolution = self.resolution >> level
        return f"{resolution}x{resolution}_", resolution in self.attn_resolutions

    def encoder(self) -> list[_Stage]:
        """Blocks after the first convolution; each ends in a skip connection."""
        stages, channels = [], self.widths[0]
        for level, width in enumerate(self.widths):
            at, attention = self._at(level)
            if level:
                stages.append(_Stage(f"{at}down", channels, channels, "down", attention=False))
            for i in range(self.num_blocks):
                stages.append(_Stage(f"{at}block{i}", channels, width, "keep", attention))
                channels = width
        return stages

    def decoder(self) -> list[_Stage]:
        """Blocks named "block" also take the skip connections, last one first."""
        skips = [self.widths[0], *(stage.out_channels for stage in self.encoder())]
        stages, channels = [], self.widths[-1]
        for level, width in reversed(list(enumerate(self.widths))):
            at, attention = self._at(level)
            if level == len(self.widths) - 1:
                stages.append(_Stage(f"{at}in0", channels, channels, "keep", attention=True))
                stages.append(_Stage(f"{at}in1", channels, channels, "keep", attention=False))
            else:
                stages.append(_Stage(f"{at}up", channels, channels, "up", attention=False))
            for i in range(self.num_blocks + 1):
                wide = channels + skips.pop()
                stages.append(_Stage(f"{at}block{i}", wide, width, "keep", attention))
                channels = width
        return stages


@final
class UNet(nn.Module):
    """F(x; c_noise, labels): raw network, without preconditioning."""

    def __init__(
        self,
        *,
        img_resolution: int,
        img_channels: int,
        label_dim: int,
        model_channels: int = 192,
        channel_mult: Sequence[int] = (1, 2, 3, 4),
        channel_mult_noise: int | None = None,
        channel_mult_emb: int | None = None,
        num_blocks: int = 3,
        attn_resolutions: Sequence[int] = (16, 8),
        channels_per_head: int = 64,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        widths = [model_channels * m for m in channel_mult]
        noise_width = model_channels * channel_mult_noise if channel_mult_noise else widths[0]
        emb = model_channels * channel_mult_emb if channel_mult_emb else max(widths)
        plan = _Plan(img_resolution, widths, num_blocks, attn_resolutions)

        def block(stage: _Stage, *, decoder: bool) -> Block:
            return Block(
                stage.in_channels,
                stage.out_channels,
                emb,
                decoder=decoder,
                resample=stage.resample,
                num_heads=stage.out_channels // channels_per_head if stage.attention else 0,
                dropout=dropout,
            )

        self.out_gain = nn.Parameter(torch.zeros([]))
        self.emb_fourier = MPFourier(noise_width)
        self.emb_noise = MPConv(noise_width, emb)
        self.emb_label = MPConv(label_dim, emb) if label_dim else None
        first = f"{img_resolution}x{img_resolution}_conv"
        self.enc = nn.ModuleDict({first: MPConv(img_channels + 1, widths[0], (3, 3))})
        self.enc.update({s.name: block(s, decoder=False) for s in plan.encoder()})
        self.dec = nn.ModuleDict({s.name: block(s, decoder=True) for s in plan.decoder()})
        self.out_conv = MPConv(widths[0], img_channels, (3, 3))

    def bake(self, dtype: torch.dtype) -> None:
        """Fix all weights for inference, those of the blocks in `dtype`."""
        self.emb_noise.bake()
        if self.emb_label is not None:
            self.emb_label.bake()
        for module in (*self.enc.values(), *self.dec.values()):
            if isinstance(module, MPConv):
                module.bake(dtype=dtype)
            elif isinstance(module, Block):
                module.bake(dtype)
        self.out_conv.bake(self.out_gain, dtype)

    def embed(self, c_noise_B: Tensor, labels_BL: Tensor | None) -> Tensor:
        """Joint embedding of noise level and class labels, [B, E]."""
        emb = self.emb_noise(self.emb_fourier(c_noise_B))
        if self.emb_label is not None:
            label_dim = self.emb_label.weight.shape[1]
            labels = emb.new_zeros(1, label_dim) if labels_BL is None else labels_BL
            scaled = labels * math.sqrt(label_dim)
            emb = mp_sum(emb, self.emb_label(scaled.to(emb.dtype)), t=_EMBEDDING_BALANCE)
        return mp_silu(emb)

    @override
    def forward(self, x_BCHW: Tensor, c_noise_B: Tensor, labels_BL: Tensor | None) -> Tensor:
        emb_BE = self.embed(c_noise_B, labels_BL).to(x_BCHW.dtype)
        x = torch.cat([x_BCHW, torch.ones_like(x_BCHW[:, :1])], dim=1)
        skips = []
        for module in self.enc.values():
            x = module(x) if isinstance(module, MPConv) else module(x, emb_BE)
            skips.append(x)
        for name, module in self.dec.items():
            if "block" in name:
                x = mp_cat(x, skips.pop(), t=_CONCAT_BALANCE)
            x = module(x, emb_BE)
        out: Tensor = self.out_conv(x, gain=self.out_gain)
        return out
