"""Statistics in .npz files of other tools, told apart by what they hold."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from guidebench.base import UserError
from guidebench.metrics.npz_reference import import_npz

D = 2048
RNG = np.random.default_rng(0)
MU = RNG.normal(size=D)
FACTOR = RNG.normal(size=(D, 30))
SIGMA = FACTOR @ FACTOR.T


def test_edm_files_are_read_bit_for_bit(tmp_path: Path) -> None:
    path = tmp_path / "cifar10-32x32.npz"
    np.savez(path, mu=MU, sigma=SIGMA)
    file, notes = import_npz(path)
    assert (file.name, file.num_images, notes) == ("cifar10-32x32", None, [])
    found = file.statistics["fid"]
    assert found.extractor == "inception"
    np.testing.assert_array_equal(found.mean_D, MU)
    np.testing.assert_array_equal(found.cov_DD, SIGMA)


def test_adm_files_are_not_mistaken(tmp_path: Path) -> None:
    """sFID's moments and the 10,000 images are named and left out."""
    path = tmp_path / "VIRTUAL_imagenet256_labeled.npz"
    images = np.zeros((4, 8, 8, 3), np.uint8)
    np.savez(path, mu=MU, sigma=SIGMA, arr_0=images, mu_s=np.zeros(2023), sigma_s=np.eye(2023))
    file, notes = import_npz(path)
    assert list(file.statistics) == ["fid"]
    assert file.num_images is None
    assert len(notes) == 2
    assert "sFID" in notes[0]
    assert "precision and recall" in notes[1]


@pytest.mark.parametrize(
    ("arrays", "compressed", "words"),
    [
        ({"mu": MU, "sigma": SIGMA}, True, "looks like pytorch-fid's"),
        ({"mu": MU.astype(np.float32), "sigma": SIGMA}, False, "looks like clean-fid's"),
        ({"mu": MU[:64], "sigma": SIGMA[:64, :64]}, False, "has 64 features, Inception has 2048"),
        ({"feats": MU}, False, "holds feats, statistics are kept under mu and sigma"),
        ({"mu": MU, "sigma": SIGMA[:5]}, False, "do not fit"),
        ({"mu": MU.astype(int), "sigma": SIGMA}, False, "are no statistics"),
        ({"mu": MU, "sigma": np.triu(SIGMA)}, False, "no covariance: not symmetric"),
        ({"mu": MU * np.nan, "sigma": SIGMA}, False, "not finite"),
        ({"mu": np.array([None]), "sigma": SIGMA}, False, "not a readable .npz"),
    ],
)
def test_doubtful_and_broken_files_are_refused(
    tmp_path: Path, arrays: dict[str, np.ndarray], compressed: bool, words: str
) -> None:
    path = tmp_path / "x.npz"
    save: Any = np.savez_compressed if compressed else np.savez
    save(path, **arrays)
    with pytest.raises(UserError, match=words):
        import_npz(path)


def test_naming_the_extractor_settles_a_doubt(tmp_path: Path) -> None:
    path = tmp_path / "x.npz"
    np.savez_compressed(path, mu=MU.astype(np.float32), sigma=SIGMA)
    file, _ = import_npz(path, {"fid": "inception"})
    np.testing.assert_array_equal(file.statistics["fid"].mean_D, MU.astype(np.float32))
    with pytest.raises(UserError, match="has no statistics fd_dinov2"):
        import_npz(path, {"fd_dinov2": "dinov2-vitl14"})


def test_a_file_that_is_none_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x.npz").write_bytes(b"PK")
    with pytest.raises(UserError, match=r"is not a readable \.npz archive"):
        import_npz(tmp_path / "x.npz")
    with pytest.raises(UserError, match=r"absent\.npz: there is no such file; name an existing"):
        import_npz(tmp_path / "absent.npz")
