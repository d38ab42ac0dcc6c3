"""What images of any origin are compared with, and whether they can be, before hours of work.

Shapes: M real images, D features.
"""

import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, final

import numpy as np
from numpy.typing import NDArray

from guidebench.base import UserError, require_writable, sha256_file
from guidebench.metrics import GaussianReference
from guidebench.metrics.build import features_of
from guidebench.metrics.features import Extractor
from guidebench.metrics.images import ImageSource
from guidebench.metrics.names import ALONE, ImageMetric
from guidebench.metrics.reference import ReferenceFile, require_same_size
from guidebench.runs.references import find_reference
from guidebench.runs.run_images import open_any

Progress = Callable[[str, int, int], None]
RECORD: Final = "record.json"
_FEWEST: Final = 2
_FEWEST_BY_KIND: Final = {"fd_infinity": 20}  # two at its smallest size, N / 10


def require_free(out: Path) -> None:
    """Refuse a place for a record that holds one already, or where none can be written.

    Raises:
        UserError: that names what is in the way.
    """
    if (out / RECORD).exists():
        msg = f"{out} holds a record already; name another folder by --out, or take it away"
        raise UserError(msg)
    there = next((p for p in (out, *out.parents) if p.exists()), None)
    if there is not None and not there.is_dir():
        msg = f"{there} is a file, a record's folder {out} cannot be there; name another by --out"
        raise UserError(msg)
    require_writable(out)


def require_measurable(
    source: ImageSource, reference: str, metrics: Sequence[ImageMetric], out: Path
) -> None:
    """Refuse what one image of each side shows, before any network sees any.

    Raises:
        UserError: for a place that is taken, too few images on a side, or two sizes.
    """
    require_free(out)
    sides, path = [source], Path(reference)
    if _holds_images(path):
        _require_no_statistics(path, metrics)
        sides.append(open_any(path))
    for metric in metrics:
        fewest = _FEWEST_BY_KIND.get(metric.kind, _FEWEST)
        for side, least in zip(sides, (fewest, _FEWEST), strict=False):
            if len(side) < least:
                images = "image" if len(side) == 1 else "images"
                msg = (
                    f"{side.path} holds {len(side)} {images}, {metric.name} needs {least}; add some"
                )
                raise UserError(msg)
    sizes = [side.read(0).shape for side in sides]
    require_same_size(path.name, sizes[-1][:2], (sizes[0][0], sizes[0][1]))


def _holds_images(path: Path) -> bool:
    return path.is_dir() or path.suffix.lower() in {".zip", ".npz"}


@final
@dataclass(frozen=True, slots=True, eq=False)
class Against:
    """What samples are compared with: statistics, and features where real images were given."""

    name: str
    sha256: str
    num_images: int | None
    resolution: tuple[int, int] | None
    gaussian: Mapping[str, GaussianReference]
    features: Mapping[str, NDArray[np.float32]]


def compared_with(
    reference: str,
    extractors: Mapping[str, Extractor],
    metrics: Sequence[ImageMetric],
    *,
    workers: int,
    progress: Progress,
) -> Against:
    """Statistics by name or file, or real images as a folder or an archive.

    Raises:
        UserError: where there are none, another feature network, resize or version made them, or
            an .npz holds statistics of other images than its own.
    """
    path = Path(reference)
    if _holds_images(path):
        _require_no_statistics(path, metrics)
        source = open_any(path)
        passed = features_of(
            source, extractors,
            workers=workers, sampled=False, progress=named(progress, "real"),
        )  # fmt: skip
        gaussian = {n: GaussianReference.from_features(f, name=path.name)
                    for n, f in passed.features.items()}  # fmt: skip
        return Against(
            path.name, passed.digest, len(source), passed.resolution, gaussian, passed.features
        )
    path = find_reference(reference)
    file = ReferenceFile.load(path)
    for extractor in extractors.values():
        file.require_made_by(extractor.name, extractor.id)
    return Against(
        file.name, sha256_file(path), file.num_images, file.resolution,
        {name: file.gaussian(name) for name in extractors}, {},
    )  # fmt: skip


def _require_no_statistics(path: Path, metrics: Sequence[ImageMetric]) -> None:
    """ADM's files hold statistics, and 10,000 images that those were not made from."""
    asked = [m.name for m in metrics if m.kind in {"fd", "fd_infinity"}]
    if path.suffix.lower() != ".npz" or not zipfile.is_zipfile(path):
        return
    with zipfile.ZipFile(path) as archive:
        names = set(archive.namelist())
    if "mu.npy" in names and (asked or "arr_0.npy" not in names):
        msg = (
            f"{path} holds statistics (mu, sigma), which its images, if any, are not those of; "
            f"`guidebench reference import {path}`, then --reference {path.stem} for "
            f"{', '.join(asked) or 'fid'}"
        )
        raise UserError(msg)


def require_real(metric: ImageMetric, against: Against) -> None:
    """Refuse a metric of real images where there are statistics alone.

    Raises:
        UserError: that names the metric and what it would be compared with.
    """
    if metric.kind not in ALONE and metric.extractor not in against.features:
        msg = (
            f"{metric.name} compares with real images, {against.name} holds statistics alone; "
            "give the images as --reference, a folder or .zip"
        )
        raise UserError(msg)


def named(progress: Progress, what: str) -> Callable[[int, int], None]:
    """Progress of one of several passes."""
    return lambda done, total: progress(what, done, total)
