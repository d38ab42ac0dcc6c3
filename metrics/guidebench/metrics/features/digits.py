"""A small classifier of 8x8 grey digits, and the features that it sees.

Shapes: N images, B images of a batch, C channels, H rows, W columns, D features, K classes.
"""

import copy
from typing import final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from typing_extensions import override

from guidebench.base import UserError

SIDE = 8
"""Rows and columns of an image."""
NUM_CLASSES = 10
FEATURE_DIM = 64
_WIDTHS = (24, 32, 36)
_DROPOUT = 0.3
_BATCH = 256


@final
class DigitClassifier(nn.Module):
    """Three convolutions and two linear layers; 55,166 parameters.

    Only operations that are deterministic on a CPU. Dropout stands between the features and
    the last layer, in training mode alone, so features never carry it.
    """

    def __init__(self) -> None:
        super().__init__()
        first, second, third = _WIDTHS
        self.trunk = nn.Sequential(
            nn.Conv2d(1, first, 3, padding=1),
            nn.SiLU(),
            nn.Conv2d(first, second, 3, stride=2, padding=1),
            nn.SiLU(),
            nn.Conv2d(second, third, 3, padding=1),
            nn.SiLU(),
            nn.Flatten(),
            nn.Linear(third * (SIDE // 2) ** 2, FEATURE_DIM),
            nn.SiLU(),
        )
        self.dropout = nn.Dropout(_DROPOUT)
        self.head = nn.Linear(FEATURE_DIM, NUM_CLASSES)

    def features(self, x_BCHW: Tensor) -> Tensor:
        """Penultimate activations [B, 64] of images [B, 1, 8, 8] in [-1, 1]."""
        features_BD: Tensor = self.trunk(x_BCHW)
        return features_BD

    def logits(self, features_BD: Tensor) -> Tensor:
        """Logits [B, 10] of features; with dropout in training mode."""
        logits_BK: Tensor = self.head(self.dropout(features_BD))
        return logits_BK

    @override
    def forward(self, x_BCHW: Tensor) -> Tensor:
        """Logits [B, 10] of images [B, 1, 8, 8] in [-1, 1]."""
        return self.logits(self.features(x_BCHW))


def images_to_input(images_NHW: NDArray[np.uint8]) -> Tensor:
    """Grey levels 0..255 to [N, 1, 8, 8] float32 in [-1, 1]: x / 127.5 - 1.

    Raises:
        ValueError: where the images are not uint8 [N, 8, 8].
    """
    if images_NHW.dtype != np.uint8 or images_NHW.shape[1:] != (SIDE, SIDE):
        msg = (
            f"images must be uint8 of shape (N, {SIDE}, {SIDE}), "
            f"got {images_NHW.dtype} of shape {images_NHW.shape}"
        )
        raise ValueError(msg)
    grey_NHW = images_NHW.astype(np.float32) / np.float32(127.5) - np.float32(1)
    return torch.from_numpy(grey_NHW)[:, None]


@final
class DigitFeatures:
    """A trained classifier as a feature network: images in, features and labels out.

    It keeps a copy of the classifier, so later training of the original changes nothing here.

    Attributes:
        dim: Features per image.
        weights_sha256: Digest of the file that the weights come from, for records.
    """

    dim = FEATURE_DIM

    def __init__(self, classifier: DigitClassifier, *, weights_sha256: str) -> None:
        self._classifier = copy.deepcopy(classifier).eval().requires_grad_(requires_grad=False)
        self._device = self._classifier.head.weight.device
        self.weights_sha256 = weights_sha256

    def extract(
        self, images_NHW: NDArray[np.uint8]
    ) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """Features [N, 64] and predicted labels [N], in the order of the images.

        The network always sees batches of 256, the last one filled up with black images, so
        that an image's bits do not depend on how many come after it.

        Raises:
            ValueError: where the images are not uint8 [N, 8, 8].
            UserError: without images.
        """
        count = images_NHW.shape[0]
        if not count:
            msg = "there are no images to take features of; sample at least one"
            raise UserError(msg)
        padding = np.zeros((-count % _BATCH, SIDE, SIDE), dtype=np.uint8)
        input_NCHW = images_to_input(images_NHW)
        input_NCHW = torch.cat([input_NCHW, images_to_input(padding)])
        parts = [self._batch(batch_BCHW) for batch_BCHW in input_NCHW.split(_BATCH)]
        features_ND = np.concatenate([features_BD for features_BD, _ in parts])[:count]
        labels_N = np.concatenate([labels_B for _, labels_B in parts])[:count]
        return features_ND, labels_N

    @torch.inference_mode()
    def _batch(self, x_BCHW: Tensor) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        features_BD = self._classifier.features(x_BCHW.to(self._device))
        labels_B = self._classifier.logits(features_BD).argmax(dim=1)
        return features_BD.cpu().numpy(), labels_B.cpu().numpy()
