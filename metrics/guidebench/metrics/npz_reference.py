"""Reference statistics that other tools keep in .npz files, told apart by what they hold.

Shapes: D features.
"""

import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from guidebench.base import UserError, sha256_file
from guidebench.metrics.reference import DEFAULT_DIMS, DEFAULT_EXTRACTORS, ReferenceFile, Statistics

_INCEPTION: Final = DEFAULT_DIMS["fid"]


def import_npz(
    path: Path, extractors: Mapping[str, str] | None = None
) -> tuple[ReferenceFile, list[str]]:
    """Statistics of FID, and what else should be said of the file.

    EDM, MAR and JiT keep `mu` and `sigma`; ADM adds `mu_s` and `sigma_s`, which are sFID's, and
    10,000 images for precision and recall, which are not what the statistics were made from.
    pytorch-fid keeps the same names compressed, and clean-fid a float32 `mu`: both resize images
    in another way by default, so they are taken only where the caller names the extractor.

    Raises:
        UserError: for a file that cannot be read, holds something else, or needs naming.
    """
    given = dict(extractors or {})
    arrays, compressed = _arrays(path)
    if unknown := set(given) - {"fid"}:
        msg = f"{path} has no statistics {min(unknown)}; an .npz holds those of fid"
        raise UserError(msg)
    mean_D, cov_DD = arrays["mu"], arrays["sigma"]
    doubtful = "pytorch-fid" if compressed else "clean-fid" if mean_D.dtype == np.float32 else None
    if doubtful and not given:
        msg = (
            f"{path} looks like {doubtful}'s, which resizes images in another way than FID's "
            "reference; if its features were made the reference way, say --extractor fid=inception"
        )
        raise UserError(msg)
    if len(mean_D) != _INCEPTION and not given:
        msg = (
            f"{path} has {len(mean_D)} features, Inception has {_INCEPTION}; say which network "
            "made them: --extractor fid=NAME"
        )
        raise UserError(msg)
    notes = []
    if "mu_s" in arrays:
        notes.append("mu_s and sigma_s are sFID's statistics and are left out")
    if "arr_0" in arrays:
        notes.append(
            "arr_0 holds images for precision and recall; the statistics were made from others"
        )
    extractor = given.get("fid", DEFAULT_EXTRACTORS["fid"])
    statistics = Statistics(mean_D.astype(np.float64), cov_DD.astype(np.float64), extractor)
    statistics.require_whole(str(path))
    return ReferenceFile(path.stem, None, path.name, sha256_file(path), {"fid": statistics}), notes


def _arrays(path: Path) -> tuple[dict[str, NDArray[Any]], bool]:
    """Arrays mu and sigma, with a mark for other known names; whether they are compressed."""
    if not path.is_file():
        msg = f"cannot read {path}: there is no such file; name an existing one"
        raise UserError(msg)
    try:
        with zipfile.ZipFile(path) as archive, np.load(path, allow_pickle=False) as file:
            if missing := {"mu", "sigma"} - set(file.files):
                there = ", ".join(sorted(file.files)) or "nothing"
                msg = f"{path} holds {there}, statistics are kept under mu and sigma"
                raise UserError(msg)
            del missing
            found = {name: file[name] for name in ("mu", "sigma")}
            found |= {name: np.zeros(0) for name in ("mu_s", "arr_0") if name in file.files}
            compressed = archive.getinfo("sigma.npy").compress_type != zipfile.ZIP_STORED
    except (
        OSError,
        EOFError,
        RuntimeError,
        ValueError,
        KeyError,
        zipfile.BadZipFile,
        zlib.error,
    ) as error:
        msg = f"{path} is not a readable .npz archive ({error}); fetch it again"
        raise UserError(msg) from error
    if any(found[n].dtype.kind != "f" for n in ("mu", "sigma")) or found["mu"].ndim != 1:
        msg = f"{path}: mu and sigma are no statistics: float [D] and [D, D] belong together"
        raise UserError(msg)
    return found, compressed
