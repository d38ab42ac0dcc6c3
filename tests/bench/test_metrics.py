"""Metrics against the usual ways to compute them: ratios of things that took turns.

Run by `nox -s bench` alone. Every case first checks that both sides agree.
"""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.linalg
import torch
from numpy.typing import NDArray
from PIL import Image
from scipy.spatial.distance import cdist
from sklearn.datasets import load_sample_images
from torch_fidelity.datasets import ImagesPathDataset
from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3
from torch_fidelity.utils import get_featuresdict_from_dataset

from guidebench.metrics import GaussianReference, frechet_distance
from guidebench.metrics.build import features_of
from guidebench.metrics.features import extractor, inception
from guidebench.metrics.frechet import frechet_to
from guidebench.metrics.images import open_images
from guidebench.metrics.moments import Moments
from guidebench.metrics.neighbours import nearest_squared
from tests.bench.conftest import Tell

Array = NDArray[np.float64]


def covariance(seed: int, dim: int) -> Array:
    """Of full rank, with eigenvalues over three and a half decades, as Inception's are."""
    basis = np.linalg.qr(np.random.default_rng(seed).standard_normal((dim, dim)))[0]
    found: Array = basis * np.exp(-np.linspace(0, 8, dim)) @ basis.T
    return (found + found.T) / 2


@pytest.mark.benchmark(group="Fréchet distance, 2,048 features")
def test_frechet_distance(tell: Tell) -> None:
    dim = 2048
    a, b = (Moments(np.full(dim, 0.01 * s), covariance(s, dim), 50_000) for s in (1, 2))
    reference = GaussianReference.from_moments(b, name="b")
    parts = np.square(a.mean_D - b.mean_D).sum() + np.trace(a.cov_DD) + np.trace(b.cov_DD)

    def by_sqrtm() -> float:
        root: Any = scipy.linalg.sqrtm(a.cov_DD @ b.cov_DD)
        return float(parts - 2 * np.trace(root).real)

    def by_eigvals() -> float:
        values: Any = scipy.linalg.eigvals(a.cov_DD @ b.cov_DD)
        return float(parts - 2 * np.sqrt(values + 0j).real.sum())

    expected = by_eigvals()
    assert frechet_to(a, reference) == pytest.approx(expected, rel=1e-9)
    ways = {
        "scipy sqrtm": by_sqrtm,
        "scipy eigvals": by_eigvals,
        "two sets of moments": lambda: frechet_distance(a, b),
        "reference at hand": lambda: frechet_to(a, reference),
    }
    tell(ways, slow="scipy sqrtm", turns=3)


@pytest.mark.benchmark(group="Inception features of 32 PNG crops, decoding included")
def test_feature_pass(tell: Tell, tmp_path: Path) -> None:
    photographs, rng = load_sample_images().images, np.random.default_rng(0)
    folder = tmp_path / "crops"
    folder.mkdir()
    for place in range(32):
        y, x = rng.integers(0, 427 - 128), rng.integers(0, 640 - 128)
        crop = photographs[place % 2][y : y + 128, x : x + 128]
        Image.fromarray(crop).save(folder / f"{place:03d}.png")
    network = inception._network(None)
    extractor.randomise(network, 3)
    ours = inception._extractor(
        "inception", network, "0" * 64, torch.device("cpu"), comparable=False
    )
    weights = tmp_path / "weights.pth"
    torch.save(network.state_dict(), weights)
    theirs = FeatureExtractorInceptionV3("inception-v3-compat", ["2048"], str(weights))

    def by_torch_fidelity() -> NDArray[np.float32]:
        files = ImagesPathDataset([str(p) for p in sorted(folder.iterdir())])
        found = get_featuresdict_from_dataset(files, theirs, 32, False, True, False)
        features: NDArray[np.float32] = found["2048"].numpy()
        return features

    def by_us(workers: int) -> NDArray[np.float32]:
        passed = features_of(open_images(folder), {"fid": ours}, workers=workers)
        return passed.features["fid"]

    scale = float(np.abs(by_us(0)).max())
    np.testing.assert_allclose(by_us(0), by_torch_fidelity(), rtol=0, atol=1e-5 * scale)
    ways = {"torch-fidelity": by_torch_fidelity, "ours": lambda: by_us(0)}
    tell(ways, slow="torch-fidelity", turns=3)


@pytest.mark.benchmark(group="third nearest neighbour among 6,000 of 1,024 features")
def test_neighbours(tell: Tell) -> None:
    features = np.random.default_rng(0).standard_normal((6000, 1024)).astype(np.float32)

    def brute() -> Array:
        squared: Any = cdist(features, features, "sqeuclidean")
        np.fill_diagonal(squared, np.inf)
        found: Array = np.sort(squared, axis=1)[:, :3]
        return found

    np.testing.assert_allclose(nearest_squared(features, None, 3), brute(), rtol=1e-9)
    ways = {"cdist": brute, "tiles": lambda: nearest_squared(features, None, 3)}
    tell(ways, slow="cdist", turns=3)
