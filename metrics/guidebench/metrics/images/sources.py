"""Where images come from: a folder, a zip archive, or an array in an .npz, always in one order.

Shapes: N images, H x W pixels, C channels.
"""

import hashlib
import itertools
import lzma
import math
import struct
import zipfile
import zlib
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath
from typing import IO, Final, final

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray
from typing_extensions import override

from guidebench.base import UserError, sha256_bytes
from guidebench.metrics.images.decode import LARGEST, decode

SUFFIXES: Final = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".ppm", ".tif", ".tiff")
_LARGEST_FILE: Final = 4 * LARGEST
_ARRAY: Final = "arr_0"
_UNREADABLE: Final = (
    OSError, EOFError, RuntimeError, ValueError, zipfile.BadZipFile, zlib.error, lzma.LZMAError,
)  # fmt: skip
"""What zipfile raises for a member that is damaged, encrypted or packed in an unknown way."""


class ImageSource(ABC):
    """Images by place, 0 to N - 1. Subclasses are final and can be sent to other processes.

    `names` are for messages and give the order: sorted by their characters, whatever the file
    system says. `listing` is a digest of names and sizes, cheap to find, that tells sources apart
    without reading them. Sources that are `in_order` are read from front to back, by one process.
    """

    path: Path
    names: tuple[str, ...]
    listing: str
    in_order: bool = False

    def __len__(self) -> int:
        return len(self.names)

    def stamp(self, end: int) -> str:
        """Changes whenever one of the first `end` images may have; "" where nothing tells."""
        del end
        return self.listing

    @abstractmethod
    def read(self, place: int) -> NDArray[np.uint8]:
        """Pixels [H, W, 3] of one image.

        Raises:
            UserError: that names the image, where it cannot be read.
        """


@final
class FolderSource(ImageSource):
    """All image files below a folder; other files are left out."""

    def __init__(self, path: Path) -> None:
        files = sorted(
            (file for file in path.rglob("*") if file.suffix.lower() in SUFFIXES),
            key=lambda file: file.relative_to(path).as_posix(),
        )
        self.path = path
        self.names = tuple(file.relative_to(path).as_posix() for file in files)
        try:
            found = [file.stat() for file in files]
        except OSError as error:
            msg = f"cannot read {error.filename}: {error.strerror}; put it back or take it away"
            raise UserError(msg) from error
        sizes = [state.st_size for state in found]
        self.listing = _listing(zip(self.names, sizes, strict=True))
        self._times = [(state.st_mtime_ns, state.st_ctime_ns) for state in found]

    @override
    def stamp(self, end: int) -> str:
        """Of names, and times of writing and of renaming, as they were before any was read."""
        return _listing(zip(self.names[:end], self._times[:end], strict=True))

    @override
    def read(self, place: int) -> NDArray[np.uint8]:
        file = self.path / self.names[place]
        try:
            _require_bytes(file.stat().st_size, str(file))
            data = file.read_bytes()
        except OSError as error:
            msg = f"cannot read {file}: {error.strerror}; put it back or take it away"
            raise UserError(msg) from error
        return decode(data, str(file))


@final
class ZipSource(ImageSource):
    """All image files of an archive, sorted by name."""

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            with zipfile.ZipFile(path) as archive:
                found = sorted(
                    (i.filename, i.file_size, i.CRC)
                    for i in archive.infolist()
                    if PurePosixPath(i.filename).suffix.lower() in SUFFIXES and not i.is_dir()
                )
        except (OSError, zipfile.BadZipFile) as error:
            msg = f"{path} is not a whole zip archive ({error}); make it anew"
            raise UserError(msg) from error
        self.names = tuple(name for name, _, _ in found)
        if twice := next((a for a, b in itertools.pairwise(self.names) if a == b), None):
            msg = (
                f"{path} holds {twice} more than once, read by name that is one image; make it anew"
            )
            raise UserError(msg)
        self.listing = _listing(found)
        self._open: zipfile.ZipFile | None = None

    @override
    def __getstate__(self) -> dict[str, object]:
        return self.__dict__ | {"_open": None}  # another process opens its own

    @override
    def read(self, place: int) -> NDArray[np.uint8]:
        name = self.names[place]
        try:
            if self._open is None:
                self._open = zipfile.ZipFile(self.path)
            _require_bytes(self._open.getinfo(name).file_size, f"{self.path}: {name}")
            data = self._open.read(name)
        except _UNREADABLE as error:
            msg = f"{self.path}: {name} cannot be read ({error}); make the archive anew"
            raise UserError(msg) from error
        return decode(data, f"{self.path}: {name}")


@final
class ArraySource(ImageSource):
    """The array `arr_0` of an .npz, uint8 [N, H, W, 1 or 3], streamed: never whole in memory.

    Places must be read in ascending order; going back starts the stream anew.
    """

    in_order = True

    def __init__(self, path: Path) -> None:
        self.path = path
        shape, dtype, facts = self._header()
        if dtype != np.uint8 or len(shape) != 4 or shape[3] not in {1, 3}:
            msg = f"{path}: {_ARRAY} is {dtype} of shape {shape}, images are uint8 [N, H, W, 3]"
            raise UserError(msg)
        if (there := facts.file_size) < (claimed := math.prod(shape)):
            msg = f"{path}: {_ARRAY} claims {claimed:,} bytes and has {there:,}; make it anew"
            raise UserError(msg)
        self.shape = shape
        self.names = tuple(f"image {place}" for place in range(shape[0]))
        self.listing = _listing([(path.name, facts.file_size, facts.CRC)])
        self._images: Iterator[NDArray[np.uint8]] | None = None
        self._next = 0

    @override
    def __getstate__(self) -> dict[str, object]:
        return self.__dict__ | {"_images": None, "_next": 0}

    def _header(self) -> tuple[tuple[int, ...], np.dtype[np.generic], zipfile.ZipInfo]:
        try:
            with zipfile.ZipFile(self.path) as archive:
                members = set(archive.namelist())
                if f"{_ARRAY}.npy" not in members:
                    there = ", ".join(sorted(m.removesuffix(".npy") for m in members)) or "nothing"
                    msg = f"{self.path} holds {there}, images are expected under {_ARRAY}"
                    raise UserError(msg)
                with archive.open(f"{_ARRAY}.npy") as file:
                    return *_npy_header(file), archive.getinfo(f"{_ARRAY}.npy")
        except _UNREADABLE as error:
            msg = f"{self.path} is not a whole .npz archive ({error}); make it anew"
            raise UserError(msg) from error

    @override
    def read(self, place: int) -> NDArray[np.uint8]:
        if self._images is None or place < self._next:
            self._images, self._next = self._stream(), 0
        for image in self._images:
            self._next += 1
            if self._next == place + 1:
                return image
        msg = f"{self.path} ends before image {place}; make it anew"
        raise UserError(msg)

    def _stream(self) -> Iterator[NDArray[np.uint8]]:
        height, width, channels = self.shape[1:]
        size = height * width * channels
        try:
            with zipfile.ZipFile(self.path) as archive, archive.open(f"{_ARRAY}.npy") as file:
                _npy_header(file)
                while len(data := file.read(size)) == size:
                    image = np.frombuffer(data, np.uint8).reshape(height, width, channels)
                    yield np.repeat(image, 3 // channels, axis=2)
        except _UNREADABLE as error:
            msg = f"{self.path} cannot be read to its end ({error}); make it anew"
            raise UserError(msg) from error


def _npy_header(file: IO[bytes]) -> tuple[tuple[int, ...], np.dtype[np.generic]]:
    version = npy.read_magic(file)
    read = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
    shape, fortran, dtype = read(file)
    if fortran:
        msg = "its array is stored by columns"
        raise ValueError(msg)
    return shape, dtype


def _require_bytes(size: int, name: str) -> None:
    """Before it is in memory, for a packed member of a few bytes may claim any number."""
    if size > _LARGEST_FILE:
        msg = f"{name} has {size:,} bytes, more than an image of 8 bits can need; take it away"
        raise UserError(msg)


def _listing(items: Iterable[tuple[object, ...]]) -> str:
    return sha256_bytes(repr(list(items)).encode())


def open_images(path: Path) -> ImageSource:
    """The images at a path: a folder (searched to any depth), a .zip, or an .npz.

    Raises:
        UserError: for another kind of file, or one without images.
    """
    if path.is_dir():
        found: ImageSource = FolderSource(path)
    elif path.suffix.lower() == ".zip" and path.is_file():
        found = ZipSource(path)
    elif path.suffix.lower() == ".npz" and path.is_file():
        found = ArraySource(path)
    else:
        state = "is no folder, .zip or .npz" if path.exists() else "does not exist"
        msg = f"{path} {state}; name images as a folder, a .zip, or an .npz with {_ARRAY}"
        raise UserError(msg)
    if not len(found):
        msg = f"{path} holds no images ({', '.join(SUFFIXES)}); name another folder or archive"
        raise UserError(msg)
    return found


def next_digest(before: bytes, image_HWC: NDArray[np.uint8]) -> bytes:
    """Digest of all pixels up to an image, from that before it: any cut can be gone on from."""
    found = hashlib.sha256(before)
    found.update(struct.pack("<3I", *image_HWC.shape))
    found.update(np.ascontiguousarray(image_HWC).tobytes())
    return found.digest()
