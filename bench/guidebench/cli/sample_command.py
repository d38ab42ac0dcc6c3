"""guidebench sample ROW --num N --out PATH."""

import argparse
from pathlib import Path

from guidebench.base import UserError


def configure(parser: argparse.ArgumentParser) -> None:
    """Add this command's arguments."""
    parser.add_argument("row", metavar="SUITE::ROW", help="e.g. digits::none")
    parser.add_argument("--num", type=int, metavar="N", help="default: the row's own")
    parser.add_argument("--out", type=Path, required=True, help="a folder, .zip or .npz")
    parser.add_argument("--seeds", type=int, metavar="FIRST", help="first seed")
    parser.add_argument("--device", choices=["auto", "cpu", "cuda"], default="auto")


def run(args: argparse.Namespace) -> int:
    """Draw the set; seed n gives the sample that a run of the row gives."""
    from guidebench.cli.progress import ProgressLine  # noqa: PLC0415
    from guidebench.measure import find_device  # noqa: PLC0415
    from guidebench.runs.catalog import select  # noqa: PLC0415
    from guidebench.runs.folder import make_job  # noqa: PLC0415
    from guidebench.runs.worker import THREADS_PER_RANK, set_up  # noqa: PLC0415

    rows = select([args.row])
    if len(rows) != 1:
        msg = f"{args.row} names {len(rows)} rows; name one, as in {rows[0].label}"
        raise UserError(msg)
    if args.num is not None and args.num < 2:
        msg = f"--num must be at least 2, got {args.num}"
        raise UserError(msg)
    device = find_device() if args.device == "auto" else args.device
    given = {"num_images": args.num, "first_seed": args.seeds, "device": device, "repeats": 1}
    options = {key: value for key, value in given.items() if value is not None}
    row = rows[0].model_copy(update={"spec": rows[0].spec.with_options(**options)})
    job = make_job(row, args.out, threads=THREADS_PER_RANK, measured=False)

    set_up(0, device)  # as a run's ranks are: part of a sample's bits; imports torch, so it is late
    from guidebench.runs.sample_set import draw  # noqa: PLC0415

    with ProgressLine("sample") as line:
        draw(job, args.out, lambda done, total: line.show(done, total, row.label))
    print(f"{args.out}: {row.spec.num_images} samples of {row.label}")
    return 0
