"""Images in batches, decoded by other processes while a network works on the last batch.

Shapes: B images of a batch, H x W pixels.
"""

import multiprocessing
from collections.abc import Iterator, Sequence
from concurrent.futures import BrokenExecutor, Future, ProcessPoolExecutor
from dataclasses import dataclass
from typing import Final, final

import numpy as np
from numpy.typing import NDArray

from guidebench.base import UserError
from guidebench.metrics.images.sources import ImageSource, next_digest

_AHEAD: Final = 2
"""Batches in work or waiting for each worker, as far as `_WAITING_BYTES` go."""

_WAITING_BYTES: Final = 1 << 28
_BATCH_BYTES: Final = 1 << 25  # 32 images of 512 x 512


@final
@dataclass(frozen=True, slots=True, eq=False)
class Batch:
    """uint8 images [B, H, W, 3], the place after the last, and the digest of all up to there."""

    images_BHWC: NDArray[np.uint8]
    end: int
    digest: bytes


def batches(
    source: ImageSource,
    *,
    batch_size: int,
    workers: int,
    start: int = 0,
    end: int | None = None,
    digest: bytes = b"",
    sampled: bool = True,
) -> Iterator[Batch]:
    """All images from `start` on, in order, whatever the number of workers.

    Args:
        source: Where from.
        batch_size: Images in a batch, the last one smaller; see `fitting_batch`.
        workers: Decoding processes; 0 decodes here. An .npz needs no decoding and uses none.
        start: Place of the first image.
        end: Place after the last one; None for all.
        digest: Of the images before `start`.
        sampled: Whether a network made them. Then one flat colour is refused, which a broken
            sampler makes and photographers sometimes do.

    Raises:
        UserError: that names the image, for one that cannot be read, or that is of another size
            than the first or one flat colour.
    """
    end = len(source) if end is None else end
    places = [range(first, min(first + batch_size, end)) for first in range(start, end, batch_size)]
    alone = workers == 0 or source.in_order
    size: tuple[int, ...] | None = None
    for place, images in _read(source, places, 0 if alone else workers):
        size = size or source.read(0).shape if start else size or images[0].shape
        for offset, image in enumerate(images):
            _require_size(source, place[offset], image, size)
            if sampled:
                _require_contrast(source, place[offset], image)
            digest = next_digest(digest, image)
        yield Batch(np.stack(images), place[-1] + 1, digest)


def fitting_batch(source: ImageSource, largest: int) -> int:
    """Images a batch: `largest`, halved while the first image says that they are above 32 MB."""
    size = source.read(0).nbytes if len(source) else 0
    while largest > 1 and largest * size > _BATCH_BYTES:
        largest //= 2
    return largest


def _require_size(
    source: ImageSource, place: int, image: NDArray[np.uint8], size: tuple[int, ...]
) -> None:
    if image.shape != size:
        msg = (
            f"{source.path}: {source.names[place]} has {image.shape[1]} x {image.shape[0]} pixels, "
            f"the first image has {size[1]} x {size[0]}; bring all to one size first"
        )
        raise UserError(msg)


def _require_contrast(source: ImageSource, place: int, image: NDArray[np.uint8]) -> None:
    if (image == image[0, 0]).all():
        msg = (
            f"{source.path}: {source.names[place]} is one flat colour, which a broken sampler "
            "makes; take it away"
        )
        raise UserError(msg)


def _read(
    source: ImageSource, places: Sequence[range], workers: int
) -> Iterator[tuple[range, list[NDArray[np.uint8]]]]:
    if not workers:
        for place in places:
            yield place, _read_batch(source, place)
        return
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, context, _take, (source,)) as pool:
        waiting: list[tuple[range, Future[list[NDArray[np.uint8]]]]] = []
        most = workers  # until the size of a batch is known
        try:
            for place in places:
                waiting.append((place, pool.submit(_read_taken, place)))
                while len(waiting) >= most:
                    first, future = waiting.pop(0)
                    images = future.result()
                    yield first, images
                    fitting = _WAITING_BYTES // max(1, sum(image.nbytes for image in images))
                    most = max(1, min(workers * _AHEAD, fitting))
            for first, future in waiting:
                yield first, future.result()
        except BrokenExecutor as error:
            msg = (
                f"{source.path}: a decoding process was killed, for want of memory as a rule; "
                "take fewer (--workers 0 decodes in this one)"
            )
            raise UserError(msg) from error
        finally:
            pool.shutdown(cancel_futures=True)  # waits: else its thread races Python's exit


_taken: list[ImageSource] = []


def _take(source: ImageSource) -> None:
    """Keep the source in this process: a list of a million names is sent once."""
    _taken[:] = [source]


def _read_taken(places: Sequence[int]) -> list[NDArray[np.uint8]]:
    return _read_batch(_taken[0], places)


def _read_batch(source: ImageSource, places: Sequence[int]) -> list[NDArray[np.uint8]]:
    return [source.read(place) for place in places]
