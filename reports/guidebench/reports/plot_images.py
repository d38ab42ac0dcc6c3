"""Generated images of each scheme from the same seeds, so that places can be compared.

Shapes: K images, H and W pixels a side, L labels, S samples of each label.
"""

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine

from guidebench.reports.groups import Group
from guidebench.reports.plot_style import QUIET, bare, columns_for, wrapped
from guidebench.reports.store import ImagesPreview

SAMPLES = 6
LABELS = 10
MOST_COLUMNS = 3
BLOCK_INCHES = 3.3
GAP = 1
Bytes = npt.NDArray[np.uint8]


def image_figure(group: Group) -> Figure | None:
    """A block of images for each row that kept any; None where none did."""
    rows = [(row, p) for row in group.table_rows if isinstance(p := row.preview(), ImagesPreview)]
    if not rows:
        return None
    guide = next((p for row, p in rows if row.record.role == "table"), rows[0][1])
    labels, places_LS = pick(guide.labels)
    columns = columns_for(len(rows), MOST_COLUMNS)
    lines = -(-len(rows) // columns)
    height = lines * (BLOCK_INCHES * SAMPLES / max(len(labels), 1) + 0.62)
    figure = Figure(figsize=(columns * BLOCK_INCHES, height))
    figure.set_layout_engine(ConstrainedLayoutEngine(compress=True, h_pad=0.12))
    for place, axes in enumerate(figure.subplots(lines, columns, squeeze=False).flat):
        if place >= len(rows):
            axes.set_axis_off()
            continue
        row, preview = rows[place]
        own = places_LS if np.array_equal(preview.labels, guide.labels) else pick(preview.labels)[1]
        block = mosaic(preview.images, own)
        axes.imshow(block, cmap="gray_r", vmin=0, vmax=255, interpolation="nearest")
        axes.set_title(wrapped(row.record.title, 38), fontsize=9.5)
        bare(axes)
        _name_columns(axes, labels, preview.images.shape[2])
    return figure


def _name_columns(axes: Axes, labels: list[int], width: int) -> None:
    ticks = [GAP + (width + GAP) * i + (width - 1) / 2 for i in range(len(labels))]
    axes.set_xticks(ticks, [str(label) for label in labels], color=QUIET, fontsize=7)
    axes.tick_params(length=0, pad=2)


def pick(labels_K: npt.NDArray[np.int64]) -> tuple[list[int], list[list[int]]]:
    """The first labels in order, and for each the places of its first samples."""
    labels = [int(v) for v in np.unique(labels_K)[:LABELS]]
    return labels, [[int(i) for i in np.flatnonzero(labels_K == v)[:SAMPLES]] for v in labels]


def mosaic(images_KHW: Bytes, places_LS: list[list[int]]) -> Bytes:
    """Images as a grid with thin gaps: a column for each label, white where there are too few."""
    height, width = images_KHW.shape[1:]
    rows, columns = SAMPLES, len(places_LS)
    size = (GAP + rows * (height + GAP), GAP + columns * (width + GAP))
    block = np.full(size, 40, dtype=np.uint8)
    for column, places in enumerate(places_LS):
        for row in range(rows):
            top, left = GAP + row * (height + GAP), GAP + column * (width + GAP)
            image = images_KHW[places[row]] if row < len(places) else 0
            block[top : top + height, left : left + width] = image
    return block
