"""The page's own form of a table: each number opens its source, each column sorts."""

from dataclasses import dataclass
from typing import final

from guidebench.reports.page_rows import row_id
from guidebench.reports.pareto import cost_of
from guidebench.reports.record import Record
from guidebench.reports.tables import Cell, Column, Line, Table


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class PageLine:
    """A line of the table with the number that each of its cells sorts by."""

    title: str
    row: str
    truth: bool
    cells: tuple[tuple[Cell, float | None], ...]


def page_lines(table: Table) -> tuple[PageLine, ...]:
    """The table's lines; the floor is not among them."""
    return tuple(_line(table, line) for line in table.lines)


def _line(table: Table, line: Line) -> PageLine:
    assert line.stored is not None
    record = line.stored.record
    keys = [_sort_key(column, record) for column in table.columns]
    return PageLine(
        title=line.title,
        row=row_id(record.row),
        truth=record.role == "truth",
        cells=tuple(zip(line.cells, keys, strict=True)),
    )


def _sort_key(column: Column, record: Record) -> float | None:
    if column.metric is not None:
        published, result = record.published.get(column.metric), record.metrics.get(column.metric)
        if column.published:
            return None if published is None else published.value
        return None if result is None else result.value
    label = column.label.lower()
    if "calls" in label:
        return cost_of(record, "calls")
    if "memory" in label:
        return cost_of(record, "memory")
    return record.cost.images_per_second if label.endswith("/s") else None
