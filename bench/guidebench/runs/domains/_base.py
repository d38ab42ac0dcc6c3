"""What a domain offers: starting points, decoding, real samples, metrics and pictures.

Shapes: B samples of a batch, n of a shard, N of a run.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, final

import torch
from numpy.typing import NDArray
from torch import Tensor

from guidebench.base import UserError
from guidebench.metrics import Estimate, Moments, pool
from guidebench.metrics.bias import BLOCKS, Corrected
from guidebench.reports.record import (
    AT_THIS_NUMBER,
    BiasCorrected,
    Display,
    FeatureSource,
    MetricResult,
    StatisticsSource,
)
from guidebench.sampling.noise import PerSeed

Arrays = Mapping[str, NDArray[Any]]


@final
@dataclass(frozen=True, slots=True)
class Start:
    """Where sampling starts: x at the first noise level, and the labels asked for.

    `noise` goes on where they ended, for samplers that draw more.
    """

    seeds_B: tuple[int, ...]
    noise: PerSeed
    x: Tensor
    labels_BL: Tensor | None
    asked_B: Tensor | None


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Measured:
    """One metric of each repeat, with what it was measured against.

    `moments` are those of all features, where the metric is a distance of moments.
    """

    repeats: Sequence[Estimate]
    display: Display
    floor: float | None
    floor_standard_error: float | None
    reference: StatisticsSource | None
    features: FeatureSource | None
    corrected: Corrected | None = None
    moments: Moments | None = None
    covers: str | None = None
    floor_method: str | None = None

    def pooled(self) -> Estimate:
        """All repeats as one estimate."""
        return pool(self.repeats)

    def result(self) -> MetricResult:
        """As it is stored."""
        pooled = self.pooled()
        return MetricResult(
            value=pooled.value,
            standard_error=pooled.standard_error,
            interval_95=pooled.interval_95,
            num_images=self.repeats[0].num_seeds,
            noise_floor=self.floor,
            noise_floor_standard_error=self.floor_standard_error,
            repeats=tuple(e.value for e in self.repeats),
            display=self.display,
            reference=self.reference,
            features=self.features,
            terms=dict(pooled.terms),
            corrected=stored_correction(self.corrected),
            interval_covers=self.covers or AT_THIS_NUMBER,
            noise_floor_method=self.floor_method,
        )


def stored_correction(found: Corrected | None) -> BiasCorrected | None:
    """As it is stored."""
    return found and BiasCorrected(
        value=found.value,
        standard_error=found.standard_error,
        interval_95=found.interval_95,
        blocks=BLOCKS,
    )


def require_contrast(images_BHWC: NDArray[Any], seeds_B: Sequence[int]) -> None:
    """Refuse what `measure` refuses of samples: one flat colour, and one picture for all seeds.

    Raises:
        UserError: that names the seed or seeds.
    """
    flat_BN = images_BHWC.reshape(len(images_BHWC), -1, images_BHWC.shape[-1])
    for seed, pixels_NC in zip(seeds_B, flat_BN, strict=True):
        if (pixels_NC == pixels_NC[0]).all():
            msg = (
                f"the sample of seed {seed} is one flat colour, which a broken network or too much "
                "guidance makes; mend the network or lower the guidance weight"
            )
            raise UserError(msg)
    if len(set(seeds_B)) > 1 and (flat_BN == flat_BN[0]).all():
        msg = (
            f"the samples of seeds {seeds_B[0]} to {seeds_B[-1]} are all the same image, which a "
            "network makes that has collapsed; take another network"
        )
        raise UserError(msg)


class AbstractDomain(ABC):
    """Subclasses are final; what is costly is cached by module functions."""

    @abstractmethod
    def start(self, seeds_B: Sequence[int], sigma_max: float, device: torch.device) -> Start:
        """Starting points that depend on each seed alone."""

    @abstractmethod
    def decode(self, x: Tensor) -> NDArray[Any]:
        """Samples as people keep them: uint8 images [B, H, W, 1 or 3], or float32 points [B, 2].

        Raises:
            UserError: for samples that are not finite.
        """

    @abstractmethod
    def finish(self, x: Tensor, start: Start) -> dict[str, NDArray[Any]]:
        """Decoded samples and their features, one row per seed.

        Raises:
            UserError: for samples that are not finite, or that show nothing.
        """

    @abstractmethod
    def real(self, seeds_n: Sequence[int]) -> dict[str, NDArray[Any]]:
        """Real samples in the same form, one independent draw per seed."""

    @abstractmethod
    def metric_names(self) -> dict[str, str]:
        """Every metric with one line on what it is."""

    @abstractmethod
    def measure(self, names: Sequence[str], repeats: Sequence[Arrays]) -> dict[str, Measured]:
        """The named metrics of each repeat.

        Raises:
            UserError: for a name that this domain does not measure.
        """

    @abstractmethod
    def preview(self, arrays: Arrays, *, truth: bool) -> tuple[str, dict[str, NDArray[Any]]]:
        """Kind and arrays that a report draws; more for the row of real data."""
