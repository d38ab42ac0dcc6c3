"""The look of every figure: colours that survive print and colour blindness, quiet axes."""

import textwrap
from typing import Any

from matplotlib.axes import Axes

INK = "#1c2126"
QUIET = "#6b747d"
GRID = "#e4e7ea"
POINT = "#0b4f8a"
OUTLIER = "#e8590c"
REGION = "#ecdfb8"
REGION_EDGE = "#bfa965"
SERIES = ("#0b4f8a", "#e8590c", "#1a936f", "#9b4f96", "#b8860b", "#4d4d4d")
MARKERS = ("o", "s", "^", "D", "v", "P")

STYLE: dict[Any, Any] = {
    "font.family": "DejaVu Sans",
    "font.size": 9,
    "axes.titlesize": 10,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.labelcolor": INK,
    "axes.edgecolor": QUIET,
    "axes.linewidth": 0.7,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": False,
    "text.color": INK,
    "xtick.color": QUIET,
    "ytick.color": QUIET,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
    "grid.color": GRID,
    "grid.linewidth": 0.7,
    "figure.facecolor": "white",
    "legend.frameon": False,
    "svg.hashsalt": "guidebench",
    "svg.fonttype": "path",
}


def columns_for(count: int, most: int) -> int:
    """Columns that fill lines of at most `most` panels evenly.

    >>> [columns_for(n, 4) for n in (1, 4, 5, 6, 8, 9)]
    [1, 4, 3, 3, 4, 3]
    """
    lines = -(-count // most)
    return -(-count // lines)


def wrapped(title: str, width: int) -> str:
    """A title on as many lines as it needs."""
    return "\n".join(textwrap.wrap(title, width, break_long_words=False))


def bare(axes: Axes) -> None:
    """Leave a thin frame and no ticks: for panels whose coordinates tell nothing."""
    axes.set_xticks([])
    axes.set_yticks([])
    for spine in axes.spines.values():
        spine.set_visible(True)
        spine.set_color("#c3c9cf")
