"""guidebench export [DIR ...] --to TARGET."""

import argparse
from pathlib import Path

from guidebench.base import UserError
from guidebench.reports.export import TARGETS


def configure(parser: argparse.ArgumentParser) -> None:
    """Add this command's arguments."""
    parser.add_argument("folders", nargs="*", type=Path, default=[Path("results")], metavar="DIR")
    words = "; ".join(f"{name}: {target.summary}" for name, target in TARGETS.items())
    parser.add_argument("--to", choices=list(TARGETS), required=True, help=words)
    parser.add_argument("--out", type=Path, metavar="DIR", help="default: export/TARGET")
    parser.add_argument(
        "--project", default="guidebench", help="experiment, project or name of the model"
    )


def run(args: argparse.Namespace) -> int:
    """Write every record for the other tool, and say where."""
    for folder in args.folders:
        if not folder.exists():
            msg = f"there is no folder {folder}; name one that `guidebench run` wrote"
            raise UserError(msg)
    from guidebench.reports.export import export  # noqa: PLC0415
    from guidebench.reports.store import find_records  # noqa: PLC0415

    out = args.out or Path("export") / args.to
    for line in export(find_records(args.folders), args.to, out, args.project):
        print(line)
    return 0
