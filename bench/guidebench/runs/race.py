"""Two versions of the source take turns in fresh processes; each answers with its own times.

What a version must offer is the command line and the record: `guidebench run ROW --out DIR`
leaves `cost.batch_seconds`, warm batches only, with synchronised clocks.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from guidebench.base import UserError
from guidebench.reports.gate.speed import turns

_PARTS: Final = ("bench", "metrics", "reports")
_SAME: Final = ("device", "engine", "precision", "batch_size", "threads_per_rank", "ranks")


def race(
    row: str,
    source: Path,
    *,
    pairs: int,
    num: int | None,
    report: Callable[[int, int, str], None],
) -> tuple[list[float], list[float]]:
    """Median seconds of a batch in each process: of `source`, and of the code that runs this.

    Args:
        row: what to time, SUITE::ROW.
        source: a checkout of the baseline's source.
        pairs: processes of each side.
        num: samples a process; None for the row's own.
        report: called with processes done, all processes, and words.

    Raises:
        UserError: where `source` is no checkout, a process fails, or the two sides did not run
            the same thing.
    """
    if not all((source / part / "guidebench").is_dir() for part in _PARTS):
        msg = f"{source} is no checkout of guidebench; make one with `git worktree add DIR REV`"
        raise UserError(msg)
    sides = {"old": source.resolve(), "new": None}
    seconds: dict[str, list[float]] = {"old": [], "new": []}
    settings: dict[str, object] = {}
    order = turns(pairs)
    report(0, len(order), "starting")
    for done, (pair, side) in enumerate(order, start=1):
        cost = _one(row, sides[side], num)
        here = {name: cost.get(name) for name in _SAME}
        if (first := settings.setdefault("first", here)) != here:
            msg = f"the two sides ran differently, {here} against {first}; race like with like"
            raise UserError(msg)
        seconds[side].append(statistics.median(cost["batch_seconds"]))
        report(done, len(order), f"pair {pair + 1}, {side}: {seconds[side][-1]:.4f} s a batch")
    return seconds["old"], seconds["new"]


def _one(row: str, source: Path | None, num: int | None) -> dict[str, Any]:
    """Run the row in a fresh process of one side, one rank; its record's cost."""
    ours = (
        {} if source is None else {"PYTHONPATH": os.pathsep.join(str(source / p) for p in _PARTS)}
    )
    with tempfile.TemporaryDirectory(prefix="guidebench-race-") as out:
        words = [sys.executable, "-m", "guidebench.cli", "run", row, "--out", out, "--ranks", "1"]
        words += [] if num is None else ["--num", str(num)]
        ran = subprocess.run(  # noqa: S603
            words, env=os.environ | ours, check=False, capture_output=True,
            text=True,
        )  # fmt: skip
        if ran.returncode:
            last = ran.stderr.strip().splitlines()[-1:] or ["no message"]
            msg = f"{source or 'this version'} cannot run {row}: {last[0]}"
            raise UserError(msg)
        found = list(Path(out).rglob("record.json"))
        if len(found) != 1:
            msg = f"{row} is {len(found)} rows; name one SUITE::ROW"
            raise UserError(msg)
        cost: dict[str, Any] = json.loads(found[0].read_text(encoding="utf-8"))["cost"]
    if not cost["batch_seconds"]:
        msg = f"{row} has no batch after its warm-up; raise --num above {cost['batch_size']}"
        raise UserError(msg)
    return cost
