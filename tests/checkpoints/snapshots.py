"""A training that is only simulated: weights that wander, averaged while they do.

Every average is tracked by the published update rule, so that each can be told from any other.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import torch
from torch import Tensor

from guidebench.checkpoints.network_file import NetworkFile, NetworkHeader, Source
from guidebench.checkpoints.posthoc_ema import beta
from guidebench.networks import EDM2Denoiser

CONFIG: Final[dict[str, Any]] = {
    "img_resolution": 8, "img_channels": 3, "label_dim": 4, "model_channels": 8,
    "channel_mult": [1, 2], "num_blocks": 1, "attn_resolutions": [4], "channels_per_head": 8,
}  # fmt: skip
BATCH: Final = 2048
RUN: Final = "edm2-img64-xs"


def train(
    folder: Path, lengths: Sequence[float], *, every: int, count: int, held_out: float | None = None
) -> list[Path]:
    """Snapshots after each `every` steps; returns all paths, the held-out ones apart."""
    torch.manual_seed(0)
    network = EDM2Denoiser(**CONFIG).requires_grad_(requires_grad=False)
    weights = {name: value.clone() for name, value in network.named_parameters()}
    constants = {n: v.clone() for n, v in network.state_dict().items() if n not in weights}
    followed = (*lengths, held_out) if held_out else tuple(lengths)
    averages = {length: {n: v.clone() for n, v in weights.items()} for length in followed}
    paths = []
    for step in range(1, every * count + 1):
        for value in weights.values():
            value.add_(torch.randn_like(value), alpha=0.02)
        for length, average in averages.items():
            decay = beta(length, step * BATCH, BATCH)
            for name, value in average.items():
                value.lerp_(weights[name], 1 - decay)
        if step % every == 0:
            paths += [
                write(folder, step * BATCH, length, average | constants)
                for length, average in averages.items()
                if length != held_out or step == every * count
            ]
    return paths


def write(folder: Path, num_images: int, length: float, tensors: dict[str, Tensor]) -> Path:
    name = f"{RUN}-{num_images // 1000:07d}-{length:.3f}"
    header = NetworkHeader(
        architecture="edm2",
        config=CONFIG,
        encoder=None,
        ema=length,
        num_images=num_images,
        sources=(Source(file=f"{name}.pkl", sha256=f"{hash_of(name)}", bytes=1),),
    )
    path = folder / f"{name}.safetensors"
    NetworkFile(header, {n: v.clone() for n, v in tensors.items()}).save(path)
    return path


def hash_of(text: str) -> str:
    return text.encode().hex().ljust(64, "0")[-64:]
