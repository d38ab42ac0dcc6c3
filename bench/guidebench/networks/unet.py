"""The EDM2 U-Net, config G, written from Karras et al. 2023, arXiv:2312.02696.

Names of parameters follow the published checkpoints, so that these can be read later.

Shapes: B images, C channels, H x W pixels, E embedding channels, L class labels.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor, nn
from typing_extensions import override

from guidebench.networks.block import Block, Drop, Resample
from guidebench.networks.layers import MPConv, MPFourier, mp_cat, mp_silu, mp_sum

EMBEDDING_BALANCE = 0.5
CONCAT_BALANCE = 0.5


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

    modulation_OE: Tensor | None

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
        self.register_buffer("modulation_OE", None, persistent=False)

    def bake(self, dtype: torch.dtype) -> None:
        """Fix all weights for inference: convolutions in `dtype`, embeddings in float32.

        The blocks' factors come from one product with the embedding, for all blocks at once.
        """
        self.emb_noise.bake()
        if self.emb_label is not None:
            self.emb_label.bake()
        for module in (*self.enc.values(), *self.dec.values()):
            if isinstance(module, MPConv):
                module.bake(dtype=dtype)
            elif isinstance(module, Block):
                module.bake(dtype)
        self.out_conv.bake(self.out_gain, dtype)
        scaled = [b.emb_linear.scaled_weight(b.emb_gain).detach() for b in self.blocks]
        self.modulation_OE = torch.cat(scaled)

    @property
    def blocks(self) -> list[Block]:
        """All blocks in the order of their calls."""
        modules = (*self.enc.values(), *self.dec.values())
        return [module for module in modules if isinstance(module, Block)]

    def embed(self, c_noise_B: Tensor, labels_BL: Tensor | None) -> Tensor:
        """Joint embedding of noise level and class labels, float32 [B, E]."""
        emb = self.emb_noise(self.emb_fourier(c_noise_B))
        if self.emb_label is not None:
            label_dim = self.emb_label.in_channels
            labels = emb.new_zeros(1, label_dim) if labels_BL is None else labels_BL
            scaled = labels * math.sqrt(label_dim)
            emb = mp_sum(emb, self.emb_label(scaled.to(emb.dtype)), t=EMBEDDING_BALANCE)
        return mp_silu(emb)

    def modulations(self, emb_BE: Tensor) -> list[Tensor]:
        """Each block's factors [B, O], in the order of `blocks`."""
        if self.modulation_OE is None:
            return [block.modulation(emb_BE) for block in self.blocks]
        joint = emb_BE @ self.modulation_OE.T + 1
        return list(joint.split([block.out_channels for block in self.blocks], dim=1))

    @override
    def forward(
        self,
        x_BCHW: Tensor,
        c_noise_B: Tensor,
        labels_BL: Tensor | None,
        drop: Drop | None = None,
    ) -> Tensor:
        factors = iter(self.modulations(self.embed(c_noise_B, labels_BL)))
        x = torch.cat([x_BCHW, torch.ones_like(x_BCHW[:, :1])], dim=1)
        skips = []
        for module in self.enc.values():
            x = module(x) if isinstance(module, MPConv) else module(x, next(factors), drop)
            skips.append(x)
        for name, module in self.dec.items():
            if "block" in name:
                x = mp_cat(x, skips.pop(), t=CONCAT_BALANCE)
            x = module(x, next(factors), drop)
        out: Tensor = self.out_conv(x, gain=self.out_gain)
        return out
