"""Ratios of a benchmark run beside the committed ones: a way that lost its gain is named.

    python -m tests.bench.compare out/bench.json ci/bench.json           exit 1 where one lost it
    python -m tests.bench.compare out/bench.json ci/bench.json --update  accept these ratios

Only ratios within one run are compared, never seconds: they hold across machines far better. A
way has lost its gain where even its best turn is below 0.8 of the committed median.
"""

import json
import sys
from pathlib import Path
from typing import Any, Final

from guidebench.base import UserError, atomic_write

LEAST: Final = 0.8
Ratios = dict[str, dict[str, list[float]]]


def ratios_of(report: Path) -> Ratios:
    """[least, median, most] by group and way, from pytest-benchmark's JSON.

    Raises:
        UserError: for a file that holds none.
    """
    try:
        found: list[dict[str, Any]] = json.loads(report.read_text())["benchmarks"]
        ratios = {b["group"]: b["extra_info"]["ratios"] for b in found}
    except (OSError, ValueError, KeyError, TypeError) as error:
        msg = f"{report} is no report with ratios ({error!r}); make it by `nox -s bench`"
        raise UserError(msg) from error
    return ratios


def compare(now: Ratios, committed: Ratios) -> tuple[list[str], bool]:
    """A line for each way, and whether none lost its gain or is missing."""
    lines, good = [], True
    for group, ways in committed.items():
        for way, (_, before, _) in ways.items():
            spread = now.get(group, {}).get(way)
            if spread is None:
                lines.append(f"{group}: {way}: not measured, committed {before:.2f}")
                good = False
                continue
            least, median, most = spread
            lost = most < LEAST * before
            good &= not lost
            verdict = "LOST ITS GAIN" if lost else "kept"
            lines.append(
                f"{group}: {way}: {least:.2f} / {median:.2f} / {most:.2f}, "
                f"committed {before:.2f}: {verdict}"
            )
    return lines, good


def main(words: list[str]) -> int:
    """Print the comparison, or accept the new ratios."""
    report, committed = Path(words[0]), Path(words[1])
    now = ratios_of(report)
    if "--update" in words:
        atomic_write(committed, (json.dumps(now, indent=2, sort_keys=True) + "\n").encode())
        print(f"{committed}: {sum(map(len, now.values()))} ratios")
        return 0
    lines, good = compare(now, json.loads(committed.read_text()))
    print("\n".join(lines))
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
