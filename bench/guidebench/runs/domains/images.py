"""Images of published networks, judged by feature networks against reference statistics.

Shapes: B, N images; H, W pixels; D features.
"""

import hashlib
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, Final, final

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor
from typing_extensions import override

from guidebench.base import UserError, sha256_file
from guidebench.checkpoints.cache import weights_path
from guidebench.checkpoints.network_file import NetworkHeader, read_network_header
from guidebench.data.codec import Codec, RGBCodec, StabilityVAECodec
from guidebench.measure.clock import part
from guidebench.metrics import GaussianReference, NoiseFloor, frechet_noise_floor, moments_of
from guidebench.metrics.bias import pooled_jackknife
from guidebench.metrics.names import COVERS, ImageMetric, image_metric
from guidebench.metrics.reference import ReferenceFile, require_extractor
from guidebench.reports.record import Display, StatisticsSource
from guidebench.runs.domains._base import (
    AbstractDomain,
    Arrays,
    Measured,
    Start,
    require_contrast,
)
from guidebench.runs.extractors import alone, extractor_for, feature_source
from guidebench.runs.inputs import STABILITY_VAE, checkpoint_path, inputs_of
from guidebench.runs.spec import CheckpointRef, RunSpec
from guidebench.sampling.noise import PerSeed

_PREVIEW_IMAGES: Final = 64
_PREVIEW_PIXELS: Final = 64
_NO_LABEL: Final = -1


@lru_cache(maxsize=2)
def _reference(path: Path) -> tuple[ReferenceFile, str]:
    return ReferenceFile.load(path), sha256_file(path)


@lru_cache(maxsize=4)
def _gaussian(path: Path, extractor: str) -> GaussianReference:
    """Factored once a process: at 2,048 features that takes seconds."""
    return _reference(path)[0].gaussian(extractor)


@lru_cache(maxsize=8)
def _require_id(path: Path, extractor: str, extractor_id: str) -> None:
    require_extractor(path, extractor, extractor_id)


@lru_cache(maxsize=8)
def _floor(path: Path, extractor: str, num: int) -> NoiseFloor:
    return frechet_noise_floor(_gaussian(path, extractor).cov_DD, num)


@lru_cache(maxsize=2)
def _codec(header_json: str, device: str) -> Codec:
    encoder = NetworkHeader.model_validate_json(header_json).encoder
    if encoder is None or encoder.kind == "rgb":
        return RGBCodec()
    folder = weights_path(STABILITY_VAE)
    return StabilityVAECodec.from_folder(
        folder, scale=encoder.scale, bias=encoder.bias, device=torch.device(device)
    )


@final
class ImagesDomain(AbstractDomain):
    """Noise first, label second, as the public EDM2 order has it; labels i.i.d. uniform."""

    def __init__(self, spec: RunSpec) -> None:
        main = spec.networks["main"]
        assert isinstance(main, CheckpointRef)
        self.spec = spec
        self.header = read_network_header(checkpoint_path(main.checkpoint))
        config = self.header.config
        side = int(config["img_resolution"])
        self.shape = (int(config["img_channels"]), side, side)
        self.num_classes = int(config["label_dim"])

    @override
    def start(self, seeds_B: Sequence[int], sigma_max: float, device: torch.device) -> Start:
        noise = PerSeed(seeds_B, device)
        x = noise.normal(self.shape) * sigma_max
        asked = noise.integer(self.num_classes) if self.num_classes else None
        labels = None if asked is None else F.one_hot(asked, self.num_classes).to(x.dtype)
        return Start(tuple(seeds_B), noise, x, labels, asked)

    @override
    def decode(self, x: Tensor) -> NDArray[np.uint8]:
        try:
            with part("decode"):
                return _codec(self.header.model_dump_json(), self.spec.device).decode(x)
        except ValueError as error:
            msg = f"{error}; lower the guidance weight"
            raise UserError(msg) from error

    @override
    def finish(self, x: Tensor, start: Start) -> dict[str, NDArray[Any]]:
        images_BHWC = self.decode(x)
        require_contrast(images_BHWC, start.seeds_B)
        asked = np.full(len(x), _NO_LABEL) if start.asked_B is None else start.asked_B.cpu().numpy()
        first = self.spec.first_seed
        shown = sum(seed < first + _PREVIEW_IMAGES for seed in start.seeds_B)
        extractors = dict.fromkeys(image_metric(name).extractor for name in self.spec.metrics)
        self._require_made_by()
        with part("features"):
            features = {
                _array(name): extractor_for(name, self.spec.device).extract(images_BHWC)
                for name in extractors
            }
        return features | {
            "labels": asked.astype(np.int64),
            "image_digests": _digests(images_BHWC),
            "thumbnails": _thumbnails(images_BHWC[:shown]),
        }

    def _require_made_by(self) -> None:
        """Before features are stored: ids of weights, resize and code are known only now."""
        path = next(i.path for i in inputs_of(self.spec) if i.kind == "reference")
        for metric in map(image_metric, self.spec.metrics):
            if metric.kind != "is":
                made = extractor_for(metric.extractor, self.spec.device)
                _require_id(path, made.name, made.id)

    @override
    def real(self, seeds_n: Sequence[int]) -> dict[str, NDArray[Any]]:
        msg = "rows of images have no real data to draw from; their reference is statistics alone"
        raise UserError(msg)

    @override
    def metric_names(self) -> dict[str, str]:
        return METRIC_NAMES

    @override
    def measure(self, names: Sequence[str], repeats: Sequence[Arrays]) -> dict[str, Measured]:
        return {name: self._measured(image_metric(name), repeats) for name in names}

    def _measured(self, metric: ImageMetric, repeats: Sequence[Arrays]) -> Measured:
        path = next(i.path for i in inputs_of(self.spec) if i.kind == "reference")
        file, digest = _reference(path)
        extractor = extractor_for(metric.extractor, self.spec.device)
        features = [repeat[_array(metric.extractor)] for repeat in repeats]
        needs_reference = metric.kind != "is"
        gaussian = _gaussian(path, metric.extractor) if needs_reference else None
        is_fd = metric.kind == "fd" and gaussian is not None
        floor = _floor(path, metric.extractor, len(features[0])) if is_fd else None
        return Measured(
            repeats=[alone(metric.kind, f, gaussian, extractor) for f in features],
            display=Display(
                label=metric.label, better="higher" if metric.kind == "is" else "lower"
            ),
            floor=floor and floor.value,
            floor_standard_error=floor and floor.standard_error,
            floor_method=floor and floor.method,
            reference=StatisticsSource(name=file.name, sha256=digest, num_images=file.num_images)
            if needs_reference
            else None,
            features=feature_source(extractor),
            corrected=pooled_jackknife(features, gaussian) if is_fd and gaussian else None,
            moments=moments_of(np.concatenate(features)) if is_fd else None,
            covers=COVERS.get(metric.kind),
        )

    @override
    def preview(self, arrays: Arrays, *, truth: bool) -> tuple[str, dict[str, NDArray[Any]]]:
        thumbnails = arrays["thumbnails"]
        return "images", {
            "images": thumbnails,
            "labels": arrays["labels"][: len(thumbnails)],
        }


METRIC_NAMES: Final = {
    "fid": "Fréchet distance on Inception features, 2048-d, against the reference statistics",
    "fd_dinov2": "Fréchet distance on DINOv2 ViT-L/14 features, 1024-d",
    "fd:EXTRACTOR": "Fréchet distance on another extractor's features (`guidebench list features`)",
    "fd_infinity": "FD-infinity on Inception features, or fd_infinity:EXTRACTOR",
    "is": "Inception score over all samples at once",
}


def _array(extractor: str) -> str:
    return f"features/{extractor}"


def _digests(images_BHWC: NDArray[np.uint8]) -> NDArray[np.uint64]:
    """Eight bytes of SHA-256 of each image: equal samples show without storing them."""
    digests = [hashlib.sha256(np.ascontiguousarray(i).tobytes()).digest()[:8] for i in images_BHWC]
    return np.array([int.from_bytes(d, "little") for d in digests], dtype=np.uint64)


def _thumbnails(images_BHWC: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """At most 64 pixels a side, by the mean over blocks."""
    images_BCHW = torch.from_numpy(images_BHWC).permute(0, 3, 1, 2).to(torch.float32)
    if len(images_BCHW) and images_BCHW.shape[-1] > _PREVIEW_PIXELS:
        images_BCHW = F.interpolate(images_BCHW, size=_PREVIEW_PIXELS, mode="area")
    side = min(images_BHWC.shape[1], _PREVIEW_PIXELS)
    small: NDArray[np.uint8] = images_BCHW.round().to(torch.uint8).permute(0, 2, 3, 1).numpy()
    return np.ascontiguousarray(small[:, :side, :side])
