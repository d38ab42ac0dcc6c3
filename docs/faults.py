"""Seeded faults: what the gate says of a copy of the source with one line changed.

    python docs/faults.py            every fault, and prints the table of docs/gate.md
    python docs/faults.py NAME ...   some of them

Each copy runs the digits suite in processes of its own, as a pull request's code would, and is
held against a baseline that the unchanged source made on the same machine.
"""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final, final

ROOT: Final = Path(__file__).parents[1]
PARTS: Final = ("bench", "metrics", "reports")


@final
@dataclass(frozen=True, slots=True)
class Fault:
    """One changed line; `caught` says whether the gate must fail."""

    words: str
    file: str
    before: str
    after: str
    caught: bool = True


FAULTS: Final = {
    "weight": Fault(
        "guidance weight off by 5 %",
        "bench/guidebench/guidance/scheme.py",
        "guided = guided + gain * term",
        "guided = guided + ((gain + 1) * 1.05 - 1) * term",
    ),
    "corrector": Fault(
        "sampler without its corrector",
        "bench/guidebench/sampling/heun.py",
        "(0.5 * slope + 0.5 * slope_next)",
        "(slope + 0 * slope_next)",
    ),
    "clipping": Fault(
        "activations not clipped",
        "bench/guidebench/networks/block.py",
        "return x.clip(-CLIP, CLIP)",
        "return x",
    ),
    "ema": Fault(
        "wrong EMA length",
        "bench/guidebench/runs/sample.py",
        "file.reconstruct(ref.iteration, ref.ema)",
        "file.reconstruct(ref.iteration, 0.25)",
    ),
    "labels": Fault(
        "labels shuffled",
        "bench/guidebench/runs/domains/digits.py",
        "torch.eye(NUM_CLASSES, device=device)[asked], asked)",
        "torch.eye(NUM_CLASSES, device=device)[asked.roll(1)], asked)",
    ),
    "refactor": Fault(
        "innocent refactor: the corrector written otherwise, other rounding",
        "bench/guidebench/sampling/heun.py",
        "(0.5 * slope + 0.5 * slope_next)",
        "(slope + (slope_next - slope) / 2)",
        caught=False,
    ),
}


def copy_source(fault: Fault | None, to: Path) -> Path:
    """The three source roots, with the fault's line changed where it must stand exactly once."""
    for part in PARTS:
        shutil.copytree(ROOT / part, to / part, ignore=shutil.ignore_patterns("__pycache__"))
    if fault is not None:
        path = to / fault.file
        text = path.read_text()
        assert text.count(fault.before) == 1, f"{fault.file} has {fault.before!r} not once"
        path.write_text(text.replace(fault.before, fault.after))
    return to


def guidebench(source: Path, *words: object) -> subprocess.CompletedProcess[str]:
    """The command, from a copy of the source."""
    path = os.pathsep.join(str(source / part) for part in PARTS)
    return subprocess.run(  # noqa: S603
        [sys.executable, "-m", "guidebench.cli", *map(str, words)],
        env=os.environ | {"PYTHONPATH": path}, check=False, capture_output=True, text=True,
    )  # fmt: skip


def baseline(out: Path) -> Path:
    """Records of the unchanged source, accepted."""
    file = out / "baseline.json"
    source = copy_source(None, out / "unchanged" / "source")
    ran = guidebench(
        source, "run", "digits", "--device", "cpu", "--out", out / "unchanged" / "runs"
    )
    assert ran.returncode == 0, ran.stderr
    words = ["gate", out / "unchanged" / "runs", "--baseline", file, "--update", "unchanged"]
    assert guidebench(source, *words).returncode == 0
    return file


@final
@dataclass(frozen=True, slots=True)
class Outcome:
    """What the gate said of a fault, and how long running and judging took."""

    code: int
    seconds: float
    said: str


def try_fault(fault: Fault | None, file: Path, out: Path, *words: str) -> Outcome:
    """Run the digits with the fault and gate them; `words` go to the run."""
    began = time.monotonic()
    source = copy_source(fault, out / "source")
    ran = guidebench(source, "run", "digits", "--device", "cpu", "--out", out / "runs", *words)
    assert ran.returncode == 0, ran.stderr
    said = guidebench(source, "gate", out / "runs", "--baseline", file)
    assert said.returncode in {0, 1, 3}, said.stderr
    return Outcome(said.returncode, time.monotonic() - began, said.stdout)


def main() -> None:
    """Print a row for each fault, and one for another number of ranks."""
    names = sys.argv[1:] or [*FAULTS, "ranks"]
    verdicts = {0: "passed", 1: "**caught**", 3: "inconclusive"}
    print("| change | line | gate | seconds | first finding |\n|---|---|---|---|---|")
    with tempfile.TemporaryDirectory(prefix="guidebench-faults-") as folder:
        out = Path(folder)
        file = baseline(out)
        for name in names:
            fault = FAULTS.get(name)
            words = ("--ranks", "1") if name == "ranks" else ()
            found = try_fault(fault, file, out / name, *words)
            line = f"`{fault.after}`" if fault else "`--ranks 1` instead of 2"
            text = fault.words if fault else "another number of ranks"
            first = found.said.splitlines()[0 if found.code else -1]
            print(f"| {text} | {line} | {verdicts[found.code]} | {found.seconds:.0f} | {first} |",
                  flush=True)  # fmt: skip


if __name__ == "__main__":
    main()
