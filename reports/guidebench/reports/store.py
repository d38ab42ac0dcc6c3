"""Records on disk: find them, and read the arrays beside them when they are needed.

Shapes: N seeds, H grid rows, W grid columns, K images.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import final

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError, safe_open

from guidebench.base import sha256_file
from guidebench.reports.record import Attachment, Record, RecordError

FILE_NAME = "record.json"
FloatArray = npt.NDArray[np.float64]


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Density:
    """The true density on a grid: log densities [H, W], y upwards, and the 99 % contour's."""

    log_density: FloatArray
    extent: tuple[float, float, float, float]
    contour: float


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class PointsPreview:
    """2D samples [N, 2]; `highlight` [N] is true outside the 99 % contour of the truth."""

    points: FloatArray
    highlight: npt.NDArray[np.bool_]
    density: Density | None


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class ImagesPreview:
    """Images of K seeds in order, and the label of each, -1 where none was asked for.

    Grey [K, H, W], from 0 as the background to 255 as ink, or colour [K, H, W, 3].
    """

    images: npt.NDArray[np.uint8]
    labels: npt.NDArray[np.int64]


Preview = PointsPreview | ImagesPreview


@final
@dataclass(frozen=True, eq=False)
class StoredRecord:
    """A record and where it lies; equal only to itself.

    Arrays are read, and their digests checked, on first use.
    """

    path: Path
    record: Record

    @property
    def name(self) -> str:
        """`SUITE::ROW`, as the command line names it."""
        return f"{self.record.suite}::{self.record.row}"

    def influence(self, metric: str) -> FloatArray:
        """Influence of each seed on `metric`, [N], mean about 0: its SE is sd / sqrt(N).

        METRIC/TERM names a term of the metric's.

        Raises:
            RecordError: where the file is missing, changed since, or lacks the metric.
        """
        found = self._influences.get(metric)
        if found is None:
            have = ", ".join(sorted(self._influences)) or "nothing"
            path = self.path.parent / self.record.per_seed.file
            msg = f"{path} holds {have} but not {metric}; {self._again}"
            raise RecordError(msg)
        return found

    def has_influence(self, metric: str) -> bool:
        """Whether `influence` has this metric or METRIC/TERM."""
        return metric in self._influences

    def moments(self, metric: str) -> tuple[FloatArray, FloatArray] | None:
        """Mean [D] and covariance [D, D] of the features; None where the run kept none.

        Raises:
            RecordError: where the file is missing or changed since.
        """
        if f"{metric}/mean" not in self._moments:
            return None
        return self._moments[f"{metric}/mean"], self._moments[f"{metric}/covariance"]

    def preview(self) -> Preview | None:
        """Points or images to draw; None where the run kept none.

        Raises:
            RecordError: where the file is missing, changed since, or not a preview.
        """
        return self._preview

    @property
    def _again(self) -> str:
        return f"run {self.name} again to remake it"

    @cached_property
    def _influences(self) -> dict[str, FloatArray]:
        arrays, _ = self._read(self.record.per_seed)
        return {name: array.astype(np.float64) for name, array in arrays.items()}

    @cached_property
    def _moments(self) -> dict[str, FloatArray]:
        attachment = self.record.moments
        return self._read(attachment)[0] if attachment else {}

    @cached_property
    def _preview(self) -> Preview | None:
        attachment = self.record.preview
        if attachment is None:
            return None
        path = self.path.parent / attachment.file
        arrays, metadata = self._read(attachment)
        kind = metadata.get("kind")
        try:
            if kind == "points":
                return _points(arrays)
            if kind == "images":
                return _images(arrays)
        except KeyError as error:
            msg = f"{path} is a preview of {kind} without {error.args[0]}; {self._again}"
            raise RecordError(msg) from error
        except ValueError as error:
            msg = f"{path} is a preview of {kind} with {error}; {self._again}"
            raise RecordError(msg) from error
        msg = f"{path} is a preview of {kind}, this version draws points and images; {self._again}"
        raise RecordError(msg)

    def _read(self, attachment: Attachment) -> tuple[dict[str, np.ndarray], Mapping[str, str]]:
        path = self.path.parent / attachment.file
        if Path(attachment.file).name != attachment.file:
            msg = (
                f"{self.path} names {attachment.file}, which is not a file beside it; {self._again}"
            )
            raise RecordError(msg)
        try:
            found = sha256_file(path)
            if found != attachment.sha256:
                msg = (
                    f"{path} has digest {found[:12]}, {self.path.name} beside it says "
                    f"{attachment.sha256[:12]}: one changed after the run; {self._again}"
                )
                raise RecordError(msg)
            with safe_open(path, framework="numpy") as file:
                return {k: file.get_tensor(k) for k in file.keys()}, file.metadata() or {}  # noqa: SIM118
        except (OSError, SafetensorError) as error:
            msg = f"{path} is not readable ({error}); {self._again}"
            raise RecordError(msg) from error


def _points(arrays: Mapping[str, np.ndarray]) -> PointsPreview:
    density = None
    if "grid_log_density" in arrays:
        x0, x1, y0, y1 = (float(v) for v in arrays["grid_extent"])
        density = Density(
            log_density=arrays["grid_log_density"].astype(np.float64),
            extent=(x0, x1, y0, y1),
            contour=float(arrays["contour_log_density"][0]),
        )
    return PointsPreview(
        points=arrays["points"].astype(np.float64),
        highlight=arrays["highlight"].astype(bool),
        density=density,
    )


def _images(arrays: Mapping[str, np.ndarray]) -> ImagesPreview:
    images, labels_K = arrays["images"], arrays["labels"].astype(np.int64)
    colour = images.ndim == 4 and images.shape[3] == 3
    if not (images.ndim == 3 or colour) or labels_K.shape != images.shape[:1]:
        msg = f"images {list(images.shape)} and labels {list(labels_K.shape)}"
        raise ValueError(msg)
    return ImagesPreview(images=images.astype(np.uint8), labels=labels_K)


def load_record(path: Path) -> StoredRecord:
    """One record, named by its file or by a folder that holds it alone, a row's say.

    Raises:
        RecordError: where there is none, or more than one, or it cannot be used.
    """
    file = path / FILE_NAME if path.is_dir() else path
    if path.is_dir() and not file.is_file():
        below = sorted(path.rglob(FILE_NAME))
        if len(below) > 1:
            msg = f"{path} holds {len(below)} records, {below[0]} and others; name one of them"
            raise RecordError(msg)
        file = below[0] if below else file
    return StoredRecord(path=file, record=Record.load(file))


def find_records(paths: Iterable[Path]) -> list[StoredRecord]:
    """Every record in `paths`, which are record files or folders, searched to any depth.

    Raises:
        RecordError: where a path is missing, nothing is found, or a record cannot be used.
    """
    searched = list(paths)
    files: dict[Path, Path] = {}
    for path in searched:
        if not path.exists():
            msg = f"{path} does not exist; name a folder that a run wrote, or its {FILE_NAME}"
            raise RecordError(msg)
        for file in sorted(path.rglob(FILE_NAME)) if path.is_dir() else [path]:
            files.setdefault(file.resolve(), file)
    if not files:
        where = ", ".join(str(p) for p in searched) or "no folder"
        msg = f"no {FILE_NAME} in {where}; make one first, say with `guidebench run fractal`"
        raise RecordError(msg)
    return [load_record(file) for file in files.values()]
