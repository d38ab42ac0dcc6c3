"""One image file to uint8 colour pixels, by stated rules.

Colour stays as it is; grey becomes three equal channels; a palette is looked up; an alpha
channel that is opaque everywhere is dropped. Refused by name: transparency, 16 bits and floats,
CMYK and other colour spaces, several frames or pages, and files that do not decode to the end.
Orientation tags and colour profiles are not applied, as FID's tools never did.

Shapes: H x W pixels.
"""

import io
import re
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from guidebench.base import UserError

if TYPE_CHECKING:
    from PIL.Image import Image

LARGEST: Final = 1 << 27
"""Most pixels of one image; a file of a few bytes may claim any number."""

_GREY: Final = {"1", "L"}
_WIDE: Final = re.compile(r"'\w+;16[BLN]'|'ppm\w*'.*\('\w+', \d{4,}\)")
"""How Pillow names 16 bits a channel: a raw layout, or a .ppm's largest value."""

_ALPHA: Final = {"LA": "L", "RGBA": "RGB", "PA": "RGB"}


def decode(data: bytes, name: str) -> NDArray[np.uint8]:
    """Pixels [H, W, 3] of an image file.

    Raises:
        UserError: that names the file, for what cannot or should not be converted.
    """
    try:
        from PIL import Image as Images  # noqa: PLC0415  an extra
        from PIL import UnidentifiedImageError  # noqa: PLC0415
    except ImportError as error:
        msg = "pillow is not installed; pip install 'guidebench[images]'"
        raise UserError(msg) from error
    try:
        with Images.open(io.BytesIO(data)) as image:
            _require_size(image.size, name)
            _require_one_of_8_bits(image, name)
            image.load()
            return _pixels(image, name)
    except UserError:
        raise
    except UnidentifiedImageError as error:
        msg = f"{name} is no image that can be read; take it away or convert it to PNG"
        raise UserError(msg) from error
    except (OSError, ValueError, SyntaxError, EOFError, Images.DecompressionBombError) as error:
        msg = f"{name} is corrupt ({error}); take it away or make it anew"
        raise UserError(msg) from error


def _require_size(size: tuple[int, int], name: str) -> None:
    if size[0] * size[1] > LARGEST:
        msg = f"{name} claims {size[0]} x {size[1]} pixels; make it smaller"
        raise UserError(msg)


def _require_one_of_8_bits(image: "Image", name: str) -> None:
    """Before pixels are decoded: Pillow halves 16-bit colour and takes the first frame, unasked."""
    if any(_WIDE.search(str(tile)) for tile in getattr(image, "tile", ())):
        msg = f"{name} has 16 bits a channel; convert it to 8-bit RGB or grey"
        raise UserError(msg)
    if (frames := getattr(image, "n_frames", 1)) > 1:
        msg = f"{name} holds {frames} frames or pages; save the one that is meant alone"
        raise UserError(msg)


def _pixels(image: "Image", name: str) -> NDArray[np.uint8]:
    if image.mode == "P" or "transparency" in image.info:  # of a palette, or one colour's
        image = image.convert("RGBA" if "transparency" in image.info else "RGB")
    if image.mode in _ALPHA:
        opaque = image.getchannel("A").getextrema() == (255, 255)
        if not opaque:
            msg = f"{name} has transparent pixels; put it on a background first"
            raise UserError(msg)
        image = image.convert(_ALPHA[image.mode])
    if image.mode in _GREY:
        grey = np.asarray(image.convert("L"), dtype=np.uint8)
        return np.repeat(grey[:, :, None], 3, axis=2)
    if image.mode != "RGB":
        msg = f"{name} has pixels of kind {image.mode}; convert it to 8-bit RGB or grey"
        raise UserError(msg)
    return np.asarray(image, dtype=np.uint8)
