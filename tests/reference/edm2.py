"""The EDM2 denoiser as the published implementation runs it: every weight normalised at every call,
channels first, attention by einsum, one small embedding product for each block.

Written from Karras et al. 2023, arXiv:2312.02696, config G and Algorithm 1; driven by the names of
the stored tensors. In float64 it is the truth that float32 errors are measured against.

Shapes: B images, C channels, H x W pixels, E embedding channels, L labels, D channels of a head.
"""

import math
from collections.abc import Mapping
from typing import final

import torch
import torch.nn.functional as F
from torch import Tensor

EPS = 1e-4
CLIP = 256.0


def normalize(x: Tensor, dims: list[int] | None = None) -> Tensor:
    """Algorithm 1: unit root mean square over `dims`."""
    dims = list(range(1, x.ndim)) if dims is None else dims
    norm = torch.linalg.vector_norm(x, dim=dims, keepdim=True)
    return x / torch.add(EPS, norm, alpha=math.sqrt(norm.numel() / x.numel()))


def mp_silu(x: Tensor) -> Tensor:
    return F.silu(x) / 0.596


def mp_sum(a: Tensor, b: Tensor, t: float) -> Tensor:
    return a.lerp(b, t) / math.sqrt((1 - t) ** 2 + t**2)


def mp_cat(a: Tensor, b: Tensor, t: float) -> Tensor:
    n_a, n_b = a.shape[1], b.shape[1]
    c = math.sqrt((n_a + n_b) / ((1 - t) ** 2 + t**2))
    return torch.cat([c / math.sqrt(n_a) * (1 - t) * a, c / math.sqrt(n_b) * t * b], dim=1)


def mp_conv(x: Tensor, weight: Tensor, gain: Tensor | float = 1.0) -> Tensor:
    """Normalises the whole weight before it multiplies."""
    w = normalize(weight) * (gain / math.sqrt(weight[0].numel()))
    return x @ w.T if w.ndim == 2 else F.conv2d(x, w, padding=w.shape[-1] // 2)


def resample(x: Tensor, mode: str) -> Tensor:
    """A 2 x 2 box as a convolution of each channel by itself."""
    channels = x.shape[1]
    box = torch.full((channels, 1, 2, 2), 0.25, dtype=x.dtype)
    if mode == "down":
        return F.conv2d(x, box, groups=channels, stride=2)
    return F.conv_transpose2d(x, box * 4, groups=channels, stride=2)


@final
class SlowEDM2:
    """D(x; sigma, labels) from stored tensors by name."""

    def __init__(
        self, state: Mapping[str, Tensor], *, channels_per_head: int = 64, sigma_data: float = 0.5
    ) -> None:
        self.state = dict(state)
        self.channels_per_head, self.sigma_data = channels_per_head, sigma_data
        names = [name.split(".")[1:3] for name in state if name.startswith("unet.")]
        self.enc = list(dict.fromkeys(n[1] for n in names if n[0] == "enc"))
        self.dec = list(dict.fromkeys(n[1] for n in names if n[0] == "dec"))

    def __call__(self, x: Tensor, sigma: float, labels_BL: Tensor | None = None) -> Tensor:
        level = torch.full((len(x), 1, 1, 1), sigma, dtype=x.dtype)
        total = level**2 + self.sigma_data**2
        c_skip = self.sigma_data**2 / total
        c_out = level * self.sigma_data / total.sqrt()
        raw = self.raw(x / total.sqrt(), level.flatten().log() / 4, labels_BL)
        return c_skip * x + c_out * raw

    def raw(self, x: Tensor, c_noise_B: Tensor, labels_BL: Tensor | None) -> Tensor:
        emb_BE = self.embedding(c_noise_B, labels_BL)
        x = torch.cat([x, torch.ones_like(x[:, :1])], dim=1)
        skips = []
        for name in self.enc:
            at = f"unet.enc.{name}"
            if name.endswith("conv"):
                x = mp_conv(x, self.state[f"{at}.weight"])
            else:
                x = self.block(at, x, emb_BE, decoder=False)
            skips.append(x)
        for name in self.dec:
            if "block" in name:
                x = mp_cat(x, skips.pop(), 0.5)
            x = self.block(f"unet.dec.{name}", x, emb_BE, decoder=True)
        gain = self.state["unet.out_gain"]
        return mp_conv(x, self.state["unet.out_conv.weight"], gain)

    def embedding(self, c_noise_B: Tensor, labels_BL: Tensor | None) -> Tensor:
        angles = c_noise_B.outer(self.state["unet.emb_fourier.freqs"])
        fourier = (angles + self.state["unet.emb_fourier.phases"]).cos() * math.sqrt(2)
        emb = mp_conv(fourier, self.state["unet.emb_noise.weight"])
        if (weight := self.state.get("unet.emb_label.weight")) is not None:
            dim = weight.shape[1]
            labels = emb.new_zeros(1, dim) if labels_BL is None else labels_BL
            emb = mp_sum(emb, mp_conv(labels * math.sqrt(dim), weight), 0.5)
        return mp_silu(emb)

    def block(self, at: str, x: Tensor, emb_BE: Tensor, *, decoder: bool) -> Tensor:
        get = self.state.get
        for mode in ("down", "up"):
            if at.endswith(f"_{mode}"):
                x = resample(x, mode)
        skip = get(f"{at}.conv_skip.weight")
        if not decoder:
            x = x if skip is None else mp_conv(x, skip)
            x = normalize(x, [1])
        y = mp_conv(mp_silu(x), self.state[f"{at}.conv_res0.weight"])
        factor = mp_conv(
            emb_BE, self.state[f"{at}.emb_linear.weight"], self.state[f"{at}.emb_gain"]
        )
        y = mp_silu(y * (factor + 1)[:, :, None, None])
        y = mp_conv(y, self.state[f"{at}.conv_res1.weight"])
        if decoder and skip is not None:
            x = mp_conv(x, skip)
        x = mp_sum(x, y, 0.3)
        if get(f"{at}.attn_qkv.weight") is not None:
            x = mp_sum(x, self.attention(at, x), 0.3)
        return x.clip(-CLIP, CLIP)

    def attention(self, at: str, x: Tensor) -> Tensor:
        b, c, h, w = x.shape
        d = self.channels_per_head
        qkv = mp_conv(x, self.state[f"{at}.attn_qkv.weight"]).reshape(b, c // d, d, 3, h * w)
        q, k, v = normalize(qkv, [2]).unbind(3)
        weights = torch.einsum("nhcq,nhck->nhqk", q, k / math.sqrt(d)).softmax(dim=3)
        y = torch.einsum("nhqk,nhck->nhcq", weights, v)
        return mp_conv(y.reshape(b, c, h, w), self.state[f"{at}.attn_proj.weight"])
