"""The published sizes of EDM2, as arguments of `EDM2Denoiser`; arXiv:2312.02696 and 2406.02507."""

from typing import Any, Final

CHANNELS: Final = {
    "XXS": 64, "XS": 128, "S": 192, "M": 256, "L": 320, "XL": 384, "XXL": 448,
}  # fmt: skip
"""Channels at the highest resolution; everything else is a multiple of them."""

_IMAGE_CHANNELS: Final = {64: 3, 512: 4}


def edm2_config(size: str, *, resolution: int, conditional: bool = True) -> dict[str, Any]:
    """Constructor arguments of a published network for ImageNet.

    Args:
        size: XXS to XXL.
        resolution: 64, in RGB, or 512, in latents of 64 x 64 with four channels.
        conditional: on 1,000 classes.

    Raises:
        KeyError: for another size or resolution.
    """
    return {
        "img_resolution": 64,
        "img_channels": _IMAGE_CHANNELS[resolution],
        "label_dim": 1000 if conditional else 0,
        "model_channels": CHANNELS[size],
    }
