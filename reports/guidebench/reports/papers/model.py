"""What a paper prints: values with their settings, and which row of a suite measures each."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import final


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class PaperValue:
    """One printed number; `published` is None where the paper prints none.

    `setting` has weight and EMA lengths as printed. `row` is SUITE::ROW, or None with a `reason`.
    """

    metric: str
    label: str
    published: float | None
    source: str
    note: str | None
    setting: Mapping[str, str]
    row: str | None
    reason: str | None = None


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class PaperRow:
    """A line of a table: one value for each metric that it has."""

    title: str
    cells: tuple[PaperValue, ...]


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class PaperTable:
    """A table by its name in files, with what else a reader must know."""

    name: str
    title: str
    rows: tuple[PaperRow, ...]
    notes: tuple[str, ...] = ()

    @property
    def metrics(self) -> dict[str, str]:
        """Labels by metric, in the order of the table."""
        return {v.metric: v.label for row in self.rows for v in row.cells}


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Minimum:
    """The printed minimum of a curve; `at` is None where the paper does not print its place."""

    series: str
    at: float | None
    value: float


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Panel:
    """Axes of a figure: a metric over weight or EMA length; `axis` as records name it."""

    title: str
    metric: str
    label: str
    axis: str
    series: tuple[str, ...]
    minima: tuple[Minimum, ...]


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class PaperFigure:
    """A figure of curves from one suite's records."""

    name: str
    title: str
    suite: str
    panels: tuple[Panel, ...]
