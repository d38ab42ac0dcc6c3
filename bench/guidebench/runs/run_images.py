"""The images that a finished run kept in its shards, as a source like any other.

Shapes: n images of a shard, H x W pixels.
"""

from pathlib import Path
from typing import Final, final

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from typing_extensions import override

from guidebench.base import UserError
from guidebench.metrics.images import ImageSource, open_images
from guidebench.reports.record import Record

_RECORD: Final = "record.json"
_IMAGES: Final = "images"


@final
class RunImages(ImageSource):
    """All images of a run in seed order, a shard at a time."""

    in_order = True

    def __init__(self, folder: Path) -> None:
        record = Record.load(folder / _RECORD)
        self.path = folder
        self.listing = record.samples_sha256
        self._shards = sorted((folder / "shards").glob("*.safetensors"))
        counts = [_count(shard) for shard in self._shards]
        self._starts = np.cumsum([0, *counts])
        found, seeds = int(self._starts[-1]), record.seeds
        if found != (expected := seeds.num_per_repeat * seeds.repeats):
            msg = (
                f"{folder} has shards of {found} images, its record is of {expected}; "
                "name a run's folder, or run its suite again to remake what is gone"
            )
            raise UserError(msg)
        first = record.seeds.first
        self.names = tuple(f"seed {first + place}" for place in range(int(self._starts[-1])))
        self._kept: tuple[int, NDArray[np.uint8]] | None = None

    @override
    def read(self, place: int) -> NDArray[np.uint8]:
        shard = int(np.searchsorted(self._starts, place, side="right")) - 1
        if self._kept is None or self._kept[0] != shard:
            with safe_open(self._shards[shard], framework="np") as file:
                self._kept = shard, file.get_tensor(_IMAGES)
        image = self._kept[1][place - int(self._starts[shard])]
        return np.repeat(image[..., None], 3, axis=2) if image.ndim == 2 else image


def _count(shard: Path) -> int:
    try:
        with safe_open(shard, framework="np") as file:
            if _IMAGES not in file.keys():  # noqa: SIM118
                msg = (
                    f"{shard.parent.parent} kept features and no images; draw them by "
                    "`guidebench sample SUITE::ROW --out FOLDER`"
                )
                raise UserError(msg)
            return int(file.get_slice(_IMAGES).get_shape()[0])
    except (OSError, SafetensorError) as error:
        msg = f"{shard} is not whole ({error}); run its suite again to remake it"
        raise UserError(msg) from error


def open_any(path: Path) -> ImageSource:
    """A run's folder, or images as a folder, a .zip or an .npz.

    Raises:
        UserError: where there are no images.
    """
    return RunImages(path) if (path / _RECORD).is_file() else open_images(path)
