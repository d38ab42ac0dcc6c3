"""Feature networks by name, with the weights that they need, and metrics of their features alone.

Shapes: B, N images of H x W pixels, D features.
"""

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from guidebench.base import UserError
from guidebench.checkpoints.builtin import builtin_file
from guidebench.checkpoints.cache import weights_path
from guidebench.checkpoints.catalog import find_entry
from guidebench.checkpoints.lockfile import expected_sha256
from guidebench.checkpoints.weights import load_snapshots
from guidebench.metrics import Estimate, GaussianReference, frechet
from guidebench.metrics.bias import fd_infinity
from guidebench.metrics.features import (
    FEATURE_DIM,
    DigitClassifier,
    DigitFeatures,
    Extractor,
    known_extractor,
    load_extractor,
)
from guidebench.metrics.inception_score import inception_score
from guidebench.metrics.names import DIGITS, ImageMetric, Kind, has_published_weights
from guidebench.reports.record import FeatureSource

CLASSIFIER = "digits-classifier"


@lru_cache(maxsize=4)
def extractor_for(name: str, device: str) -> Extractor:
    """The extractor of that name, made ready once a process.

    Raises:
        UserError: for an unknown name, or missing weights or libraries.
    """
    if name == DIGITS:
        return _digits(device)
    if not has_published_weights(name):
        return load_extractor(name, None, device=torch.device(device))
    (file,) = find_entry(known_extractor(name)).files
    return load_extractor(
        name, weights_path(name), device=torch.device(device), sha256=expected_sha256(file)
    )


def extractors_for(metrics: Sequence[ImageMetric], device: str) -> dict[str, Extractor]:
    """One extractor for each network that the metrics need, by its name.

    Raises:
        UserError: for an unknown name, or missing weights or libraries.
    """
    names = dict.fromkeys(metric.extractor for metric in metrics)
    return {name: extractor_for(name, device) for name in names}


@lru_cache(maxsize=1)
def digit_features() -> DigitFeatures:
    """The shipped classifier of 8x8 digits, as the digits suite measures with it."""
    path, digest = builtin_file(CLASSIFIER)
    file = load_snapshots(path)
    last = file.snapshots[-1]
    classifier = DigitClassifier()
    classifier.load_state_dict(file.reconstruct(last.iteration, last.ema))
    return DigitFeatures(classifier, weights_sha256=digest)


def _digits(device: str) -> Extractor:
    """The classifier as an extractor of grey 8x8 images; it always runs on the CPU."""
    features = digit_features()

    def embed(x_BCHW: Tensor) -> Tensor:
        images_BHWC = x_BCHW.permute(0, 2, 3, 1)
        if images_BHWC.shape[1:3] != (8, 8) or (images_BHWC != images_BHWC[..., :1]).any():
            height, width = images_BHWC.shape[1:3]
            msg = f"{DIGITS} features are of grey 8 x 8 images, got {width} x {height} or colour"
            raise UserError(msg)
        found_BD, _ = features.extract(images_BHWC[..., 0].cpu().numpy())
        return torch.from_numpy(found_BD)

    del device
    return Extractor(
        name=DIGITS,
        dim=FEATURE_DIM,
        weights_sha256=features.weights_sha256,
        resize="none",
        comparable=True,
        device=torch.device("cpu"),
        embed=embed,
    )


def feature_source(extractor: Extractor) -> FeatureSource:
    """As a record names an extractor."""
    return FeatureSource(
        name=extractor.name,
        weights_sha256=extractor.weights_sha256,
        resize=extractor.resize,
        precision=extractor.precision,
        tf32=extractor.tf32,
        comparable=extractor.comparable,
        extractor_id=extractor.id,
    )


def alone(
    kind: Kind,
    features_ND: NDArray[np.float32],
    reference: GaussianReference | None,
    extractor: Extractor,
) -> Estimate:
    """A metric that needs no features of real images: statistics of them, or nothing.

    Raises:
        UserError: for an Inception score on features of a network without classes.
    """
    if kind == "is":
        if extractor.logits is None:
            msg = f"{extractor.name} has no classes, an Inception score needs them; take inception"
            raise UserError(msg)
        return inception_score(extractor.logits(features_ND))
    assert reference is not None
    return (frechet if kind == "fd" else fd_infinity)(features_ND, reference)
