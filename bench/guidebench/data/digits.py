"""scikit-learn's 1,797 real 8x8 digits, split once and for all, and their pixel codec.

Source: E. Alpaydin and C. Kaynak, "Optical Recognition of Handwritten Digits", UCI Machine
Learning Repository, 1998; shipped inside scikit-learn (BSD-3-Clause), so nothing is downloaded.

Shapes: N images of H = W = 8 pixels, 1 channel.
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final, final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from guidebench.base import canonical_json, sha256_bytes

NUM_CLASSES: Final = 10
GREY_LEVELS: Final = 17  # the scans count 0..16 black pixels per cell
_SPLIT_SEED: Final = 0
_HELD_OUT: Final = 599  # a third
# Mean and standard deviation of all pixels, in grey levels: fixed, as a VAE's would be.
_PIXEL_MEAN: Final = 4.884
_PIXEL_STD: Final = 6.017
_SIGMA_DATA: Final = 0.5


@final
@dataclass(frozen=True, slots=True)
class Digits:
    """Images as uint8 [N, 8, 8] in 0..255, labels int64 [N], and which are held out [N]."""

    images_NHW: NDArray[np.uint8]
    labels_N: NDArray[np.int64]
    held_out_N: NDArray[np.bool_]

    @property
    def sha256(self) -> str:
        """Digest of pixels, labels and split."""
        parts = (self.images_NHW, self.labels_N, self.held_out_N)
        return sha256_bytes(canonical_json([sha256_bytes(p.tobytes()) for p in parts]))


@lru_cache(maxsize=1)
def load_digits() -> Digits:
    """All images in scikit-learn's order; a fixed random third is never trained on."""
    from sklearn.datasets import load_digits as sklearn_digits  # noqa: PLC0415  heavy

    found: Any = sklearn_digits()  # a Bunch
    held_out = np.zeros(len(found.target), dtype=bool)
    order = np.random.RandomState(_SPLIT_SEED).permutation(len(held_out))
    held_out[order[:_HELD_OUT]] = True
    levels = np.rint(found.images).astype(np.int64)
    return Digits(levels_to_uint8(levels), found.target.astype(np.int64), held_out)


def levels_to_uint8(levels: NDArray[np.int64]) -> NDArray[np.uint8]:
    """Grey levels 0..16 as 0..255."""
    images: NDArray[np.uint8] = np.rint(levels * (255 / (GREY_LEVELS - 1))).astype(np.uint8)
    return images


def encode(images_NHW: NDArray[np.uint8]) -> Tensor:
    """What the denoisers see: float32 [N, 1, 8, 8] with standard deviation 0.5 over the data."""
    levels = torch.from_numpy(images_NHW.astype(np.float32)) * ((GREY_LEVELS - 1) / 255)
    return ((levels.round() - _PIXEL_MEAN) * (_SIGMA_DATA / _PIXEL_STD)).unsqueeze(1)


def decode(x_N1HW: Tensor) -> NDArray[np.uint8]:
    """The inverse of `encode`: rounded to the data's own 17 grey levels, uint8 [N, 8, 8].

    Raises:
        ValueError: for values that are not finite, which clipping would turn into pictures.
    """
    if not bool(torch.isfinite(x_N1HW).all()):
        bad = int((~torch.isfinite(x_N1HW.flatten(1)).all(1)).sum())
        msg = f"{bad} of {len(x_N1HW)} samples hold values that are not finite"
        raise ValueError(msg)
    levels = x_N1HW.squeeze(1).cpu() * (_PIXEL_STD / _SIGMA_DATA) + _PIXEL_MEAN
    return levels_to_uint8(levels.round().clamp(0, GREY_LEVELS - 1).to(torch.int64).numpy())
