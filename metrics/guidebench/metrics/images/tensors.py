"""Images that a program holds: batches of tensors or arrays as a source like any other.

Shapes: B images of a batch, C channels, H x W pixels.
"""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Literal, final

import numpy as np
from numpy.typing import NDArray
from typing_extensions import override

from guidebench.base import UserError
from guidebench.metrics.images.sources import ImageSource

Span = Literal["-1..1", "0..1"]


@final
class TensorSource(ImageSource):
    """Batches [B, C, H, W] with 1 or 3 channels, taken once and never held together.

    uint8 is taken as it is. Floats need their `span` said, for no value tells one from another:
    "-1..1" is x * 127.5 + 128, cut off to 0..255, as EDM2 writes its samples; "0..1" is
    x * 255, rounded, and refuses what lies outside. Tensors may be on any device, of any float
    type, and carry gradients; else anything with `__array__` will do.

    Args:
        batches: Taken from front to back, once.
        num: How many images they hold in all: no fewer and no more.
        span: Where black and white lie in floats; bytes need none.
        name: For messages and records.
    """

    in_order = True

    def __init__(
        self, batches: Iterable[Any], *, num: int, span: Span | None = None, name: str = "tensors"
    ) -> None:
        if span not in {None, "-1..1", "0..1"}:
            msg = f'{name}: span is "-1..1" or "0..1", got {span!r}'
            raise UserError(msg)
        self.span = span
        self.path = Path(name)
        self.names = tuple(f"image {place}" for place in range(num))
        self.listing = ""  # cannot be known without reading
        self._images = self._stream(iter(batches))
        self._first: NDArray[np.uint8] | None = None
        self._next = 0

    @override
    def read(self, place: int) -> NDArray[np.uint8]:
        """See `ImageSource`; places must ascend, but the first image may be read again.

        Raises:
            UserError: where the batches end early or go on, hold no images, or values that are not
                finite, not in their span, or of none that was said.
        """
        if place == 0 and self._first is not None:
            return self._first
        if place < self._next:
            msg = f"{self.path}: image {place} is gone; give the batches anew"
            raise UserError(msg)
        for image in self._images:
            self._next += 1
            self._first = image if self._first is None else self._first
            if self._next == place + 1:
                if self._next == len(self):
                    self._require_end()
                return image
        msg = f"{self.path} end after {self._next} images, {len(self)} were announced"
        raise UserError(msg)

    def _require_end(self) -> None:
        if next(self._images, None) is not None:
            msg = (
                f"{self.path} go on after the {len(self)} images that were announced; say how "
                "many there are (num), or cut them off (itertools.islice)"
            )
            raise UserError(msg)

    def _stream(self, batches: Iterator[Any]) -> Iterator[NDArray[np.uint8]]:
        for batch in batches:
            array = _on_host(batch)
            if array.ndim != 4 or array.shape[1] not in {1, 3}:
                msg = f"{self.path}: batches are [B, 3, H, W], got shape {array.shape}"
                raise UserError(msg)
            for image_CHW in array:
                image_HWC = self._pixels(image_CHW).transpose(1, 2, 0)
                yield np.repeat(image_HWC, 3 // image_HWC.shape[2], axis=2)

    def _pixels(self, image_CHW: NDArray[Any]) -> NDArray[np.uint8]:
        if image_CHW.dtype == np.uint8:
            return image_CHW
        if image_CHW.dtype.kind != "f":
            msg = f"{self.path}: images are uint8 or float, got {image_CHW.dtype}"
            raise UserError(msg)
        wide = image_CHW.astype(np.float32)
        if not np.isfinite(wide).all():
            msg = f"{self.path}: an image near place {self._next} holds values that are not finite"
            raise UserError(msg)
        if self.span is None:
            msg = (
                f"{self.path}: images are floats from {wide.min():g} to {wide.max():g}, black and "
                'white may lie anywhere; say span="-1..1" or span="0..1", or give uint8'
            )
            raise UserError(msg)
        if self.span == "0..1" and not (wide.min() >= 0 and wide.max() <= 1):
            msg = (
                f"{self.path}: an image near place {self._next} has values from {wide.min():g} to "
                f'{wide.max():g}, span="0..1" was said; clip them, or say "-1..1"'
            )
            raise UserError(msg)
        scaled = wide * 127.5 + 128 if self.span == "-1..1" else np.rint(wide * 255)
        pixels: NDArray[np.uint8] = scaled.clip(0, 255).astype(np.uint8)
        return pixels


def _on_host(batch: Any) -> NDArray[Any]:  # noqa: ANN401  a tensor, known by what it can do
    """As NumPy has it, which knows no bfloat16, no gradients and no other device."""
    if hasattr(batch, "detach"):
        batch = batch.detach().cpu()
        batch = batch.float() if batch.is_floating_point() else batch
    return np.asarray(batch)
