"""guidebench reference import FILE.pkl [OUT.safetensors]."""

import argparse
from pathlib import Path

from guidebench.base import UserError


def configure(parser: argparse.ArgumentParser) -> None:
    """Add this command's arguments."""
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    text = "reference statistics of the EDM2 papers' format to safetensors"
    sub = actions.add_parser("import", help=text, description=f"{text[0].upper()}{text[1:]}.")
    sub.add_argument("pickle", type=Path, metavar="FILE.pkl")
    sub.add_argument(
        "out", type=Path, nargs="?", metavar="OUT.safetensors", help="default: in the cache"
    )
    sub.add_argument(
        "--extractor",
        action="append",
        default=[],
        metavar="METRIC=NAME",
        help="the feature network that made the statistics, where not the papers' own",
    )


def run(args: argparse.Namespace) -> int:
    """Import, and say what was made."""
    from guidebench.checkpoints.cache import reference_path  # noqa: PLC0415
    from guidebench.runs.conversion import import_reference  # noqa: PLC0415

    pairs = [text.partition("=") for text in args.extractor]
    if wrong := next((text for text, (_, _, name) in zip(args.extractor, pairs, strict=True)
                      if not name), None):  # fmt: skip
        msg = f"--extractor takes METRIC=NAME, as in fid=inception, got {wrong}"
        raise UserError(msg)
    out = args.out or reference_path(args.pickle.stem)
    made = import_reference(args.pickle, out, {metric: name for metric, _, name in pairs})
    holds = ", ".join(f"{m} ({s.extractor}, {len(s.mean_D)})" for m, s in made.statistics.items())
    count = "an unknown number of" if made.num_images is None else f"{made.num_images:,}"
    print(f"{out}: {holds}, from {count} images")
    return 0
