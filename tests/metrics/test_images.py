"""Image files, archives and arrays: order, conversions by rule, refusals by name."""

import io
import os
import shutil
import struct
import sys
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from guidebench.base import UserError
from guidebench.metrics.images import batches, decode, fitting_batch, open_images
from guidebench.metrics.images.sources import next_digest

RNG = np.random.default_rng(0)
COLOUR = RNG.integers(0, 256, (7, 16, 12, 3), dtype=np.uint8)


def encoded(pixels: NDArray[np.uint8] | Image.Image, kind: str = "png", **options: object) -> bytes:
    buffer = io.BytesIO()
    image = pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)
    image.save(buffer, kind, **options)
    return buffer.getvalue()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Seven images in two folders, and a file that is none."""
    root = tmp_path / "photos"
    for place, image in enumerate(COLOUR):
        path = root / ("b" if place % 2 else "a") / f"{place}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(encoded(image))
    (root / "readme.txt").write_text("no image")
    return root


def everything(path: Path, workers: int = 0) -> NDArray[np.uint8]:
    found = batches(open_images(path), batch_size=3, workers=workers)
    return np.concatenate([batch.images_BHWC for batch in found])


IN_ORDER = COLOUR[[0, 2, 4, 6, 1, 3, 5]]


def test_a_folder_is_read_in_order_of_names(folder: Path) -> None:
    np.testing.assert_array_equal(everything(folder), IN_ORDER)


def test_an_archive_gives_the_same_images_as_its_folder(folder: Path, tmp_path: Path) -> None:
    path = tmp_path / "photos.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for file in sorted(folder.rglob("*.*"), reverse=True):
            archive.write(file, file.relative_to(folder))
    np.testing.assert_array_equal(everything(path), IN_ORDER)
    ends = [list(batches(open_images(p), batch_size=4, workers=0))[-1] for p in (path, folder)]
    assert ends[0].digest == ends[1].digest


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_an_array_is_streamed(tmp_path: Path, save: Callable[..., None]) -> None:
    path = tmp_path / "samples.npz"
    save(path, arr_0=COLOUR, arr_1=np.arange(7))
    np.testing.assert_array_equal(everything(path), COLOUR)
    source = open_images(path)
    np.testing.assert_array_equal(source.read(5), COLOUR[5])
    np.testing.assert_array_equal(source.read(2), COLOUR[2])
    save(path, arr_0=COLOUR[..., :1])
    np.testing.assert_array_equal(everything(path), np.repeat(COLOUR[..., :1], 3, axis=3))


def test_worker_processes_change_nothing(folder: Path) -> None:
    alone = list(batches(open_images(folder), batch_size=2, workers=0))
    helped = list(batches(open_images(folder), batch_size=2, workers=2))
    assert [b.digest for b in alone] == [b.digest for b in helped]
    for a, b in zip(alone, helped, strict=True):
        np.testing.assert_array_equal(a.images_BHWC, b.images_BHWC)


def test_reading_goes_on_from_anywhere_with_the_same_digest(folder: Path) -> None:
    source = open_images(folder)
    whole = list(batches(source, batch_size=3, workers=0))
    rest = list(batches(source, batch_size=3, workers=0, start=3, digest=whole[0].digest))
    assert rest[-1].digest == whole[-1].digest
    digest = b""
    for image in IN_ORDER:
        digest = next_digest(digest, image)
    assert whole[-1].digest == digest


def test_the_digest_knows_pixels_shape_and_order() -> None:
    one = next_digest(b"", COLOUR[0])
    assert one != next_digest(b"", COLOUR[0].transpose(1, 0, 2))
    assert next_digest(one, COLOUR[1]) != next_digest(next_digest(b"", COLOUR[1]), COLOUR[0])


GREY = COLOUR[0, :, :, 0]
OPAQUE = np.concatenate([COLOUR[0], np.full((16, 12, 1), 255, np.uint8)], axis=2)
PALETTE = Image.fromarray(COLOUR[0]).quantize(16)


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (encoded(COLOUR[0]), COLOUR[0]),
        (encoded(COLOUR[0], "bmp"), COLOUR[0]),
        (encoded(GREY), np.repeat(GREY[:, :, None], 3, axis=2)),
        (encoded(OPAQUE), COLOUR[0]),
        (encoded(PALETTE), np.asarray(PALETTE.convert("RGB"))),
        (
            encoded(Image.fromarray(GREY > 127)),
            np.repeat((GREY[:, :, None] > 127) * 255, 3, axis=2),
        ),
    ],
    ids=["colour", "bmp", "grey", "opaque alpha", "palette", "black and white"],
)
def test_conversions_are_exact(data: bytes, expected: NDArray[np.uint8]) -> None:
    found = decode(data, "x")
    assert found.dtype == np.uint8
    np.testing.assert_array_equal(found, expected)


def deep_png(colour_type: int, channels: int) -> bytes:
    """A PNG of 16 bits a channel, which Pillow does not write."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        ends = struct.pack(">I", zlib.crc32(kind + data))
        return struct.pack(">I", len(data)) + kind + data + ends

    header = struct.pack(">IIBBBBB", 2, 2, 16, colour_type, 0, 0, 0)
    rows = 2 * (b"\0" + b"\xff\xfe" * 2 * channels)
    parts = chunk(b"IHDR", header), chunk(b"IDAT", zlib.compress(rows)), chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


TRANSPARENT = OPAQUE.copy()
TRANSPARENT[3, 3, 3] = 254


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (encoded(TRANSPARENT), "cat.png has transparent pixels"),
        (encoded(Image.fromarray(GREY.astype(np.uint16) * 257)), "cat.png has 16 bits a channel"),
        (encoded(Image.fromarray(COLOUR[0]).convert("CMYK"), "tiff"), "of kind CMYK"),
        (encoded(Image.fromarray(GREY.astype(np.float32)), "tiff"), "of kind F"),
        (deep_png(2, 3), "cat.png has 16 bits a channel"),
        (deep_png(6, 4), "cat.png has 16 bits a channel"),
        (b"P6 2 1 65535\n" + bytes(12), "cat.png has 16 bits a channel"),
        (
            encoded(COLOUR[0], transparency=tuple(COLOUR[0, 0, 0].tolist())),
            "has transparent pixels",
        ),
        (
            encoded(COLOUR[0], "tiff", save_all=True, append_images=[Image.fromarray(COLOUR[1])]),
            "cat.png holds 2 frames or pages",
        ),
        (encoded(COLOUR[0])[:200], "cat.png is corrupt"),
        (b"hello", "cat.png is no image"),
        (b"", "cat.png is no image"),
    ],
    ids=[
        "transparent",
        "16 bits",
        "cmyk",
        "float",
        "16-bit RGB",
        "16-bit RGBA",
        "16-bit ppm",
        "transparent colour",
        "pages",
        "cut",
        "text",
        "empty",
    ],
)
def test_refusals_name_the_file(data: bytes, words: str) -> None:
    with pytest.raises(UserError, match=words) as caught:
        decode(data, "cat.png")
    assert "\n" not in str(caught.value)


def test_a_bomb_is_refused_before_it_is_unpacked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.modules["guidebench.metrics.images.decode"], "LARGEST", 100)
    with pytest.raises(UserError, match="claims 12 x 16 pixels"):
        decode(encoded(COLOUR[0]), "bomb.png")


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize(
    ("data", "words"),
    [
        (encoded(COLOUR[0, :8]), r"has 12 x 8 pixels, the first image has 12 x 16"),
        (encoded(np.full((16, 12, 3), 7, np.uint8)), "is one flat colour"),
        (encoded(COLOUR[0])[:100], r"c/bad.png is corrupt"),
    ],
    ids=["size", "flat", "cut"],
)
def test_a_bad_image_among_good_ones_is_named(
    folder: Path, data: bytes, words: str, workers: int
) -> None:
    (folder / "c").mkdir()
    (folder / "c" / "bad.png").write_bytes(data)
    with pytest.raises(UserError, match=words) as caught:
        everything(folder, workers=workers)
    assert "bad.png" in str(caught.value)


def test_a_photograph_may_be_one_flat_colour_a_sample_may_not(tmp_path: Path) -> None:
    for name in ("a.png", "b.png"):
        (tmp_path / name).write_bytes(encoded(np.full((4, 4, 3), 7, np.uint8)))
    source = open_images(tmp_path)
    (batch,) = batches(source, batch_size=3, workers=0, sampled=False)
    assert (batch.images_BHWC == 7).all()
    with pytest.raises(UserError, match="one flat colour"):
        list(batches(source, batch_size=3, workers=0))


def test_places_without_images_are_refused(tmp_path: Path) -> None:
    (tmp_path / "x.zip").write_bytes(b"PK no")
    (tmp_path / "x.npz").write_bytes(b"no")
    np.savez(tmp_path / "keys.npz", mu=np.zeros(3))
    np.savez(tmp_path / "kind.npz", arr_0=np.zeros((2, 4, 4, 3)))
    for name, words in (
        ("absent", "does not exist"), (".", "holds no images"), ("x.zip", "not a whole zip"),
        ("x.npz", "not a whole .npz"), ("keys.npz", "holds mu, images are expected under arr_0"),
        ("kind.npz", "is float64 of shape"),
    ):  # fmt: skip
        with pytest.raises(UserError, match=words):
            open_images(tmp_path / name if name != "." else tmp_path)


def test_an_archive_with_one_name_twice_is_refused(tmp_path: Path) -> None:
    """zipfile reads the last one for both: 2 images would be 1, counted twice."""
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as archive:
        archive.writestr("a.png", encoded(np.zeros((4, 4, 3), np.uint8)))
        with pytest.warns(UserWarning, match="Duplicate name"):
            archive.writestr("a.png", encoded(np.ones((4, 4, 3), np.uint8)))
    with pytest.raises(UserError, match=r"x\.zip holds a\.png more than once"):
        open_images(tmp_path / "x.zip")


def test_a_file_larger_than_any_image_is_refused_unread(tmp_path: Path) -> None:
    """A packed gigabyte of zeros is a megabyte."""
    (tmp_path / "folder").mkdir()
    with (tmp_path / "folder" / "a.bmp").open("wb") as file:
        file.truncate(1 << 30)  # takes no room
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as archive:
        archive.writestr("a.png", b"")
    data = (tmp_path / "x.zip").read_bytes()
    place = data.index(b"PK\x01\x02") + 24  # of the size in the table of contents
    (tmp_path / "x.zip").write_bytes(data[:place] + struct.pack("<I", 1 << 30) + data[place + 4 :])
    for name in ("folder", "x.zip"):
        with pytest.raises(UserError, match=r"a\.\w+ has 1,073,741,824 bytes, more than"):
            open_images(tmp_path / name).read(0)


def test_a_stamp_is_of_the_first_images_and_knows_writing_and_renaming(folder: Path) -> None:
    def stamp(end: int) -> str:
        return open_images(folder).stamp(end)

    files = [folder / name for name in open_images(folder).names]
    first, both = stamp(1), stamp(2)
    os.utime(files[1], ns=(1, 1))
    assert (stamp(1), stamp(2) == both) == (first, False)
    files[0].rename(folder / "away")
    shutil.copy2(folder / "away", files[0])  # with its times
    assert stamp(1) != first


def test_a_cut_archive_names_itself(tmp_path: Path) -> None:
    path = tmp_path / "samples.npz"
    np.savez(path, arr_0=COLOUR)
    data = bytearray(path.read_bytes())
    data[600] ^= 1
    path.write_bytes(data)
    with pytest.raises(UserError, match="cannot be read to its end"):
        everything(path)


def test_an_array_shorter_than_it_claims_is_refused_at_once(tmp_path: Path) -> None:
    path = tmp_path / "claims.npz"
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        header, {"descr": "|u1", "fortran_order": False, "shape": (10**12, 4, 4, 3)}
    )
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("arr_0.npy", header.getvalue() + bytes(100))
    with pytest.raises(UserError, match="claims 48,000,000,000,000 bytes and has"):
        open_images(path)


def test_arrays_of_equal_size_are_told_apart_without_reading_them(tmp_path: Path) -> None:
    path, listings = tmp_path / "samples.npz", set()
    for array in (COLOUR, COLOUR[::-1]):
        np.savez(path, arr_0=array)
        listings.add(open_images(path).listing)
    assert len(listings) == 2


def test_a_link_to_nothing_is_named(tmp_path: Path) -> None:
    (tmp_path / "lost.png").symlink_to(tmp_path / "nowhere")
    with pytest.raises(UserError, match=r"lost\.png: No such file"):
        open_images(tmp_path)


def test_large_images_come_in_small_batches(tmp_path: Path) -> None:
    """A power of two, so that spans of a reference end where batches do."""
    for side, expected in ((512, 32), (600, 16), (3000, 1)):
        np.savez_compressed(tmp_path / "x.npz", arr_0=np.zeros((2, side, side, 3), np.uint8))
        assert fitting_batch(open_images(tmp_path / "x.npz"), 32) == expected
