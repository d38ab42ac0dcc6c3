"""What the built-in networks are trained to do."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, final

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from guidebench.data.digits import NUM_CLASSES, encode, load_digits
from guidebench.data.fractal import ClassSet, Fractal
from guidebench.metrics.features import DigitClassifier, DigitFeatures, images_to_input
from guidebench.networks.fractal import FractalDenoiser
from guidebench.networks.precondition import EDM2Denoiser
from guidebench.training.loss import EDM2Loss, ScoreMatchingLoss


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class FractalTask:
    """Match the exact score of the given classes."""

    classes: ClassSet
    hidden: int
    batch_size: int
    loss_of: ScoreMatchingLoss

    @property
    def architecture(self) -> str:
        """See `Task`."""
        return "fractal"

    @property
    def config(self) -> Mapping[str, Any]:
        """See `Task`."""
        return {"hidden": self.hidden}

    def build(self) -> nn.Module:
        """See `Task`."""
        return FractalDenoiser(**self.config)

    def loss(self, network: nn.Module, generator: torch.Generator) -> Tensor:
        """See `Task`."""
        assert isinstance(network, FractalDenoiser)
        return self.loss_of(network, _truth(self.classes), self.batch_size, generator)


@lru_cache
def _truth(classes: ClassSet) -> Fractal:
    return Fractal.of(classes, dtype=torch.float32)


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class DigitsTask:
    """Denoise the training two thirds of the digits, with or without their labels."""

    conditional: bool
    channels: int
    batch_size: int
    loss_of: EDM2Loss

    @property
    def architecture(self) -> str:
        """See `Task`."""
        return "edm2"

    @property
    def config(self) -> Mapping[str, Any]:
        """See `Task`."""
        return {
            "img_resolution": 8,
            "img_channels": 1,
            "label_dim": NUM_CLASSES if self.conditional else 0,
            "model_channels": self.channels,
            "channel_mult": [1, 2],
            "num_blocks": 1,
            "attn_resolutions": [4],
            "channels_per_head": self.channels,
            "logvar_channels": 32,
        }

    def build(self) -> nn.Module:
        """See `Task`."""
        return EDM2Denoiser(**self.config)

    def loss(self, network: nn.Module, generator: torch.Generator) -> Tensor:
        """See `Task`."""
        assert isinstance(network, EDM2Denoiser)
        x_N1HW, onehot_NL = _training_digits()
        rows = torch.randint(len(x_N1HW), (self.batch_size,), generator=generator)
        labels = onehot_NL[rows] if self.conditional else None
        return self.loss_of(network, x_N1HW[rows], labels, generator)


@lru_cache
def _training_digits() -> tuple[Tensor, Tensor]:
    digits = load_digits()
    keep = ~digits.held_out_N
    onehot = np.eye(NUM_CLASSES, dtype=np.float32)[digits.labels_N[keep]]
    return encode(digits.images_NHW[keep]), torch.from_numpy(onehot)


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class ClassifierTask:
    """Tell the training two thirds of the digits apart, each shifted by up to one pixel."""

    batch_size: int

    @property
    def architecture(self) -> str:
        """See `Task`."""
        return "digit-classifier"

    @property
    def config(self) -> Mapping[str, Any]:
        """See `Task`."""
        return {}

    def build(self) -> nn.Module:
        """See `Task`."""
        return DigitClassifier()

    def loss(self, network: nn.Module, generator: torch.Generator) -> Tensor:
        """See `Task`."""
        images_N1HW, labels_N = _classifier_digits()
        rows = torch.randint(len(images_N1HW), (self.batch_size,), generator=generator)
        dy, dx = torch.randint(3, (2,), generator=generator).tolist()
        padded = F.pad(images_N1HW[rows], (1, 1, 1, 1), value=-1.0)
        shifted = padded[:, :, dy : dy + 8, dx : dx + 8]
        return F.cross_entropy(network(shifted), labels_N[rows])


@lru_cache
def _classifier_digits() -> tuple[Tensor, Tensor]:
    digits = load_digits()
    keep = ~digits.held_out_N
    return images_to_input(digits.images_NHW[keep]), torch.from_numpy(digits.labels_N[keep])


def held_out_accuracy(state: Mapping[str, Tensor]) -> float:
    """Share of the held-out third that a classifier with these weights names rightly."""
    network = DigitClassifier()
    network.load_state_dict(dict(state))
    digits = load_digits()
    _, predicted = DigitFeatures(network, weights_sha256="").extract(
        digits.images_NHW[digits.held_out_N]
    )
    return float((predicted == digits.labels_N[digits.held_out_N]).mean())
