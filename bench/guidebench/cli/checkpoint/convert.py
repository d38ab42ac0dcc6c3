"""guidebench checkpoint convert FILE.pkl [FILE.safetensors], or a folder of them."""

import argparse
from contextlib import suppress
from pathlib import Path

from guidebench.base import UserError, partial_path, sha256_file


def configure(parser: argparse.ArgumentParser) -> None:
    """Add this action's arguments."""
    parser.add_argument("pickle", type=Path, metavar="FILE.pkl", help="or a folder of .pkl files")
    parser.add_argument(
        "out",
        type=Path,
        nargs="?",
        metavar="FILE.safetensors",
        help="or a folder, for a folder; default: beside the pickle",
    )
    parser.add_argument("--force", action="store_true", help="replace another file")


def run(args: argparse.Namespace) -> int:
    """Convert, and say what was made."""
    if not args.pickle.is_dir():
        _convert(args.pickle, args.out or args.pickle.with_suffix(".safetensors"), args.force)
        return 0
    found = sorted(args.pickle.glob("*.pkl"))
    out = args.out or args.pickle
    if not found:
        msg = f"{args.pickle} holds no .pkl files; name a folder of published pickles"
        raise UserError(msg)
    if out.is_file() or out.suffix == ".safetensors":
        msg = f"{args.pickle} is a folder and {out} is a file's name; name a folder for the results"
        raise UserError(msg)
    for path in found:
        _convert(path, out / path.with_suffix(".safetensors").name, args.force)
    return 0


def _convert(pickle: Path, out: Path, force: bool) -> None:
    from guidebench.runs.conversion import convert_network  # noqa: PLC0415

    if out.exists() and not force:
        fresh = partial_path(out)  # killed here, it is swept by the next call
        try:
            convert_network(pickle, fresh)
            same = sha256_file(fresh) == sha256_file(out)
        finally:
            with suppress(OSError):  # what else is wrong with the disk is told already
                fresh.unlink()
        if same:
            print(f"{out} is this network already")
            return
        msg = f"{out} exists and is another file than {pickle} gives; --force replaces it"
        raise UserError(msg)
    header = convert_network(pickle, out)
    known = f"EMA {header.ema:g} at {header.num_images:,} images" if header.ema else "EMA unknown"
    print(f"{out}: {header.architecture}, {known}, {out.stat().st_size:,} bytes")
