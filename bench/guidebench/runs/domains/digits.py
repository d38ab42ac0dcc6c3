"""The 8x8 digits, judged by a small digit classifier's features and labels.

Shapes: B, n, N images; L labels; D features.
"""

from collections.abc import Sequence
from functools import lru_cache
from typing import Any, Final, final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from typing_extensions import override

from guidebench.base import UserError
from guidebench.data.digits import NUM_CLASSES, decode, load_digits
from guidebench.measure.clock import part
from guidebench.metrics import (
    Estimate,
    GaussianReference,
    agreement,
    frechet,
    frechet_noise_floor,
    moments_of,
    nearest_is_training,
    perfect_nearest_share,
)
from guidebench.metrics.bias import pooled_jackknife
from guidebench.reports.record import Display, FeatureSource, StatisticsSource
from guidebench.runs.domains._base import (
    AbstractDomain,
    Arrays,
    Measured,
    Start,
    require_contrast,
)
from guidebench.runs.extractors import CLASSIFIER, digit_features
from guidebench.sampling.noise import PerSeed

_PREVIEW_IMAGES: Final = 200
_SHAPE: Final = (1, 8, 8)


@lru_cache(maxsize=1)
def _reference() -> GaussianReference:
    """All 1,797 real images, as the papers take all real images."""
    features, _ = digit_features().extract(load_digits().images_NHW)
    return GaussianReference.from_features(features, name="digits, all 1,797 images")


@lru_cache(maxsize=1)
def _held_out_agreement() -> Estimate:
    """The classifier on real images that it has not seen."""
    digits = load_digits()
    keep = digits.held_out_N
    _, predicted = digit_features().extract(digits.images_NHW[keep])
    return agreement(predicted, digits.labels_N[keep])


@final
class DigitsDomain(AbstractDomain):
    """Noise first, label second, as the public EDM2 order has it; labels i.i.d. uniform."""

    @override
    def start(self, seeds_B: Sequence[int], sigma_max: float, device: torch.device) -> Start:
        noise = PerSeed(seeds_B, device)
        x = noise.normal(_SHAPE) * sigma_max
        asked = noise.integer(NUM_CLASSES)
        return Start(tuple(seeds_B), noise, x, torch.eye(NUM_CLASSES, device=device)[asked], asked)

    @override
    def decode(self, x: Tensor) -> NDArray[np.uint8]:
        try:
            with part("decode"):
                return decode(x)[..., None]
        except ValueError as error:
            msg = f"{error}; lower the guidance weight"
            raise UserError(msg) from error

    @override
    def finish(self, x: Tensor, start: Start) -> dict[str, NDArray[Any]]:
        assert start.asked_B is not None
        images_BHWC = self.decode(x)
        require_contrast(images_BHWC, start.seeds_B)
        return self._described(images_BHWC[..., 0], start.asked_B.cpu().numpy())

    def _described(
        self, images_NHW: NDArray[np.uint8], labels_N: NDArray[np.int64]
    ) -> dict[str, NDArray[Any]]:
        with part("features"):
            features, predicted = digit_features().extract(images_NHW)
        return {
            "images": images_NHW,
            "labels": labels_N,
            "features": features,
            "predicted": predicted,
        }

    @override
    def real(self, seeds_n: Sequence[int]) -> dict[str, NDArray[Any]]:
        digits = load_digits()
        rows = PerSeed(seeds_n).integer(len(digits.labels_N)).numpy()
        return self._described(digits.images_NHW[rows], digits.labels_N[rows])

    @override
    def metric_names(self) -> dict[str, str]:
        return {
            "fd_digits": "Fréchet distance of the digit classifier's features",
            "agreement": "share of samples that the classifier names as asked",
            "nearest_is_training": "share whose nearest real image was trained on; 1 is memorising",
        }

    @override
    def measure(self, names: Sequence[str], repeats: Sequence[Arrays]) -> dict[str, Measured]:
        known = {
            "fd_digits": self._fd,
            "agreement": self._agreement,
            "nearest_is_training": self._memorisation,
        }
        if unknown := set(names) - set(known):
            msg = f"the digits have no metric {min(unknown)}; they have {', '.join(known)}"
            raise UserError(msg)
        return {name: known[name](repeats) for name in names}

    def _features(self) -> FeatureSource:
        return FeatureSource(
            name=CLASSIFIER,
            weights_sha256=digit_features().weights_sha256,
            resize=None,
            precision="fp32",
            tf32=False,
        )

    def _fd(self, repeats: Sequence[Arrays]) -> Measured:
        reference = _reference()
        floor = frechet_noise_floor(reference.cov_DD, len(repeats[0]["features"]))
        return Measured(
            repeats=[frechet(r["features"], reference) for r in repeats],
            display=Display(label="FD_digits", better="lower"),
            floor=floor.value,
            floor_standard_error=floor.standard_error,
            floor_method=floor.method,
            reference=StatisticsSource(
                name=reference.name, sha256=load_digits().sha256, num_images=reference.count
            ),
            features=self._features(),
            corrected=pooled_jackknife([r["features"] for r in repeats], reference),
            moments=moments_of(np.concatenate([r["features"] for r in repeats])),
        )

    def _agreement(self, repeats: Sequence[Arrays]) -> Measured:
        held_out = _held_out_agreement()
        return Measured(
            repeats=[agreement(r["predicted"], r["labels"]) for r in repeats],
            display=Display(label="agreement", better="higher", percent=True),
            floor=held_out.value,
            floor_standard_error=held_out.standard_error,
            reference=None,
            features=self._features(),
        )

    def _memorisation(self, repeats: Sequence[Arrays]) -> Measured:
        digits = load_digits()
        flat = digits.images_NHW.reshape(len(digits.images_NHW), -1).astype(np.float64)
        training, held_out = flat[~digits.held_out_N], flat[digits.held_out_N]
        return Measured(
            repeats=[
                nearest_is_training(
                    r["images"].reshape(len(r["images"]), -1).astype(np.float64),
                    training,
                    held_out,
                )
                for r in repeats
            ],
            display=Display(label="nearest is training", better="neither", percent=True),
            floor=perfect_nearest_share(len(training), len(held_out)),
            floor_standard_error=0.0,
            reference=StatisticsSource(
                name="digits, training and held-out pixels",
                sha256=digits.sha256,
                num_images=len(flat),
            ),
            features=None,
        )

    @override
    def preview(self, arrays: Arrays, *, truth: bool) -> tuple[str, dict[str, NDArray[Any]]]:
        return "images", {
            "images": arrays["images"][:_PREVIEW_IMAGES],
            "labels": arrays["labels"][:_PREVIEW_IMAGES],
        }
