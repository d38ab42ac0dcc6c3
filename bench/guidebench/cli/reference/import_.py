"""guidebench reference import FILE [OUT.safetensors]."""

import argparse
from dataclasses import replace
from pathlib import Path

from guidebench.base import UserError, sha256_file


def configure(parser: argparse.ArgumentParser) -> None:
    """Add this action's arguments."""
    parser.add_argument("file", type=Path, metavar="FILE", help=".pkl or .npz")
    parser.add_argument(
        "out", type=Path, nargs="?", metavar="OUT.safetensors", help="default: in the cache"
    )
    parser.add_argument(
        "--extractor",
        action="append",
        default=[],
        metavar="METRIC=NAME",
        help="the feature network that made the statistics, where not the papers' own",
    )
    parser.add_argument(
        "--resolution", type=int, metavar="PIXELS",
        help="a side of the images, if known: others are then refused",
    )  # fmt: skip


def run(args: argparse.Namespace) -> int:
    """Import, and say what was made."""
    from guidebench.checkpoints.cache import reference_path  # noqa: PLC0415
    from guidebench.metrics.npz_reference import import_npz  # noqa: PLC0415
    from guidebench.runs.conversion import import_reference  # noqa: PLC0415

    pairs = [text.partition("=") for text in args.extractor]
    if wrong := next((text for text, (_, _, name) in zip(args.extractor, pairs, strict=True)
                      if not name), None):  # fmt: skip
        msg = f"--extractor takes METRIC=NAME, as in fid=inception, got {wrong}"
        raise UserError(msg)
    extractors = {metric: name for metric, _, name in pairs}
    side = args.resolution
    if side is not None and side < 1:
        msg = f"--resolution must be at least 1, got {side}"
        raise UserError(msg)
    size = side and (side, side)
    out = args.out or reference_path(args.file.stem)
    _require_free(out, args.file)
    if args.file.suffix == ".npz":
        made, notes = import_npz(args.file, extractors)
        made = replace(made, resolution=size)
        made.save(out)
        for note in notes:
            print(note)
    else:
        made = import_reference(args.file, out, extractors, size, of_any_size=False)
    holds = ", ".join(f"{m} ({s.extractor}, {len(s.mean_D)})" for m, s in made.statistics.items())
    count = "an unknown number of" if made.num_images is None else f"{made.num_images:,}"
    print(f"{out}: {holds}, from {count} images")
    return 0


def _require_free(out: Path, file: Path) -> None:
    """A reference of another origin is not replaced; one that cannot be read is."""
    from guidebench.metrics.reference import ReferenceFile  # noqa: PLC0415

    if not out.is_file() or not file.is_file():
        return
    try:
        there = ReferenceFile.load(out)
    except UserError:
        return
    if there.source_sha256 != sha256_file(file):
        msg = f"{out} was made from {there.source_file}; name another OUT.safetensors"
        raise UserError(msg)
