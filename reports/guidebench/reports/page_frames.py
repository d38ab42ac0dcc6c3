"""One small picture for each row, all from the same seeds, so that a page can flip between them.

Shapes: S samples a column, L columns.
"""

import base64
import io
from dataclasses import dataclass
from typing import final

import matplotlib as mpl
from PIL import Image

from guidebench.reports.groups import Group
from guidebench.reports.plot_images import SAMPLES, Block, blocks, mosaic
from guidebench.reports.plot_points import pair_figure
from guidebench.reports.plot_style import STYLE
from guidebench.reports.store import PointsPreview, StoredRecord

TILE_PIXELS = 128  # a side of a colour image on the page; larger ones are shrunk
JPEG_QUALITY = 88
COLOURS = 64
DPI = 120


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Frame:
    """A picture of one row as a data URI; `across` and `down` count its images, 0 for points."""

    row: str
    title: str
    source: str
    width: int
    height: int
    across: int
    down: int
    sharp: bool


def frames(group: Group) -> list[Frame]:
    """Images of each row in equal places, or its points; empty where no row kept any."""
    return [_image_frame(block) for block in blocks(group)] or _point_frames(group)


def _image_frame(block: Block) -> Frame:
    drawn = mosaic(block.images, block.layout.places_LS)
    grey = block.images.ndim == 3
    picture = Image.fromarray(255 - drawn if grey else drawn)
    tile = block.images.shape[1]
    if tile > TILE_PIXELS:
        share = TILE_PIXELS / tile
        size = round(picture.width * share), round(picture.height * share)
        picture = picture.resize(size, Image.Resampling.LANCZOS)
    across = len(block.layout.places_LS)
    return _frame(
        block.row,
        picture,
        jpeg=not grey and tile >= 64,
        across=across,
        down=SAMPLES,
        sharp=tile < 64,
    )


def _point_frames(group: Group) -> list[Frame]:
    rows = [(row, p) for row in group.table_rows if isinstance(p := row.preview(), PointsPreview)]
    density = next((p.density for _, p in rows if p.density is not None), None)
    made = []
    for row, points in rows:
        with mpl.rc_context(STYLE):
            figure, out = pair_figure(points, density), io.BytesIO()
            figure.savefig(out, format="png", dpi=DPI)
        picture = Image.open(out).convert("RGB").quantize(COLOURS)
        made.append(_frame(row, picture, jpeg=False, across=0, down=0, sharp=False))
    return made


def _frame(
    row: StoredRecord, picture: Image.Image, *, jpeg: bool, across: int, down: int, sharp: bool
) -> Frame:
    out = io.BytesIO()
    if jpeg:
        picture.save(out, "JPEG", quality=JPEG_QUALITY, optimize=True)
    else:
        picture.save(out, "PNG", optimize=True)
    kind = "jpeg" if jpeg else "png"
    return Frame(
        row=row.record.row,
        title=row.record.title,
        source=f"data:image/{kind};base64,{base64.b64encode(out.getvalue()).decode()}",
        width=picture.width,
        height=picture.height,
        across=across,
        down=down,
        sharp=sharp,
    )
