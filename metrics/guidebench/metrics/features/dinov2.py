"""DINOv2 as FD_DINOv2 has it: timm's network, its position table resampled DINOv2's own way.

Bicubic antialiased resize of float pixels to 224 x 224, neither clamped nor rounded; ImageNet
mean and standard deviation; the class token after the last norm. timm's own resampling of the
position table is off by about 1e-3 of the feature; the one here is bit-equal to DINOv2's.

Shapes: B images, T tokens, C channels of a token.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Final

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from guidebench.base import UserError
from guidebench.metrics.features.extractor import (
    EXTRA,
    Extractor,
    load_weights,
    randomise,
    tensors_sha256,
)
from guidebench.metrics.names import DINOV2

SHA256: Final = {
    "dinov2-vitl14": "d5383ea8f4877b2472eb973e0fd72d557c7da5d3611bd527ceeb1d7162cbf428",
}
"""Weights whose digest is published with the metric; others are trusted on first use."""

_REGISTERS: Final = "-reg4"
_SIZES: Final = {"s": "small", "b": "base", "l": "large", "g": "giant"}


def _timm_name(name: str) -> str:
    registers = "_reg4" if name.endswith(_REGISTERS) else ""
    return f"vit_{_SIZES[name.removeprefix('dinov2-vit')[0]]}_patch14{registers}_dinov2"


MODELS: Final = {name: _timm_name(name) for name in DINOV2}
"""timm's name of each network."""
_PIXELS: Final = 224
_GRID: Final = 16  # patches of 14 pixels a side
_RESIZE: Final = "bicubic with antialias to 224, float, not clamped"
_SEED: Final = 0
_MEAN: Final = (0.485, 0.456, 0.406)
_STD: Final = (0.229, 0.224, 0.225)


def load_dinov2(
    name: str, weights: Path, device: torch.device, sha256: str | None = None
) -> Extractor:
    """A DINOv2 network from Meta's published weights.

    Args:
        name: One of `MODELS`.
        weights: Their file.
        device: Where the network goes.
        sha256: Digest that the file had when it first came, for weights outside `SHA256`.

    Raises:
        UserError: where no digest is known, or where timm or the weights are missing.
    """
    expected = SHA256.get(name, sha256)
    if expected is None:
        msg = (
            f"no digest is known for the weights of {name}; "
            f"`guidebench checkpoint fetch {name}` records it"
        )
        raise UserError(msg)
    network = _network(name, load_weights(weights, expected, name))
    return _extractor(name, network, expected, device, comparable=True)


def untrained_dinov2(name: str, device: torch.device) -> Extractor:
    """The same network with random weights: for tests, never comparable with any FD_DINOv2.

    Raises:
        UserError: for an unknown name, or where timm is missing.
    """
    network = _network(name, None)
    randomise(network, _SEED)
    digest = tensors_sha256(network.state_dict())
    return _extractor(f"untrained:{name}", network, digest, device, comparable=False)


def resample_positions(table_1TC: Tensor) -> Tensor:
    """The position table for 224 pixels, as DINOv2 makes it at run time.

    The class token's entry stays; the square grid of the others is resized to 16 x 16 by
    bicubic interpolation without antialias, with the scale (16 + 0.1) / side rather than the
    one that the sizes give.
    """
    own, patches = table_1TC[:, :1], table_1TC[:, 1:]
    side = round(patches.shape[1] ** 0.5)
    if side == _GRID:
        return table_1TC
    grid_1CHW = patches.reshape(1, side, side, -1).permute(0, 3, 1, 2)
    scale = (_GRID + 0.1) / side
    resized = F.interpolate(
        grid_1CHW.to(torch.float32), scale_factor=(scale, scale), mode="bicubic", antialias=False
    )
    flat = resized.permute(0, 2, 3, 1).reshape(1, _GRID * _GRID, -1)
    return torch.cat([own, flat.to(table_1TC.dtype)], dim=1)


def preprocess(x_BCHW: Tensor) -> Tensor:
    """uint8 pixels to the network's input, float32 [B, 3, 224, 224]."""
    x = F.interpolate(
        x_BCHW.to(torch.float32), size=(_PIXELS, _PIXELS), mode="bicubic", antialias=True
    )
    mean = torch.tensor(_MEAN, device=x.device).view(1, 3, 1, 1)
    std = torch.tensor(_STD, device=x.device).view(1, 3, 1, 1)
    return (x / 255 - mean) / std


def _network(name: str, state: Mapping[str, Tensor] | None) -> nn.Module:
    try:
        import timm  # noqa: PLC0415  seconds
        from timm.models.vision_transformer import checkpoint_filter_fn  # noqa: PLC0415
    except ImportError as error:
        msg = f"timm {EXTRA}"
        raise UserError(msg) from error
    if name not in MODELS:
        msg = f"unknown DINOv2 network {name}; there are {', '.join(MODELS)}"
        raise UserError(msg)
    with torch.random.fork_rng(devices=[]):  # timm draws its initial weights
        network: nn.Module = timm.create_model(
            MODELS[name], pretrained=False, img_size=_PIXELS, num_classes=0, init_values=1.0
        )
    if state is not None:
        given = dict(state)
        if not name.endswith(_REGISTERS):  # with registers timm's own resampling is DINOv2's
            given["pos_embed"] = resample_positions(given["pos_embed"])
        network.load_state_dict(checkpoint_filter_fn(given, network))  # type: ignore[arg-type]
    return network.eval().requires_grad_(False)


def _extractor(
    name: str, network: nn.Module, digest: str, device: torch.device, *, comparable: bool
) -> Extractor:
    placed = network.to(device)

    def embed(x_BCHW: Tensor) -> Tensor:
        token_BC: Tensor = placed(preprocess(x_BCHW))
        return token_BC

    return Extractor(
        name=name,
        dim=int(placed.num_features),  # type: ignore[arg-type]
        weights_sha256=digest,
        resize=_RESIZE,
        comparable=comparable,
        device=device,
        embed=embed,
    )
