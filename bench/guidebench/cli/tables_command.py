"""guidebench tables [NAME ...]."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Final

from guidebench.base import UserError, atomic_write

if TYPE_CHECKING:
    from collections.abc import Sequence

    from guidebench.reports.papers.fill import Sheet
    from guidebench.reports.store import StoredRecord

_FORMATS: Final = ("md", "csv", "latex", "html")
_RESULTS: Final = Path("results")


def configure(parser: argparse.ArgumentParser) -> None:
    """Add this command's arguments."""
    parser.add_argument(
        "names", nargs="*", metavar="NAME", help="tables and figures; all of them without a name"
    )
    parser.add_argument(
        "--records", nargs="+", type=Path, metavar="DIR", help="result folders; default: results"
    )
    parser.add_argument("--format", choices=_FORMATS, action="append", help="default: all four")
    parser.add_argument("--out", type=Path, default=Path("tables"), metavar="DIR")


def run(args: argparse.Namespace) -> int:
    """Write each table in each format, and each figure as PNG and SVG."""
    from guidebench.reports.papers.fill import sheet  # noqa: PLC0415
    from guidebench.runs.papers import paper_figures, paper_tables  # noqa: PLC0415

    tables = paper_tables()
    figures = ("figure1", *paper_figures())
    names = args.names or [*tables, *figures]
    unknown = [n for n in names if n not in tables and n not in figures]
    if unknown:
        from guidebench.runs.catalog import nearest  # noqa: PLC0415

        msg = f"there is no table {unknown[0]}; {nearest(unknown[0], (*tables, *figures))}"
        raise UserError(msg)
    records = _records(args.records)
    sheets = [sheet(tables[name], records) for name in names if name in tables]
    _write_tables(sheets, args.format or _FORMATS, args.out)
    for made in sheets:
        print(f"{made.name}: {made.num_measured} of {len(made.numbers)} values measured")
    for name in names:
        if name in figures:
            print(_figure(name, records, args.out))
    print(args.out)
    return 0


def _records(folders: "list[Path] | None") -> "list[StoredRecord]":
    """The records of the folders; none where the default folder is not there yet."""
    from guidebench.reports.store import find_records  # noqa: PLC0415

    if folders is None and not _RESULTS.exists():
        return []
    return find_records(folders or [_RESULTS])


def _write_tables(sheets: "Sequence[Sheet]", formats: "Sequence[str]", out: Path) -> None:
    from guidebench.reports.papers import formats as writers  # noqa: PLC0415

    for made in sheets:
        for name in formats:
            suffix, write = writers.FORMATS[name]
            atomic_write(out / f"{made.name}.{suffix}", write(made).encode())
    if sheets and "latex" in formats:
        atomic_write(out / "tables.tex", writers.latex_document(sheets).encode())
    if sheets and "html" in formats:
        atomic_write(out / "tables.html", writers.html_page(sheets).encode())


def _figure(name: str, records: "list[StoredRecord]", out: Path) -> str:
    """Draw one figure and say what it shows, or why it is not drawn."""
    from guidebench.reports.papers.figures import figure1, paper_figure  # noqa: PLC0415
    from guidebench.reports.plots import save_plot  # noqa: PLC0415
    from guidebench.runs.papers import FIGURE1_ROWS, paper_figures  # noqa: PLC0415

    if name == "figure1":
        plot = figure1(records, FIGURE1_ROWS)
        if plot is None:
            return "figure1: not drawn, no record of the fractal; `guidebench run fractal` makes it"
    else:
        plot = paper_figure(paper_figures()[name], records)
    saved = save_plot(plot, out, "paper")
    atomic_write(
        out / f"{name}.md", f"![{plot.alt}]({saved.png.name})\n\n{plot.caption}\n".encode()
    )
    return f"{name}: {saved.png}"
