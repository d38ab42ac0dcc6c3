"""examples/slurm.sh, with stand-ins for Slurm's commands and the real torchrun."""

import os
import shutil
import stat
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from tests.cli.conftest import SUITE, entry_point, numbers, records

SCRIPT = Path(__file__).parents[2] / "examples" / "slurm.sh"
SRUN = """#!/bin/bash
# Each node's task; the options of srun come first.
echo "srun $*" >> "$LOG"
while [[ $1 == --* ]]; do shift; done
exec "$@"
"""
SCONTROL = """#!/bin/bash
echo "scontrol $*" >> "$LOG"
printf 'localhost\\nnode-2\\n'
"""
TORCHRUN = f"""#!/bin/bash
# The real one, from beside the Python that runs the tests.
exec {sys.executable} -m torch.distributed.run "$@"
"""
pytestmark = pytest.mark.skipif(shutil.which("bash") is None, reason="no bash")


@pytest.fixture
def slurm(tmp_path: Path) -> dict[str, str]:
    """The environment of a job on one node of two ranks."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name, text in (("srun", SRUN), ("scontrol", SCONTROL), ("torchrun", TORCHRUN)):
        (folder / name).write_text(text)
        (folder / name).chmod(0o755)
    return os.environ | {
        "PATH": f"{folder}:{Path(entry_point()).parent}:{os.environ['PATH']}",
        "LOG": str(tmp_path / "log"),
        "SLURM_JOB_ID": str(os.getpid()),
        "SLURM_JOB_NODELIST": "node-[1-2]",
        "SLURM_NNODES": "1",
        "RANKS_PER_NODE": "2",
        "RESULTS": str(tmp_path / "results"),
    }


def submit(*words: object, environ: dict[str, str]) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        ["bash", str(SCRIPT), *map(str, words)],
        check=False, capture_output=True, text=True, timeout=280, env=environ,
    )  # fmt: skip


def test_the_script_is_executable_and_parses() -> None:
    assert SCRIPT.stat().st_mode & stat.S_IXUSR
    subprocess.run(["bash", "-n", str(SCRIPT)], check=True)


def test_two_ranks_of_torchrun_finish_a_run_and_print_once(
    slurm: dict[str, str], tmp_path: Path
) -> None:
    ran = submit(f"{SUITE}::unguided", "--num", 24, environ=slurm)
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.count("report.html") == 1
    assert ran.stdout.count("no guidance") == 1
    record = records(tmp_path / "results")["unguided"]
    assert record["metrics"]["outlier_rate"]["num_images"] == 24
    assert 1 <= record["cost"]["ranks"] <= 2
    asked = (tmp_path / "log").read_text().splitlines()
    assert asked[0] == "scontrol show hostnames node-[1-2]"
    for word in (
        "--nnodes=1",
        "--nproc-per-node=2",
        "--rdzv-endpoint=localhost:",
        "--max-restarts=3",
    ):
        assert word in asked[1]


def test_what_is_missing_ends_the_job_before_a_rank_starts(
    slurm: dict[str, str], tmp_path: Path
) -> None:
    slurm["GUIDEBENCH_CACHE"] = str(tmp_path / "cache")
    ran = submit("table1-img64", environ=slurm)
    assert ran.returncode == 1
    assert "guidebench checkpoint fetch --suite table1-img64" in ran.stdout
    assert "srun" not in (tmp_path / "log").read_text()
    assert submit(environ=slurm).returncode == 2


@pytest.mark.slow
def test_torchrun_starts_a_killed_rank_again_and_nothing_changes(
    slurm: dict[str, str], tmp_path: Path
) -> None:
    """SIGKILL to one of two ranks, twice; what they had finished is kept."""
    words = [f"{SUITE}::unguided", f"{SUITE}::autoguidance-w3", "--num", "2000"]
    out, log = tmp_path / "results", tmp_path / "said"
    with log.open("w") as said:
        job = psutil.Popen(["bash", str(SCRIPT), *words], stdout=said, stderr=said, env=slurm)
        for kill in (1, 2):
            give_up = time.monotonic() + 120
            while len(list(out.rglob("shards/*.safetensors"))) < 20 * kill or not (
                ranks := [c for c in job.children(recursive=True) if "guidebench.cli" in c.cmdline()
                          and "-u" in c.cmdline()]
            ):  # fmt: skip
                assert time.monotonic() < give_up, log.read_text()
                time.sleep(0.02)
            assert job.poll() is None, "it was done before the kill"
            ranks[-1].kill()
        assert job.wait(timeout=200) == 0, log.read_text()
    assert log.read_text().count("exitcode: -9") == 2
    whole = tmp_path / "whole"
    alone = subprocess.run(
        [entry_point(), "run", *words, "--out", str(whole), "--processes", "1"],
        check=False, capture_output=True, timeout=200,
    )  # fmt: skip
    assert alone.returncode == 0, alone.stderr
    assert numbers(out) == numbers(whole)
