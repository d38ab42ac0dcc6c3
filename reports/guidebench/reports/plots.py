"""Every figure of a group, saved as PNG and SVG; equal records give equal bytes."""

import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import final

import matplotlib as mpl
from matplotlib.figure import Figure

from guidebench.base import atomic_write
from guidebench.reports.groups import Group
from guidebench.reports.plot_cost import cost_figure
from guidebench.reports.plot_curves import curve_figure
from guidebench.reports.plot_images import columns_are_labels, image_figure
from guidebench.reports.plot_points import point_figure
from guidebench.reports.plot_style import STYLE

DPI = {"png": 170, "svg": 120}


@final
@dataclass(frozen=True, kw_only=True)
class Plot:
    """A figure with the words that belong to it; `alt` is for who cannot see it."""

    name: str
    caption: str
    alt: str
    figure: Figure


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class SavedPlot:
    """Where a figure lies, and its words."""

    caption: str
    alt: str
    png: Path
    svg: Path


def plots(group: Group) -> Iterator[Plot]:
    """The figures that the records of a group can fill; none is drawn empty."""
    titles = ", ".join(r.record.title for r in group.table_rows)
    with mpl.rc_context(STYLE):
        if figure := point_figure(group):
            yield Plot(
                name="points",
                caption="Samples over the region that holds 99 % of the truth (shaded), with a "
                "close-up beneath. Samples outside the region are marked.",
                alt=f"Scatter plots of {titles}, each with a close-up beneath.",
                figure=figure,
            )
        if figure := image_figure(group):
            columns = " Each column is one label." if columns_are_labels(group) else ""
            yield Plot(
                name="samples",
                caption="The same seeds in every block: equal places start from equal noise and, "
                f"where a scheme uses labels, equal labels.{columns}",
                alt=f"Blocks of generated images for {titles}.",
                figure=figure,
            )
        if figure := curve_figure(group):
            yield Plot(
                name="curves",
                caption="Each metric against guidance weight or EMA length, with 95 % bands. "
                "Ringed: rows of the table. Dashed: what a perfect sampler would score at this N.",
                alt="Line charts of each metric against guidance weight or EMA length; "
                "the table has the values.",
                figure=figure,
            )
        if figure := cost_figure(group):
            yield Plot(
                name="cost",
                caption="Quality against price, for the first metric that has a better side; "
                "bars are 95 % intervals. Schemes of one price stand side by side.",
                alt="Scatter plot of quality against network calls; the table has the values.",
                figure=figure,
            )


def save_plots(group: Group, folder: Path, prefix: str) -> list[SavedPlot]:
    """Draw and write `PREFIX-NAME.png` and `.svg` into `folder`, each whole or not at all."""
    return [save_plot(plot, folder, prefix) for plot in plots(group)]


def save_plot(plot: Plot, folder: Path, prefix: str) -> SavedPlot:
    """Write one figure as PNG and SVG, without dates or other traces of when it was made."""
    paths = [folder / f"{prefix}-{plot.name}.{suffix}" for suffix in ("png", "svg")]
    metadata: Sequence[dict[str, str | None]] = ({"Software": None}, {"Date": None})
    for path, fields in zip(paths, metadata, strict=True):
        out, kind = io.BytesIO(), path.suffix[1:]
        with mpl.rc_context(STYLE):
            plot.figure.savefig(
                out,
                format=kind,
                dpi=DPI[kind],
                metadata=fields,
                bbox_inches="tight",
                pad_inches=0.06,
            )
        atomic_write(path, out.getvalue())
    return SavedPlot(caption=plot.caption, alt=plot.alt, png=paths[0], svg=paths[1])
