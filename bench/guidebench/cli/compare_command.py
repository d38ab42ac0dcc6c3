"""guidebench compare A B."""

import argparse
import math
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from guidebench.reports.compare import Difference

_Z: Final = 1.959963984540054


def configure(parser: argparse.ArgumentParser) -> None:
    """Add this command's arguments."""
    parser.add_argument("a", type=Path, metavar="A", help="a record, or a folder that holds one")
    parser.add_argument("b", type=Path, metavar="B")


def run(args: argparse.Namespace) -> int:
    """Print each metric's difference with its interval, and what would resolve it."""
    from guidebench.reports.compare import differences  # noqa: PLC0415
    from guidebench.reports.store import load_record  # noqa: PLC0415

    a, b = load_record(args.a), load_record(args.b)
    found = differences(a, b)
    print(f"{a.name} minus {b.name}")
    width = max(len(difference.metric) for difference in found)
    for difference in found:
        recall = difference.metric.partition(":")[0] == "recall"  # its errors are over real images
        num = (
            len(a.influence(difference.metric))
            if recall
            else a.record.metrics[difference.metric].num_images
        )
        given = any(stored.record.sampler is None for stored in (a, b))
        pairs = "by real image" if recall else "in order of images" if given else "by seed"
        print(f"{difference.metric:<{width}}  {_words(difference, num, pairs)}")
    return 0


def _words(difference: "Difference", num_images: int, pairs: str) -> str:
    low, high = difference.interval_95
    how = f"paired {pairs}" if difference.paired else "unpaired"
    value = f"{difference.value:+.4g}, 95 %: [{low:+.4g}, {high:+.4g}], {how}"
    if difference.separable:
        return f"{value}: a difference"
    if not difference.value:
        return f"{value}: none seen"
    needed = num_images * (_Z * difference.standard_error / difference.value) ** 2
    return f"{value}: not resolved; about {_rounded(needed):,} images would, if it is as large"


def _rounded(number: float) -> int:
    """Up, to two digits."""
    unit: int = 10 ** max(0, math.floor(math.log10(number)) - 1)
    return math.ceil(number / unit) * unit
