"""Generated images of each scheme from the same seeds, so that places can be compared.

Shapes: K images, H and W pixels a side, L columns, S samples of each column.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import final

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine

from guidebench.reports.groups import Group
from guidebench.reports.plot_style import QUIET, bare, columns_for, wrapped
from guidebench.reports.store import ImagesPreview, StoredRecord

SAMPLES = 6
LABELS = 10
ACROSS = 8
MOST_COLUMNS = 3
BLOCK_INCHES = 3.3
GAP = 1
GREY_GAP, COLOUR_GAP = 40, 215
Bytes = npt.NDArray[np.uint8]
Labels = npt.NDArray[np.int64]
Kept = tuple[StoredRecord, ImagesPreview]


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Layout:
    """Which image stands where: places [L][S] by column, and the columns' labels if any."""

    labels: tuple[int, ...] | None
    places_LS: list[list[int]]


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Block:
    """The images of one row, and where they stand."""

    row: StoredRecord
    images: Bytes
    layout: Layout


def image_figure(group: Group) -> Figure | None:
    """A block of images for each row that kept any; None where none did."""
    found = blocks(group)
    if not found:
        return None
    columns = columns_for(len(found), MOST_COLUMNS)
    lines = -(-len(found) // columns)
    across = max(len(found[0].layout.places_LS), 1)
    height = lines * (BLOCK_INCHES * SAMPLES / across + 0.62)
    figure = Figure(figsize=(columns * BLOCK_INCHES, height))
    figure.set_layout_engine(ConstrainedLayoutEngine(compress=True, h_pad=0.12))
    for place, axes in enumerate(figure.subplots(lines, columns, squeeze=False).flat):
        if place >= len(found):
            axes.set_axis_off()
            continue
        _draw(axes, found[place])
        axes.set_title(wrapped(found[place].row.record.title, 38), fontsize=9.5)
    return figure


def blocks(group: Group) -> list[Block]:
    """The images of each row that kept any, all in the places of one leading row."""
    rows = _kept(group)
    if not rows:
        return []
    leader = _leader(rows)
    shared = layout(leader.labels)
    found = []
    for row, preview in rows:
        same = np.array_equal(preview.labels, leader.labels)
        drawn = shared if same else _without_labels(preview.labels, shared, len(leader.labels))
        found.append(Block(row=row, images=preview.images, layout=drawn))
    return found


def columns_are_labels(group: Group) -> bool:
    """Whether each column of the group's figure holds one label."""
    rows = _kept(group)
    return bool(rows) and layout(_leader(rows).labels).labels is not None


def _kept(group: Group) -> list[Kept]:
    return [(row, p) for row in group.table_rows if isinstance(p := row.preview(), ImagesPreview)]


def _leader(rows: Sequence[Kept]) -> ImagesPreview:
    """The row whose labels order every block: the first scheme that asked for labels."""
    schemes = [p for row, p in rows if row.record.role == "table"]
    return next((p for p in schemes if _asked(p.labels)), (schemes or [rows[0][1]])[0])


def _asked(labels_K: Labels) -> bool:
    return bool((labels_K >= 0).any())


def _without_labels(labels_K: Labels, shared: Layout, count: int) -> Layout:
    """The shared places for a row that asked for no labels; a row with others has its own."""
    if _asked(labels_K) or len(labels_K) != count:
        return layout(labels_K)
    return Layout(labels=None, places_LS=shared.places_LS)


def _draw(axes: Axes, block: Block) -> None:
    drawn = mosaic(block.images, block.layout.places_LS)
    smooth = "nearest" if block.images.ndim == 3 else "antialiased"
    axes.imshow(drawn, cmap="gray_r", vmin=0, vmax=255, interpolation=smooth)
    bare(axes)
    if block.layout.labels is not None:
        _name_columns(axes, block.layout.labels, block.images.shape[2])


def _name_columns(axes: Axes, labels: Sequence[int], width: int) -> None:
    ticks = [GAP + (width + GAP) * i + (width - 1) / 2 for i in range(len(labels))]
    axes.set_xticks(ticks, [str(label) for label in labels], color=QUIET, fontsize=7)
    axes.tick_params(length=0, pad=2)


def layout(labels_K: Labels) -> Layout:
    """A column for each of the first labels with its first samples.

    Where labels are absent, or mostly occur once, the images stand in seed order, line by line.
    """
    labels = np.unique(labels_K)
    if not _asked(labels_K) or len(labels_K) < 2 * len(labels):
        across = min(ACROSS, len(labels_K))
        places = [list(range(c, len(labels_K), across))[:SAMPLES] for c in range(across)]
        return Layout(labels=None, places_LS=places)
    first = tuple(int(v) for v in labels[:LABELS])
    places = [[int(i) for i in np.flatnonzero(labels_K == v)[:SAMPLES]] for v in first]
    return Layout(labels=first, places_LS=places)


def mosaic(images: Bytes, places_LS: list[list[int]]) -> Bytes:
    """Images as a grid with thin gaps, white where a column has too few.

    Args:
        images: grey [K, H, W], where 0 is white, or colour [K, H, W, 3].
        places_LS: which image stands where, by column.
    """
    height, width, *channels = images.shape[1:]
    gap, white = (COLOUR_GAP, 255) if channels else (GREY_GAP, 0)
    size = (GAP + SAMPLES * (height + GAP), GAP + len(places_LS) * (width + GAP))
    block = np.full((*size, *channels), gap, dtype=np.uint8)
    for column, places in enumerate(places_LS):
        for row in range(SAMPLES):
            top, left = GAP + row * (height + GAP), GAP + column * (width + GAP)
            image = images[places[row]] if row < len(places) else white
            block[top : top + height, left : left + width] = image
    return block
