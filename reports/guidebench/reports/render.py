"""A table in the terminal, as Markdown, as LaTeX, as HTML; unrounded numbers as CSV."""

import csv
import io
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Literal

import jinja2
from rich import box
from rich.console import Console, ConsoleRenderable, Group
from rich.table import Table as RichTable
from rich.text import Text

from guidebench.base import UserError, atomic_write
from guidebench.reports.numbers import ABSENT, MINUS, unbroken
from guidebench.reports.published import LETTERS, PLAIN
from guidebench.reports.store import StoredRecord
from guidebench.reports.tables import STAR, Cell, Line, Table, build_tables

Format = Literal["md", "csv", "latex", "html"]
TITLE_WIDTH = 24
GAP = 2
LATEX_SPECIAL = {
    "\\": r"\textbackslash{}", "{": r"\{", "}": r"\}", "&": r"\&", "%": r"\%", "$": r"\$",
    "#": r"\#", "_": r"\_", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}",
    "±": r"$\pm$", MINUS: "$-$", "↓": r"$\downarrow$", "↑": r"$\uparrow$", "→": r"$\to$",
    "\N{MULTIPLICATION SIGN}": r"$\times$", "\N{GREEK SMALL LETTER SIGMA}": r"$\sigma$",
    STAR: r"$\star$", "—": "---", "\N{EN DASH}": "--", "“": "``", "”": "''", "≤": r"$\le$",
    "≥": r"$\ge$", **{c: f"$^{plain}$" for c, plain in zip(LETTERS, PLAIN, strict=True)},
}  # fmt: skip
CSV_COLUMNS: tuple[str, ...] = (
    "suite", "row", "title", "role", "metric", "value", "standard_error", "low", "high",
    "best_repeat", "published", "published_source", "published_note", "noise_floor",
    "noise_floor_standard_error", "separably_best", "num_images",
    "first_seed", "repeats", "device", "engine", "precision", "calls_main", "calls_guide",
    "images_per_second", "peak_memory_allocated_bytes", "peak_memory_host_bytes", "spec_sha256",
)  # fmt: skip


def terminal(table: Table, width: int = 100) -> ConsoleRenderable:
    """For `rich`: numbers are never cut; columns that do not fit go into a table beneath."""
    parts: list[ConsoleRenderable] = [Text(table.title, "bold"), Text(table.setting, "dim")]
    for columns in _pack(table, width):
        parts += [Text(), _rich_table(table, columns, width)]
    parts += [Text(), *(Text(note, "dim") for note in table.footnotes)]
    return Group(*parts)


def terminal_text(table: Table, width: int = 100) -> str:
    """The terminal's table without colours, as a test or a log wants it."""
    console = Console(width=width, file=io.StringIO(), color_system=None, force_terminal=False)
    with console.capture() as capture:
        console.print(terminal(table, width))
    return "\n".join(line.rstrip() for line in capture.get().splitlines()) + "\n"


def _cell_lines(cell: Cell) -> list[str]:
    star = f" {STAR}" if cell.best else ""
    head = f"{cell.text}{star}".replace(" + ", " +\n")
    note = cell.note.replace(" [", "\n[")
    return [*head.split("\n"), *(note.split("\n") if note else [])]


def _need(table: Table, index: int) -> int:
    """The width of a column of numbers; its heading may break at spaces."""
    lines = (*table.lines, *((table.floor,) if table.floor else ()))
    numbers = [len(text) for line in lines for text in _cell_lines(line.cells[index])]
    return max(*numbers, *(len(word) for word in table.columns[index].heading.split()))


def _title_width(table: Table, most: int = TITLE_WIDTH) -> int:
    titles = [line.title for line in (*table.lines, *((table.floor,) if table.floor else ()))]
    return min(max(most, TITLE_WIDTH), max(map(len, titles)))


def _pack(table: Table, width: int) -> list[list[int]]:
    """Which columns share a piece, so that each fits beside the titles; costs stay together."""
    every = _units(table)
    whole = _fit(table, every, width)
    if len(whole) == 1:
        return whole
    metrics = [unit for unit in every if table.columns[unit[0]].metric]
    costs = [unit for unit in every if not table.columns[unit[0]].metric]
    return [*_fit(table, metrics, width), *_fit(table, costs, width)]


def _units(table: Table) -> list[list[int]]:
    """Places of columns that stay together: a metric and what is published for it."""
    units: list[list[int]] = []
    for index, column in enumerate(table.columns):
        if column.published:
            units[-1].append(index)
        else:
            units.append([index])
    return units


def _fit(table: Table, units: Sequence[Sequence[int]], width: int) -> list[list[int]]:
    pieces: list[list[int]] = []
    room, most = 0, width - _title_width(table)
    wide = [u for u in units if sum(_need(table, index) + GAP for index in u) > most]
    parts = [p for u in units for p in ([[i] for i in u] if u in wide else [u])]
    for unit in parts:
        need = sum(_need(table, index) + GAP for index in unit)
        if not pieces or need > room:
            pieces.append([])
            room = most
        pieces[-1] += unit
        room -= need
    return pieces


def _rich_table(table: Table, columns: Sequence[int], width: int) -> RichTable:
    shown = RichTable(
        box=box.SIMPLE_HEAD, padding=(0, GAP - 1, 0, 0), pad_edge=False, show_edge=False
    )
    needs = {i: _need(table, i) for i in columns}
    room = width - sum(needs.values()) - GAP * len(needs)
    shown.add_column("Scheme", overflow="fold", width=_title_width(table, room))
    for index, need in needs.items():
        shown.add_column(table.columns[index].heading, justify="right", width=need)
    for line in table.lines:
        shown.add_row(line.title, *(_rich_cell(line.cells[i]) for i in columns))
    if table.floor and any(table.floor.cells[i].text != ABSENT for i in columns):
        shown.add_section()
        cells = (_rich_cell(table.floor.cells[i]) for i in columns)
        shown.add_row(Text(table.floor.title, "italic"), *cells, style="dim")
    return shown


def _rich_cell(cell: Cell) -> Text:
    return Text("\n".join(_cell_lines(cell)), "bold green" if cell.best else "")


def markdown(table: Table) -> str:
    """A pipe table with the footnotes as a list."""
    heads = ["Scheme", *(c.heading for c in table.columns)]
    rows = [_markdown_row(heads), _markdown_row(["---", *("---:" for _ in table.columns)])]
    rows += [_markdown_row([line.title, *map(_markdown_cell, line.cells)]) for line in table.lines]
    if table.floor:
        cells = (cell.plain for cell in table.floor.cells)
        rows.append(_markdown_row([f"*{table.floor.title}*", *cells]))
    notes = [f"- {note}" for note in table.footnotes]
    return "\n".join([f"### {table.title}", "", table.setting, "", *rows, "", *notes, ""])


def _markdown_cell(cell: Cell) -> str:
    return f"**{cell.plain}**" if cell.best else cell.plain


def _markdown_row(cells: Iterable[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def latex(table: Table) -> str:
    r"""A booktabs table; its preamble needs `\usepackage{booktabs}` and nothing else."""
    heads = ["Scheme", *(c.heading for c in table.columns)]
    body = [_latex_row([line.title], line) for line in table.lines]
    if table.floor:
        body += [r"\midrule", _latex_row([table.floor.title], table.floor)]
    return "\n".join([
        r"\begin{table}",
        r"\centering",
        rf"\caption{{{escape_latex(f'{table.title}: {table.setting}.')}}}",
        rf"\begin{{tabular}}{{l{'r' * len(table.columns)}}}",
        r"\toprule",
        " & ".join(map(escape_latex, heads)) + r" \\",
        r"\midrule",
        *body,
        r"\bottomrule",
        r"\end{tabular}",
        r"\par\smallskip\footnotesize\raggedright",
        *(f"{escape_latex(note)}\\par" for note in table.footnotes),
        r"\end{table}",
        "",
    ])  # fmt: skip


def _latex_row(titles: Sequence[str], line: Line) -> str:
    cells = [
        rf"\textbf{{{escape_latex(cell.plain)}}}" if cell.best else escape_latex(cell.plain)
        for cell in line.cells
    ]
    return " & ".join([*map(escape_latex, titles), *cells]) + r" \\"


def escape_latex(text: str) -> str:
    r"""Text that LaTeX prints as it stands.

    >>> print(escape_latex("50 % & w_1 ± 2"))
    50 \% \& w\_1 $\pm$ 2
    """
    return "".join(LATEX_SPECIAL.get(c, c) for c in text)


def html(table: Table) -> str:
    """A table with its caption and notes, without a page around it."""
    return str(environment().get_template("table.html.j2").render(table=table))


def environment() -> jinja2.Environment:
    """Templates of this part: every value is escaped, a missing one is an error."""
    made = jinja2.Environment(
        loader=jinja2.PackageLoader("guidebench.reports"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    made.filters["unbroken"] = unbroken
    return made


def csv_text(tables: Iterable[Table]) -> str:
    """One line for each row and metric, numbers as stored: neither rounded nor scaled."""
    out = io.StringIO()
    writer = csv.DictWriter(out, CSV_COLUMNS, lineterminator="\n")
    writer.writeheader()
    for table in tables:
        for line in table.lines:
            writer.writerows(_csv_lines(table, line))
    return out.getvalue()


def _csv_lines(table: Table, line: Line) -> Iterable[dict[str, object]]:
    if line.stored is None:
        return
    record = line.stored.record
    cost = record.cost
    shared = {
        **record.model_dump(include={"suite", "row", "title", "role", "spec_sha256"}),
        **cost.model_dump(include={"device", "engine", "precision", "images_per_second"}),
        "first_seed": record.seeds.first,
        "calls_main": cost.network_calls_per_image.get("main"),
        "calls_guide": cost.network_calls_per_image.get("guide"),
        "peak_memory_allocated_bytes": cost.peak_memory_bytes.allocated,
        "peak_memory_host_bytes": cost.peak_memory_bytes.host,
    }
    for column, cell in zip(table.columns, line.cells, strict=True):
        if column.metric is None or column.published or column.metric not in record.metrics:
            continue
        result, found = record.metrics[column.metric], record.published.get(column.metric)
        best = max if result.display.better == "higher" else min
        yield shared | {
            "metric": column.metric,
            "value": result.value,
            "standard_error": result.standard_error,
            "low": result.interval_95[0],
            "high": result.interval_95[1],
            "best_repeat": best(result.repeats, default=None),
            "published": found and found.value,
            "published_source": found and found.source,
            "published_note": found and found.note,
            "noise_floor": result.noise_floor,
            "noise_floor_standard_error": result.noise_floor_standard_error,
            "separably_best": cell.best,
            "num_images": result.num_images,
            "repeats": len(result.repeats),
        }


WRITERS: dict[str, Callable[[Table], str]] = {"md": markdown, "latex": latex, "html": html}


def render_tables(records: Iterable[StoredRecord], fmt: Format) -> str:
    """All tables of `records` as one text.

    Raises:
        UserError: for a format that is not one of md, csv, latex, html.
    """
    tables = build_tables(records)
    if fmt == "csv":
        return csv_text(tables)
    if fmt not in WRITERS:
        msg = f"tables can be written as md, csv, latex or html, not as {fmt}"
        raise UserError(msg)
    return "\n".join(WRITERS[fmt](table) for table in tables)


def write_tables(records: Iterable[StoredRecord], fmt: Format, path: Path) -> Path:
    """Write `render_tables` to `path`, whole or not at all; returns the path."""
    atomic_write(path, render_tables(records, fmt).encode())
    return path
