"""Each metric against guidance weight or EMA length, one line for each series."""

from collections import defaultdict
from typing import Any, Final, NamedTuple, final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, MaxNLocator

from guidebench.reports.groups import Group
from guidebench.reports.numbers import MINUS
from guidebench.reports.plot_style import INK, MARKERS, QUIET, SERIES, columns_for
from guidebench.reports.record import CurveAxis, Display, MetricResult, Record
from guidebench.reports.tables import ARROWS, FLOOR_TITLE

FIGURE_INCHES = 9.6
PANEL_INCHES = 3.0
DASHES = (0, (4, 3))
AXES: Final[dict[CurveAxis, str]] = {
    "weight": "guidance weight w",
    "ema_main": "EMA length of the main network",
    "ema_guide": "EMA length of the guide",
}


@final
class Point(NamedTuple):
    """A metric at one weight or EMA length; rows of the table get a ring."""

    at: float
    result: MetricResult
    record: Record

    @property
    def in_table(self) -> bool:
        """Whether the table shows this row too."""
        return self.record.role == "table"


def curve_figure(group: Group) -> Figure | None:
    """One panel for each metric and axis with a series of two points; None without any."""
    panels: list[tuple[str, CurveAxis, dict[str, list[Point]]]] = [
        (name, axis, found)
        for name in group.displays
        for axis in AXES
        if (found := curve_points(group, name, axis))
    ]
    if not panels:
        return None
    columns = columns_for(len(panels), 3 if len(panels) == 3 else 2)
    rows = -(-len(panels) // columns)
    size = (FIGURE_INCHES, PANEL_INCHES * rows + 0.5)
    figure = Figure(figsize=size, layout=ConstrainedLayoutEngine(h_pad=0.09))
    grid = list(figure.subplots(rows, columns, squeeze=False).flat)
    names = sorted({series for _, _, series_of in panels for series in series_of})
    for axes, (metric, axis, series_of) in zip(grid, panels, strict=False):
        axes.set_xlabel(AXES[axis])
        _panel(axes, group.displays[metric], series_of, names)
    for axes in grid[len(panels) :]:
        axes.set_axis_off()
    _legend(figure, names)
    return figure


def _legend(figure: Figure, names: list[str]) -> None:
    handles = [
        Line2D([], [], color=_color(names, n), marker=_marker(names, n), markersize=4, label=n)
        for n in names
    ]
    ring: dict[str, Any] = {
        "marker": "o",
        "linestyle": "",
        "markersize": 8,
        "mfc": "none",
        "mec": QUIET,
    }
    handles += [
        Line2D([], [], label="row of the table", **ring),
        Line2D([], [], color=QUIET, linestyle=DASHES, linewidth=1, label=FLOOR_TITLE),
    ]
    figure.legend(handles=handles, loc="outside upper left", ncols=4, fontsize=9)


def curve_points(group: Group, metric: str, axis: CurveAxis) -> dict[str, list[Point]]:
    """Each series of at least two points, in the order of its places on the axis."""
    found: dict[str, list[Point]] = defaultdict(list)
    for row in group.rows:
        result = row.record.metrics.get(metric)
        for place in row.record.curves if result else ():
            assert result is not None
            if place.axis == axis:
                found[place.series].append(Point(place.at, result, row.record))
    return {name: sorted(p, key=lambda q: q.at) for name, p in found.items() if len(p) > 1}


def _panel(
    axes: Axes, display: Display, series_of: dict[str, list[Point]], names: list[str]
) -> None:
    scale = 100.0 if display.percent else 1.0
    for name, points in series_of.items():
        color, marker = _color(names, name), _marker(names, name)
        places = [p.at for p in points]
        values = scale * np.array([p.result.value for p in points])
        low, high = scale * np.array([p.result.interval_95 for p in points]).T
        axes.fill_between(places, low, high, color=color, alpha=0.18, linewidth=0)
        axes.plot(places, values, color=color, marker=marker, markersize=3.5, linewidth=1.4)
        rings = [(p.at, scale * p.result.value) for p in points if p.in_table]
        if rings:
            axes.plot(*zip(*rings, strict=True), marker, markersize=9, mfc="none", mec=color)
    results = [p.result for points in series_of.values() for p in points]
    floor = next((r.noise_floor for r in results if r.noise_floor is not None), None)
    if floor is not None:
        axes.axhline(scale * floor, color=QUIET, linestyle=DASHES, linewidth=1)
    unit = ", %" if display.percent else ""
    arrow = f"  {ARROWS[display.better]}" if ARROWS[display.better] else ""
    axes.set_title(f"{display.label}{unit}{arrow}", fontsize=10, color=INK)
    axes.grid(visible=True, axis="y")
    axes.set_axisbelow(True)
    axes.xaxis.set_major_locator(MaxNLocator(8, steps=[1, 2, 5, 10]))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda v, _: f"{v:g}".replace("-", MINUS)))


def _color(names: list[str], name: str) -> str:
    return SERIES[names.index(name) % len(SERIES)]


def _marker(names: list[str], name: str) -> str:
    return MARKERS[names.index(name) % len(MARKERS)]
