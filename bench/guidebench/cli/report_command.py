"""guidebench report [DIR ...]."""

import argparse
import sys
from pathlib import Path

from guidebench.base import UserError


def configure(parser: argparse.ArgumentParser) -> None:
    """Add this command's arguments."""
    parser.add_argument("folders", nargs="*", type=Path, default=[Path("results")], metavar="DIR")
    parser.add_argument("--format", choices=["html", "md", "csv", "latex"], default="html")
    parser.add_argument("--out", type=Path, metavar="PATH", help="a folder for html, else a file")


def run(args: argparse.Namespace) -> int:
    """Write the page, or a table to a file or to the terminal."""
    for folder in args.folders:
        if not folder.exists():
            msg = f"there is no folder {folder}; name one that `guidebench run` wrote"
            raise UserError(msg)
    from guidebench.reports.store import find_records  # noqa: PLC0415

    records = find_records(args.folders)
    if args.format == "html":
        from guidebench.reports.page import write_report  # noqa: PLC0415

        print(write_report(records, args.out or args.folders[0], title="guidebench"))
        return 0
    from guidebench.reports.render import render_tables, write_tables  # noqa: PLC0415

    if args.out is None:
        sys.stdout.write(render_tables(records, args.format))
    else:
        print(write_tables(records, args.format, args.out))
    return 0
