"""guidebench checkpoint convert FILE.pkl [FILE.safetensors]."""

import argparse
import tempfile
from pathlib import Path

from guidebench.base import UserError, sha256_file


def configure(parser: argparse.ArgumentParser) -> None:
    """Add this action's arguments."""
    parser.add_argument("pickle", type=Path, metavar="FILE.pkl")
    parser.add_argument(
        "out", type=Path, nargs="?", metavar="FILE.safetensors", help="default: beside the pickle"
    )
    parser.add_argument("--force", action="store_true", help="replace another file")


def run(args: argparse.Namespace) -> int:
    """Convert, and say what was made."""
    from guidebench.runs.conversion import convert_network  # noqa: PLC0415

    out = args.out or args.pickle.with_suffix(".safetensors")
    if out.exists() and not args.force:
        with tempfile.TemporaryDirectory(dir=out.parent) as folder:
            fresh = Path(folder) / out.name
            convert_network(args.pickle, fresh)
            if sha256_file(fresh) == sha256_file(out):
                print(f"{out} is this network already")
                return 0
        msg = f"{out} exists and is another file than {args.pickle} gives; --force replaces it"
        raise UserError(msg)
    header = convert_network(args.pickle, out)
    known = f"EMA {header.ema:g} at {header.num_images:,} images" if header.ema else "EMA unknown"
    print(f"{out}: {header.architecture}, {known}, {out.stat().st_size:,} bytes")
    return 0
