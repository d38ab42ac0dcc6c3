"""guidebench train fractal|digits."""

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from guidebench.training.loop import Recipe


def configure(parser: argparse.ArgumentParser) -> None:
    """Add this command's arguments."""
    parser.add_argument("suite", choices=["fractal", "digits"])
    parser.add_argument("--out", type=Path, default=Path("trained"), metavar="DIR")


def run(args: argparse.Namespace) -> int:
    """Train what is not there yet; weights and provenance.json lie in DIR then."""
    print(f"training {args.suite} into {args.out} ...", file=sys.stderr, flush=True)
    from guidebench.cli.progress import ProgressLine  # noqa: PLC0415
    from guidebench.training.builtin import train_builtin  # noqa: PLC0415  imports torch

    with ProgressLine("train") as line:

        def start(recipe: "Recipe") -> Callable[[int, int, float], None]:
            def show(iteration: int, total: int, loss: float) -> None:
                line.show(iteration, total, f"{recipe.name}  loss {loss:.4f}")

            return show

        train_builtin(args.suite, args.out, start=start, say=print)
    return 0
