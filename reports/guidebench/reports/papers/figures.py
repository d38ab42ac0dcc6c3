"""Curves of a paper's figure from records, with the printed minima as stars."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Final

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from guidebench.reports.groups import Group, group_records
from guidebench.reports.numbers import fixed
from guidebench.reports.papers.model import Minimum, Panel, PaperFigure
from guidebench.reports.plot_points import point_figure
from guidebench.reports.plot_style import INK, MARKERS, QUIET, SERIES, STYLE
from guidebench.reports.plots import Plot
from guidebench.reports.record import MetricResult
from guidebench.reports.store import StoredRecord

_AXES: Final = {
    "weight": "guidance weight w",
    "ema_main": "EMA length of the main network",
    "ema_guide": "EMA length of the guide",
}
_PANEL_INCHES: Final = (3.6, 3.3)
_LIMITS: Final = {"weight": (0.9, 3.1), "ema_main": (0.04, 0.16), "ema_guide": (0.04, 0.16)}
Points = list[tuple[float, MetricResult]]


def figure1(records: Iterable[StoredRecord], rows: Sequence[str]) -> Plot | None:
    """The fractal's panels in the paper's order; None without the newest run of all of them."""
    for group in reversed(group_records(r for r in records if r.record.suite == "fractal")):
        by_name = {r.record.row: r for r in group.rows}
        if all(name in by_name for name in rows):
            chosen = tuple(by_name[name] for name in rows)
            with mpl.rc_context(STYLE):
                figure = point_figure(_only(group, chosen))
            assert figure is not None
            return Plot(
                name="figure1",
                caption="Figure 1 of arXiv:2406.02507, from our own trained networks.",
                alt="Scatter plots of the fractal under each scheme, each with a close-up.",
                figure=figure,
            )
    return None


def _only(group: Group, rows: tuple[StoredRecord, ...]) -> Group:
    return replace(group, rows=rows)


def paper_figure(paper: PaperFigure, records: Iterable[StoredRecord]) -> Plot:
    """All panels; one with no record says so and shows what is printed."""
    own = [r for r in records if r.record.suite == paper.suite]
    width, height = _PANEL_INCHES
    count = len(paper.panels)
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(width * count, height + 0.6), layout="constrained")
        grid = figure.subplots(1, count, squeeze=False)[0]
        names = list(dict.fromkeys(s for panel in paper.panels for s in panel.series))
        for axes, panel in zip(grid, paper.panels, strict=True):
            _draw(axes, panel, own, names)
        figure.legend(handles=_handles(names), loc="outside upper left", ncols=5, fontsize=8.5)
    printed = ", ".join(
        f"{m.series} {fixed(m.value, 2)}" for panel in paper.panels for m in panel.minima
    )
    return Plot(
        name=paper.name,
        caption=f"{paper.title}. Lines: measured, with 95 % bands. Stars: minima that the paper "
        "prints; dashed where it does not print their place.",
        alt=f"{paper.title}; printed minima: {printed}.",
        figure=figure,
    )


def _handles(names: Sequence[str]) -> list[Line2D]:
    made = [
        Line2D([], [], color=_color(names, n), marker=_marker(names, n), markersize=4, label=n)
        for n in names
    ]
    star = Line2D([], [], color=QUIET, marker="*", linestyle="", markersize=10, label="published")
    return [*made, star]


def points_of(panel: Panel, series: str, records: Iterable[StoredRecord]) -> Points:
    """Measured points of one curve, by place; the newest record of a place counts."""
    found: dict[float, tuple[str, MetricResult]] = {}
    for stored in records:
        result = stored.record.metrics.get(panel.metric)
        time = str(stored.record.environment.get("time"))
        for curve in stored.record.curves if result else ():
            assert result is not None
            if (curve.series, curve.axis) == (series, panel.axis) and time >= found.get(
                curve.at, ("", result)
            )[0]:
                found[curve.at] = time, result
    return [(at, result) for at, (_, result) in sorted(found.items())]


def _draw(axes: Axes, panel: Panel, records: Sequence[StoredRecord], names: Sequence[str]) -> None:
    drawn = 0
    for series in panel.series:
        points = points_of(panel, series, records)
        drawn += len(points)
        if points:
            _curve(axes, points, _color(names, series), _marker(names, series))
    for minimum in panel.minima:
        _star(axes, minimum, _color(names, minimum.series))
    if not drawn:
        axes.text(
            0.5, 0.93, "not measured: lines are missing", transform=axes.transAxes, ha="center",
            color=QUIET, fontsize=8.5,
        )  # fmt: skip
    axes.set_title(panel.title, fontsize=10, color=INK)
    axes.set_xlabel(_AXES[panel.axis])
    axes.set_ylabel(panel.label)
    low, high = _LIMITS[panel.axis]
    places = [m.at for m in panel.minima if m.at is not None]
    axes.set_xlim(min([low, *places]), max([high, *(p + 0.1 * (high - low) for p in places)]))
    values = [m.value for m in panel.minima]
    bottom, top = axes.get_ylim()
    room = 0.25 * max(max(values) - min(values), 0.1 * max(values))
    axes.set_ylim(min(bottom, min(values) - room), max(top, max(values) + 2 * room))
    axes.grid(visible=True, axis="y")
    axes.set_axisbelow(True)
    axes.xaxis.set_major_locator(MaxNLocator(6, steps=[1, 2, 5, 10]))


def _curve(axes: Axes, points: Points, color: str, marker: str) -> None:
    at = [p for p, _ in points]
    low, high = np.array([r.interval_95 for _, r in points]).T
    axes.fill_between(at, low, high, color=color, alpha=0.18, linewidth=0)
    axes.plot(
        at, [r.value for _, r in points], color=color, marker=marker, markersize=3.5, linewidth=1.4
    )


def _star(axes: Axes, minimum: Minimum, color: str) -> None:
    if minimum.at is None:
        axes.axhline(minimum.value, color=color, linestyle=(0, (4, 3)), linewidth=0.9)
        return
    axes.plot(minimum.at, minimum.value, "*", color=color, markersize=11, mec="white", zorder=5)
    axes.annotate(
        fixed(minimum.value, 2), (minimum.at, minimum.value), xytext=(5, -11),
        textcoords="offset points", fontsize=8, color=color,
    )  # fmt: skip


def _color(names: Sequence[str], name: str) -> str:
    return SERIES[names.index(name) % len(SERIES)]


def _marker(names: Sequence[str], name: str) -> str:
    return MARKERS[names.index(name) % len(MARKERS)]
