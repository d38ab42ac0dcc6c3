"""One block of the EDM2 U-Net, config G, written from Karras et al. 2023, arXiv:2312.02696.

Shapes: B images, C channels, H x W pixels, O output channels.
"""

from collections.abc import Callable
from typing import Literal, final

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from typing_extensions import override

from guidebench.networks.layers import MPConv, downsample, mp_silu, mp_sum, normalize, upsample

RESIDUAL_BALANCE = 0.3
ATTENTION_BALANCE = 0.3
CLIP = 256.0

Resample = Literal["keep", "down", "up"]
Drop = Callable[[Tensor], Tensor]
"""Sets some activations [B, C, H, W] to zero and scales up the others."""


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
        self.decoder, self.resample, self.out_channels = decoder, resample, out_channels
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
        """Fix the weights of all convolutions for inference."""
        for layer in (
            self.conv_res0,
            self.conv_res1,
            self.conv_skip,
            self.attn_qkv,
            self.attn_proj,
        ):
            if layer is not None:
                layer.bake(dtype=dtype)

    def modulation(self, emb_BE: Tensor) -> Tensor:
        """Factor on each channel inside the block, [B, O]."""
        factor_BO: Tensor = self.emb_linear(emb_BE, gain=self.emb_gain) + 1
        return factor_BO

    @override
    def forward(self, x_BCHW: Tensor, modulation_BO: Tensor, drop: Drop | None = None) -> Tensor:
        x = x_BCHW
        if self.resample != "keep":
            x = downsample(x) if self.resample == "down" else upsample(x)
        if not self.decoder:
            x = x if self.conv_skip is None else self.conv_skip(x)
            x = normalize(x, dims=(1,))
        y = self.conv_res0(mp_silu(x))
        y = mp_silu(y * modulation_BO[:, :, None, None].to(y.dtype))
        if drop is not None:
            y = drop(y)
        elif self.training and self.dropout:
            y = F.dropout(y, p=self.dropout)
        y = self.conv_res1(y)
        if self.decoder and self.conv_skip is not None:
            x = self.conv_skip(x)
        x = mp_sum(x, y, t=RESIDUAL_BALANCE)
        if self.num_heads:
            x = mp_sum(x, self._attention(x), t=ATTENTION_BALANCE)
        return x.clip(-CLIP, CLIP)

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
