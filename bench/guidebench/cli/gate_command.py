"""guidebench gate RECORDS --baseline FILE."""

import argparse
from pathlib import Path

from guidebench.base import UserError


def configure(parser: argparse.ArgumentParser) -> None:
    """Add this command's arguments."""
    parser.add_argument("records", nargs="+", type=Path, metavar="RECORDS", help="result folders")
    parser.add_argument("--baseline", type=Path, required=True, metavar="FILE")
    parser.add_argument("--update", metavar="REASON", help="write FILE anew from RECORDS instead")


def run(args: argparse.Namespace) -> int:
    """Print a sentence for each finding; exit 1 where something got worse."""
    from guidebench.reports.gate import (  # noqa: PLC0415
        findings,
        read_baseline,
        sensitivity,
        write_baseline,
    )
    from guidebench.reports.groups import group_records  # noqa: PLC0415
    from guidebench.reports.store import find_records  # noqa: PLC0415

    for folder in args.records:
        if not folder.exists():
            msg = f"there is no folder {folder}; name one that `guidebench run` wrote"
            raise UserError(msg)
    groups = group_records(find_records(args.records))
    records = [row for group in groups for row in group.rows]
    if args.update is not None:
        write_baseline(records, args.baseline, args.update)
        print(f"{args.baseline}: {len(records)} records")
        return 0
    found = findings(records, read_baseline(args.baseline))
    for finding in found:
        if finding.failed or finding.verdict == "better":
            print(finding.sentence)
    for sentence in sensitivity(found):
        print(sentence)
    failed = sum(f.failed for f in found)
    print(f"gate: {len(found)} metrics compared, {failed} worse")
    return 1 if failed else 0
