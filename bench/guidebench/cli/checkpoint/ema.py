"""guidebench checkpoint ema FOLDER --std LENGTHS [--kimg TIMES]."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from guidebench.base import cache_folder

if TYPE_CHECKING:
    from guidebench.checkpoints.ema_folder import HeldOut


def configure(parser: argparse.ArgumentParser) -> None:
    """Add this action's arguments."""
    parser.add_argument("folder", type=Path, metavar="FOLDER", help="converted snapshots")
    parser.add_argument(
        "--std", type=_lengths, required=True, metavar="0.050,0.100", help="EMA lengths sigma_rel"
    )
    parser.add_argument(
        "--kimg",
        type=_times,
        default=[],
        metavar="134217,...",
        help="training times in thousands of images, as in names; default: the last snapshot",
    )
    parser.add_argument("--out", type=Path, help="default: the cache, where rows look for networks")
    parser.add_argument("--dtype", choices=("fp16", "fp32"), default="fp16", help="default: fp16")
    parser.add_argument(
        "--held-out",
        type=Path,
        action="append",
        default=[],
        metavar="FILE",
        help="a tracked average to measure the reconstruction against; may be given again",
    )
    parser.add_argument("--force", action="store_true", help="replace what is there")


def run(args: argparse.Namespace) -> int:
    """Reconstruct, and say how well."""
    from guidebench.cli.progress import ProgressLine  # noqa: PLC0415
    from guidebench.runs.reconstruction import Reconstruction  # noqa: PLC0415

    job = Reconstruction(
        args.folder,
        args.std,
        args.kimg,
        out=args.out or cache_folder() / "networks",
        dtype=args.dtype,
        held_out=args.held_out,
        force=args.force,
    )
    with ProgressLine("snapshots") as line:
        made, measured = job.run(line.show)
    for held in measured:
        print(_words(held))
    for one in made:
        if one.predicted is None:
            print(f"{one.path} is made already")
        else:
            print(f"{one.path}: relative error of its profile {one.predicted:.1e}")
    if not measured:
        print("error in the weights not measured: --held-out FILE takes a tracked average for that")
    return 0


def _words(held: "HeldOut") -> str:
    """One sentence on a held-out average."""
    return (
        f"{held.snapshot.path.name}, held out: relative error of the weights {held.error:.1e} "
        f"(of the nearest snapshot {held.nearest:.1e}), at worst {held.worst_error:.1e} in "
        f"{held.worst_tensor}; relative error of its profile {held.predicted:.1e}"
    )


def _lengths(text: str) -> list[float]:
    try:
        return [float(part) for part in text.split(",")]
    except ValueError as error:
        msg = f"expected numbers between commas, as in 0.050,0.100, got {text}"
        raise argparse.ArgumentTypeError(msg) from error


def _times(text: str) -> list[int]:
    if not all(part.isdecimal() for part in text.split(",")):
        msg = f"expected whole numbers between commas, as in 67108,134217, got {text}"
        raise argparse.ArgumentTypeError(msg)
    return [int(part) for part in text.split(",")]
