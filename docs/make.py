"""Regenerate what docs/ shows: a full run of both suites, its tables and pictures, the papers'."""

import shutil
import subprocess
import sys
from pathlib import Path

DOCS = Path(__file__).parent
PICTURES = {
    "fractal-points.png": "figure1.png",
    "fractal-curves.png": "fractal-curves.png",
    "digits-samples.png": "digits-samples.png",
    "digits-curves.png": "digits-curves.png",
}
PAPERS = (
    "table1-img512", "table1-img64", "edm2-table2", "edm2-img64", "interval", "degradation",
    "figure3", "figure7",
)  # fmt: skip


def main() -> None:
    """Run in a folder of its own, so that only this run's records are shown."""
    out = Path(sys.argv[1] if len(sys.argv) > 1 else "out/docs")
    command = [sys.executable, "-m", "guidebench.cli"]
    subprocess.run([*command, "run", "fractal", "digits", "--out", out], check=True)  # noqa: S603
    for name, target in PICTURES.items():
        shutil.copy(out / "figures" / name, DOCS / "figures" / target)
    table = DOCS / "results.md"
    words = ["report", out, "--format", "md", "--out", table]
    subprocess.run([*command, *words], check=True)  # noqa: S603
    papers = [*PAPERS, "--records", out, "--format", "md", "--out", DOCS / "tables"]
    subprocess.run([*command, "tables", *papers], check=True)  # noqa: S603
    print(f"{table}, {DOCS / 'tables'} and {DOCS / 'figures'} are new")


if __name__ == "__main__":
    main()
