"""The user's own feature networks, found by entry points of an installed package."""

import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from guidebench.base import UserError
from guidebench.metrics.features import load_extractor
from guidebench.metrics.names import has_published_weights

MODULE = """
import torch
from guidebench.metrics.features import Extractor

def load(device):
    return Extractor(
        name="own-means", dim=3, weights_sha256="0" * 64, resize="none", comparable=True,
        device=device, embed=lambda x_BCHW: x_BCHW.to(torch.float32).mean((2, 3)),
    )

def other(device):
    return load(device)

def nothing(device):
    return None

def broken(device):
    raise RuntimeError("no such file")
"""
ENTRIES = """[guidebench.features]
own-means = own_features:load
own-other = own_features:other
own-nothing = own_features:nothing
own-broken = own_features:broken
inception = own_features:load
"""


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """As pip leaves an installed distribution."""
    info = tmp_path / "own_features-1.2.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: own-features\nVersion: 1.2\n")
    (info / "entry_points.txt").write_text(ENTRIES)
    (tmp_path / "own_features.py").write_text(MODULE)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "own_features", raising=False)
    return tmp_path


@pytest.mark.usefixtures("package")
def test_an_own_network_is_found_by_name() -> None:
    found = load_extractor("own-means", None, device=torch.device("cpu"))
    images = np.random.default_rng(0).integers(0, 256, (5, 4, 4, 3), dtype=np.uint8)
    np.testing.assert_allclose(found.extract(images), images.mean((1, 2)), rtol=1e-6)
    assert not has_published_weights("own-means")
    assert has_published_weights("inception")  # which no package replaces


@pytest.mark.usefixtures("package")
@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("own-other", "made an extractor named own-means, its entry point says own-other"),
        ("own-nothing", "must return a guidebench Extractor, got NoneType"),
        ("own-broken", r"own-broken \(own_features:broken\) cannot be loaded: RuntimeError"),
        ("own-missing", "unknown feature network own-missing; there are inception, .*own-means"),
    ],
)
def test_what_is_none_is_refused(name: str, sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        load_extractor(name, None, device=torch.device("cpu"))
