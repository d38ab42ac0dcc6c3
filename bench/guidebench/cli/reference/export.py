"""guidebench reference export NAME OUT.pkl|OUT.npz."""

import argparse
from pathlib import Path


def configure(parser: argparse.ArgumentParser) -> None:
    """Add this action's arguments."""
    parser.add_argument("reference", metavar="NAME", help="a name in the cache, or a file")
    parser.add_argument("out", type=Path, metavar="OUT", help=".pkl (EDM2) or .npz (EDM, ADM)")
    parser.add_argument("--force", action="store_true", help="replace what is there")


def run(args: argparse.Namespace) -> int:
    """Write the layout that the suffix names."""
    from guidebench.runs.references import export, find_reference  # noqa: PLC0415

    print(export(find_reference(args.reference), args.out, force=args.force))
    return 0
