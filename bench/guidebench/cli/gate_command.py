"""guidebench gate RECORDS --baseline FILE, and guidebench gate --speed ROW --baseline SOURCE."""

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from guidebench.base import UserError, atomic_write

if TYPE_CHECKING:
    from guidebench.reports.gate.judge import Finding
    from guidebench.reports.gate.memory import MemoryFinding
    from guidebench.reports.store import StoredRecord

_EPILOG: Final = (
    "Exit codes: 0 no worse, 1 worse, 2 bad question or not comparable, 3 inconclusive: look "
    "again on the next seeds, as the output says."
)
_INCONCLUSIVE: Final = 3


def configure(parser: argparse.ArgumentParser) -> None:
    """Add this command's arguments."""
    parser.epilog = _EPILOG
    parser.add_argument(
        "records", nargs="+", metavar="RECORDS",
        help="result folders; with --speed a row to time, as `guidebench run` takes it",
    )  # fmt: skip
    parser.add_argument(
        "--baseline", type=Path, required=True, metavar="FILE",
        help="accepted records; with --speed a checkout of the source to race against",
    )  # fmt: skip
    parser.add_argument("--update", metavar="REASON", help="write FILE anew from RECORDS instead")
    parser.add_argument("--alpha", type=float, help="false alarms of the whole gate; default 0.01")
    parser.add_argument(
        "--margin", type=float,
        help="harm that would not matter, a share; default 0.01, with --speed 0.03",
    )  # fmt: skip
    parser.add_argument(
        "--forbid-reduced-batch", action="store_true",
        help="refuse records whose batches were halved when memory ran out",
    )  # fmt: skip
    parser.add_argument("--junit", type=Path, metavar="FILE", help="write JUnit XML too")
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="write the table too")
    parser.add_argument("--github", action="store_true", help="print GitHub annotations too")
    parser.add_argument("--speed", action="store_true", help="race fresh processes instead")
    parser.add_argument("--pairs", type=int, default=12, help="with --speed: pairs of processes")
    parser.add_argument("--num", type=int, metavar="N", help="with --speed: samples a process")


def run(args: argparse.Namespace) -> int:
    """Print what changed; 0 no worse, 1 worse, 3 inconclusive."""
    if args.speed:
        return _speed(args)
    for folder in args.records:
        if not Path(folder).exists():
            msg = f"there is no folder {folder}; name one that `guidebench run` wrote"
            raise UserError(msg)
    records = _newest(args.records)
    if args.update is not None:
        from guidebench.reports.gate.baseline import write_baseline  # noqa: PLC0415

        baseline = write_baseline(records, args.baseline, args.update)
        rows = len(baseline.rows)
        print(f"{args.baseline}: {rows} rows, {len(records)} records, {baseline.looks} look(s)")
        return 0
    return _quality(records, args)


def _newest(folders: Sequence[str]) -> "list[StoredRecord]":
    from guidebench.reports.groups import group_records  # noqa: PLC0415
    from guidebench.reports.store import find_records  # noqa: PLC0415

    groups = group_records(find_records(map(Path, folders)))
    return [row for group in groups for row in group.rows]


def _quality(records: "list[StoredRecord]", args: argparse.Namespace) -> int:
    from guidebench.reports.gate import words  # noqa: PLC0415
    from guidebench.reports.gate.baseline import read_baseline  # noqa: PLC0415
    from guidebench.reports.gate.judge import ALPHA, MARGIN, Rule, judge  # noqa: PLC0415
    from guidebench.reports.gate.memory import judge_memory  # noqa: PLC0415
    from guidebench.reports.gate.pairing import pair_records, refuse_reduced  # noqa: PLC0415

    if not args.baseline.exists():
        msg = f"there is no baseline {args.baseline}; accept these records with --update REASON"
        raise UserError(msg)
    baseline = read_baseline(args.baseline)
    if args.forbid_reduced_batch:
        refuse_reduced(pair_records(records, baseline))
    rule = Rule(
        alpha=ALPHA if args.alpha is None else args.alpha,
        margin=MARGIN if args.margin is None else args.margin,
        looks=baseline.looks,
    )
    found = judge(records, baseline, rule)
    memory = judge_memory(records, baseline)
    for finding in words.worth_saying(found):
        print(words.sentence(finding))
    for grown in memory:
        print(grown.sentence)
    for text in (*words.sensitivity(found), *words.next_look(found, baseline)):
        print(text)
    _write(args, found, memory, lambda: words.markdown(found, memory, rule))
    print(words.last_line(found, memory, rule))
    if any(f.failed for f in found) or any(m.failed for m in memory):
        return 1
    return _INCONCLUSIVE if any(f.verdict == "inconclusive" for f in found) else 0


def _write(
    args: argparse.Namespace,
    found: "list[Finding]",
    memory: "list[MemoryFinding]",
    table: Callable[[], str],
) -> None:
    from guidebench.reports.gate.outputs import annotations, junit  # noqa: PLC0415

    if args.junit:
        atomic_write(args.junit, junit(found, memory))
    if args.markdown:
        atomic_write(args.markdown, table().encode())
    if args.github:
        for line in annotations(found, memory):
            print(line)


def _speed(args: argparse.Namespace) -> int:
    from guidebench.cli.progress import ProgressLine  # noqa: PLC0415
    from guidebench.reports.gate.judge import ALPHA  # noqa: PLC0415
    from guidebench.reports.gate.outputs import speed_junit  # noqa: PLC0415
    from guidebench.reports.gate.speed import SPEED_MARGIN, check_race, judge_speed  # noqa: PLC0415
    from guidebench.runs.race import race  # noqa: PLC0415

    if len(args.records) != 1:
        msg = f"--speed times one row, got {len(args.records)}; name one SUITE::ROW"
        raise UserError(msg)
    alpha = ALPHA if args.alpha is None else args.alpha
    margin = SPEED_MARGIN if args.margin is None else args.margin
    check_race(args.pairs, alpha=alpha, margin=margin)  # before minutes are spent
    with ProgressLine("race") as line:
        old, new = race(
            args.records[0], args.baseline, pairs=args.pairs, num=args.num, report=line.show
        )
    finding = judge_speed(old, new, alpha=alpha, margin=margin)
    text = f"{args.records[0]}: {finding.sentence}"
    print(text)
    if args.github:
        level = {"slower": "error", "inconclusive": "warning"}.get(finding.verdict, "notice")
        print(f"::{level} title=speed::{text.replace('%', '%25')}")
    if args.markdown:
        atomic_write(args.markdown, f"{text}\n".encode())
    if args.junit:
        atomic_write(args.junit, speed_junit(args.records[0], finding.verdict, finding.sentence))
    return {"slower": 1, "inconclusive": _INCONCLUSIVE}.get(finding.verdict, 0)
