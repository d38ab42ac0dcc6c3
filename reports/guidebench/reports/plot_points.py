"""2D samples as in Fig. 1 of Karras et al. 2024: the whole, and a close-up beneath each.

Shapes: N samples, H grid rows, W grid columns.
"""

from typing import NamedTuple, final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from guidebench.reports.groups import Group
from guidebench.reports.numbers import measured, significant
from guidebench.reports.plot_style import (
    OUTLIER,
    POINT,
    QUIET,
    REGION,
    REGION_EDGE,
    bare,
    columns_for,
    wrapped,
)
from guidebench.reports.store import Density, PointsPreview, StoredRecord

MOST_COLUMNS = 3
PANEL_INCHES = 3.3
TITLE_INCHES = 0.5
RASTER_ORDER = 5.0


@final
class View(NamedTuple):
    """A square window: its centre, half its side, and how large a sample is drawn in it."""

    centre: tuple[float, float]
    half: float
    point_size: float


WIDE = View((0.30, 0.30), 1.2, 1.5)
CLOSE = View((0.45, 1.22), 0.3, 3.2)


def point_figure(group: Group) -> Figure | None:
    """A panel for each row that kept points; None where none did."""
    rows = [(row, p) for row in group.table_rows if isinstance(p := row.preview(), PointsPreview)]
    if not rows:
        return None
    density = next((p.density for _, p in rows if p.density is not None), None)
    columns = columns_for(len(rows), MOST_COLUMNS)
    blocks = -(-len(rows) // columns)
    height = blocks * (2 * PANEL_INCHES + TITLE_INCHES) + 0.35
    figure = Figure(figsize=(columns * PANEL_INCHES, height), layout="compressed")
    grid = figure.subplots(2 * blocks, columns, squeeze=False)
    for index in range(blocks * columns):
        wide, close = (grid[2 * (index // columns) + i, index % columns] for i in (0, 1))
        if index >= len(rows):
            wide.set_axis_off()
            close.set_axis_off()
            continue
        row, points = rows[index]
        _draw(wide, points, density, WIDE)
        _draw(close, points, density, CLOSE)
        _mark_close_up(wide)
        above = "\n" if index >= columns else ""
        wide.set_title(f"{above}{wrapped(row.record.title, 34)}\n", fontsize=10)
        wide.text(0, 1.025, _share_outside(row, points), transform=wide.transAxes, color=QUIET)
    _legend(figure, with_region=density is not None)
    return figure


def pair_figure(preview: PointsPreview, density: Density | None) -> Figure:
    """The whole and the close-up of one row, side by side and without words."""
    figure = Figure(figsize=(2 * PANEL_INCHES, PANEL_INCHES))
    wide, close = figure.subplots(1, 2)
    figure.subplots_adjust(left=0.002, right=0.998, bottom=0.004, top=0.996, wspace=0.01)
    _draw(wide, preview, density, WIDE)
    _draw(close, preview, density, CLOSE)
    _mark_close_up(wide)
    return figure


def _draw(axes: Axes, preview: PointsPreview, density: Density | None, view: View) -> None:
    axes.set_rasterization_zorder(RASTER_ORDER)
    if density is not None:
        _shade(axes, density)
    for mask_N, color, order in ((~preview.highlight, POINT, 2), (preview.highlight, OUTLIER, 3)):
        x_N, y_N = preview.points[mask_N].T
        size = view.point_size * (1.35 if color == OUTLIER else 1.0)
        axes.plot(x_N, y_N, "o", markersize=size, mew=0, alpha=0.75, color=color, zorder=order)
    (x, y), half = view.centre, view.half
    axes.set(xlim=(x - half, x + half), ylim=(y - half, y + half), aspect="equal")
    beyond_N = (np.abs(preview.points - np.array([x, y])) > half).any(axis=1)
    if view is WIDE and beyond_N.any():
        text = f"{beyond_N.sum():,} beyond this view"
        axes.text(0.98, 0.02, text, transform=axes.transAxes, ha="right", color=QUIET, fontsize=8)
    bare(axes)


def _shade(axes: Axes, density: Density) -> None:
    rows, columns = density.log_density.shape
    x0, x1, y0, y1 = density.extent
    grid = np.linspace(x0, x1, columns), np.linspace(y0, y1, rows), density.log_density
    axes.contourf(*grid, levels=[density.contour, np.inf], colors=[REGION], zorder=0)
    axes.contour(
        *grid,
        levels=[density.contour],
        colors=[REGION_EDGE],
        linewidths=0.6,
        linestyles="solid",
        zorder=1,
    )


def _mark_close_up(axes: Axes) -> None:
    (x, y), half = CLOSE.centre, CLOSE.half
    xs = [x - half, x + half, x + half, x - half, x - half]
    ys = [y - half, y - half, y + half, y + half, y - half]
    axes.plot(xs, ys, color=QUIET, linewidth=0.7, zorder=RASTER_ORDER + 1)


def _share_outside(row: StoredRecord, preview: PointsPreview) -> str:
    """The measured outlier rate, or the share among the points that are drawn."""
    result = row.record.metrics.get("outlier_rate")
    if result is None:
        return f"{significant(100 * float(preview.highlight.mean()))} % outside"
    return f"{measured(result.value, result.standard_error, percent=True)} % outside"


def _legend(figure: Figure, *, with_region: bool) -> None:
    handles: list[Patch | Line2D] = [
        *[Patch(facecolor=REGION, edgecolor=REGION_EDGE, label="99 % of the truth")] * with_region,
        Line2D([], [], marker="o", linestyle="", color=POINT, markersize=5, label="sample"),
        Line2D([], [], marker="o", linestyle="", color=OUTLIER, markersize=5, label="outlier"),
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=3, fontsize=9)
