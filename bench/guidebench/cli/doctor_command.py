"""guidebench doctor [SUITE ...] [--bench]."""

import argparse
import dataclasses
import json
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.table import Table

    from guidebench.runs.health import Finding
    from guidebench.runs.roofline import Reached, Roof

_MARKS: Final = {"ok": "✓", "missing": "✗", "none": "-"}
_CONVENTION: Final = (
    "A multiply-add is two operations; a copy moves each byte twice. The peak is the best square "
    "matrix\nproduct found; networks run eagerly in fp32, medians with the spread of the middle "
    "half of repeats."
)


def configure(parser: argparse.ArgumentParser) -> None:
    """Add this command's arguments."""
    parser.add_argument(
        "suites", nargs="*", metavar="SUITE[::ROW ...]", help="exit 1 unless these can run here"
    )
    parser.add_argument(
        "--bench",
        action="store_true",
        help="measure the machine's peaks, and what the built-in networks reach of them",
    )
    parser.add_argument("--json", action="store_true", help="for scripts")


def run(args: argparse.Namespace) -> int:
    """Say what is here; 1 where a suite that was asked for cannot run."""
    from guidebench.runs.catalog import SUITES  # noqa: PLC0415
    from guidebench.runs.health import machine, suite_finding  # noqa: PLC0415

    suites = [suite_finding(name) for name in args.suites or SUITES]
    found = machine()
    bench = _Bench(quiet=args.json) if args.bench else None
    if args.json:
        told: dict[str, object] = {
            "machine": [dataclasses.asdict(f) for f in found],
            "suites": [dataclasses.asdict(f) for f in suites],
        }
        print(json.dumps(told | (bench.fields() if bench else {}), indent=2))
    else:
        _print_findings("this machine", found)
        _print_findings("suites", suites)
        if bench:
            bench.print()
    return 1 if args.suites and any(f.state != "ok" for f in suites) else 0


def _print_findings(title: str, findings: "Sequence[Finding]") -> None:
    print(title)
    width = max(len(f.name) for f in findings)
    for finding in findings:
        remedy = f"\n    {'':<{width}}  → {finding.remedy}" if finding.remedy else ""
        print(f"  {_MARKS[finding.state]} {finding.name:<{width}}  {finding.text}{remedy}")
    print()


class _Bench:
    """The roofline of this machine: measured when made."""

    def __init__(self, *, quiet: bool) -> None:
        import torch  # noqa: PLC0415  costs seconds

        from guidebench.cli.progress import ProgressLine  # noqa: PLC0415
        from guidebench.measure import find_device  # noqa: PLC0415
        from guidebench.runs import roofline  # noqa: PLC0415

        self.device = find_device()
        device = torch.device(self.device)
        steps: list[str] = []
        with ProgressLine("bench") as line:

            def say(text: str) -> None:
                steps.append(text)
                if not quiet:
                    line.show(len(steps) - 1, _STEPS, text)

            self.roofs: Sequence[Roof] = roofline.roofs(device, say)
            self.bandwidth = roofline.bandwidth(device, say)
            self.reached: Sequence[Reached] = list(roofline.reached(device, say))

    def fields(self) -> dict[str, object]:
        """For scripts."""
        return {
            "device": self.device,
            "peaks": [dataclasses.asdict(r) for r in self.roofs],
            "bytes_per_second": self.bandwidth,
            "networks": [dataclasses.asdict(r) for r in self.reached],
        }

    def print(self) -> None:
        """Two tables and what they mean."""
        from rich.console import Console  # noqa: PLC0415

        console = Console(width=100, highlight=False)
        console.print(self._peaks())
        console.print(self._networks())
        print(_CONVENTION)

    def _peaks(self) -> "Table":
        table = _table(
            f"peaks of {self.device}", "precision", "threads", "GFLOP/s", "at n", "ridge"
        )
        for roof in self.roofs:
            rate = roof.flops_per_second
            table.add_row(
                roof.precision, str(roof.threads), f"{rate / 1e9:,.1f}", str(roof.size),
                f"{rate / self.bandwidth:,.1f} FLOP/byte",
            )  # fmt: skip
        table.caption = f"memory: {self.bandwidth / 1e9:,.1f} GB/s; below the ridge it is the limit"
        return table

    def _networks(self) -> "Table":
        table = _table(
            "what the built-in networks reach",
            "network", "batch", "MFLOP a call", "time", "spread", "GFLOP/s", "of peak",
        )  # fmt: skip
        for row in self.reached:
            table.add_row(
                row.network, str(row.batch),
                f"{row.flops / 1e6:,.2f}", f"{row.seconds * 1e3:,.2f} ms", f"{row.spread:.0%}",
                f"{row.flops_per_second / 1e9:,.2f}", f"{row.fraction_of_peak:.1%}",
            )  # fmt: skip
        return table


_STEPS: Final = 14


def _table(title: str, *columns: str) -> "Table":
    from rich import box  # noqa: PLC0415
    from rich.table import Table  # noqa: PLC0415

    made = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, caption_justify="left")
    for index, column in enumerate(columns):
        made.add_column(column, justify="left" if index == 0 else "right", no_wrap=True)
    return made
