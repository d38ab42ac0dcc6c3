"""What worker processes of the tests begin with: imported once, before any of them is forked.

Torch stays on one thread here, so that there are no threads to lose in a fork.
"""

import os
import sys
from pathlib import Path

import pytest
import torch

from guidebench.cli import main
from guidebench.runs import bill, measure
from guidebench.runs.domains import fractal

torch.set_num_threads(1)
fractal._contour()
IMPORTED = (bill, measure, pytest)  # each fork imports pytest, as the main module of its parent


def be_rank(rank: int, world: int, words: tuple[str, ...], said: Path) -> None:
    """One rank, in this process, as torchrun would start it; what it says goes to a file."""
    os.environ.update(RANK=str(rank), LOCAL_RANK=str(rank), WORLD_SIZE=str(world))
    with said.open("w") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    sys.exit(main(words))
