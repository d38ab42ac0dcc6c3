"""Ranks that share a folder and nothing else: killed, together, unknown to each other."""

import multiprocessing
import random
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from multiprocessing.context import ForkServerContext, ForkServerProcess
from pathlib import Path

import pytest

from guidebench.base import host_id, sha256_file, started_at
from guidebench.runs.claims import Claims, Owner
from tests.cli import warm as warm_module
from tests.cli.conftest import SUITE, Command, kept_open, numbers, records

ROWS = (f"{SUITE}::unguided", f"{SUITE}::autoguidance-w3")
KILLS, SEED = 10, 20261125


def begin(
    context: ForkServerContext, out: Path, *words: str, rank: int = 1, world: int = 2
) -> ForkServerProcess:
    """One rank, by default one that prints no table and writes no report."""
    said = out.parent / f"{out.name}.{rank}.txt"
    line = ("run", *(words or ROWS), "--out", str(out), "--num", "96")
    process = context.Process(target=warm_module.be_rank, args=(rank, world, line, said))
    process.start()
    return process


def ended(process: ForkServerProcess) -> int | None:
    process.join(timeout=120)
    return process.exitcode


@pytest.fixture(scope="module")
def unbroken(
    warm: ForkServerContext, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, float]:
    """Finished by one rank that nobody disturbed, and the seconds that this took."""
    out = tmp_path_factory.mktemp("unbroken") / "out"
    assert ended(begin(warm, out, "nosuch")) == 2  # the process to fork from is there now
    began = time.monotonic()
    assert ended(begin(warm, out)) == 0
    return out, time.monotonic() - began


def test_killed_at_ten_random_moments_nothing_changes(
    warm: ForkServerContext, unbroken: tuple[Path, float], tmp_path: Path
) -> None:
    """SIGKILL, moments drawn by seed 20261125 from the length of an unbroken run.

    Where a machine grows slower or faster meanwhile, so does the length.
    """
    whole, seconds = unbroken
    rng, kills, at_work, folders = random.Random(SEED), 0, 0, [tmp_path / "0"]
    while kills < KILLS or not at_work:
        out = folders[-1]
        process = begin(warm, out)
        process.join(timeout=rng.uniform(0.0, 0.6 * seconds))
        process.kill()
        if ended(process) == 0:  # it was done before
            folders.append(tmp_path / str(len(folders)))
            seconds /= 1.5
        elif list(out.rglob("shards/*.safetensors")):
            kills, at_work = kills + 1, at_work + 1
        else:
            kills, seconds = kills + 1, seconds * 1.2
    for out in folders:
        assert ended(begin(warm, out)) == 0
        assert numbers(out) == numbers(whole)
        assert not list(out.rglob("*.partial"))
        assert not list(out.rglob("claims"))


def test_what_the_killed_left_is_cleared_from_finished_work_too(
    warm: ForkServerContext, unbroken: tuple[Path, float]
) -> None:
    """As if killed while it tried the folder, wrote the page, and after its last record."""
    out, _ = unbroken
    ghost = subprocess.Popen([sys.executable, "-c", ""])
    started = started_at(ghost.pid)
    ghost.wait()
    dead = f"{host_id()}.{ghost.pid}.0011aabb.partial"
    (record, *_) = sorted(out.rglob("record.json"))
    claims = Claims(replace(Owner.here(), pid=ghost.pid, started=started))
    assert claims.take(record.parent / "claims" / "record")
    left = [
        out / f"..writable.{dead}",
        out / f".report.html.{dead}",
        record.parent / f".record.json.{dead}",
        record.parent / "shards" / f".000000.safetensors.{dead}",
        record.parent / "claims" / f".000000.{dead}",
    ]
    for path in left:
        path.write_bytes(b"")
    before = sha256_file(record)
    assert ended(begin(warm, out)) == 0
    assert [p for p in left if p.exists()] == []
    assert not (record.parent / "claims").exists()
    assert sha256_file(record) == before


def test_two_that_do_not_know_of_each_other_share_the_work(
    warm: ForkServerContext, unbroken: tuple[Path, float], tmp_path: Path
) -> None:
    """Two terminals, or two nodes on one folder: each shard is made once, each record once."""
    out = tmp_path / "out"
    both = [begin(warm, out), begin(warm, out)]
    assert [ended(p) for p in both] == [0, 0]
    assert numbers(out) == numbers(unbroken[0])
    for record in records(out).values():
        ranks = record["cost"]["per_rank"]
        assert sum(r["images"] for r in ranks) == 96
        assert record["cost"]["ranks"] == 2
        assert 1 <= len(ranks) <= 2


def test_a_record_depends_on_its_shards_alone(
    warm: ForkServerContext, unbroken: tuple[Path, float]
) -> None:
    """Whoever makes it, whenever: the same bytes."""
    paths = sorted(unbroken[0].rglob("record.json"))
    before = [sha256_file(p) for p in paths]
    for path in paths:
        path.unlink()
    assert ended(begin(warm, unbroken[0])) == 0
    assert [sha256_file(p) for p in paths] == before
    assert len(paths) == 2


def test_under_torchrun_the_first_rank_alone_speaks(
    warm: ForkServerContext, unbroken: tuple[Path, float], tmp_path: Path
) -> None:
    out = tmp_path / "out"
    three = [begin(warm, out, rank=r, world=3) for r in range(3)]
    assert [ended(p) for p in three] == [0, 0, 0]
    assert numbers(out) == numbers(unbroken[0])
    said = [(tmp_path / f"out.{r}.txt").read_text() for r in range(3)]
    assert "report.html" in said[0]
    assert "no guidance" in said[0]
    assert said[1:] == ["", ""]


def test_a_bad_question_is_answered_once_a_node(warm: ForkServerContext, tmp_path: Path) -> None:
    out = tmp_path / "out"
    two = [begin(warm, out, "nosuch", rank=r, world=2) for r in range(2)]
    assert [ended(p) for p in two] == [2, 2]
    said = [(tmp_path / f"out.{r}.txt").read_text() for r in range(2)]
    assert said[0].startswith("guidebench run: unknown suite nosuch")
    assert said[1] == ""


def test_a_rank_says_by_its_number_what_went_wrong_in_its_own_work(
    warm: ForkServerContext, tmp_path: Path
) -> None:
    suite, out = tmp_path / "wild.py", tmp_path / "out"
    suite.write_text(
        "from guidebench.guidance.catalog import naive_truncation\n"
        "from tests.cli.suite_tiny import unguided\n\n"
        "def wild():\n"
        "    return unguided().with_options(scheme=naive_truncation(1e30), curves=())\n"
    )
    assert ended(begin(warm, out, str(suite))) == 2
    said = (tmp_path / "out.1.txt").read_text()
    assert said.startswith("guidebench run: rank 1: seeds 0 to 3: 4 of 4 samples are not finite")
    assert "Traceback" not in said
    assert not list(out.rglob("claims/*")), "what failed is free for others to try"


def test_processes_are_torchruns_to_start(inline: Command, tmp_path: Path) -> None:
    place = {"RANK": "1", "LOCAL_RANK": "0", "WORLD_SIZE": "2"}
    ran = inline("run", "fractal", "--out", tmp_path / "o", "--processes", 2, **place)
    assert ran.returncode == 2
    assert ran.stderr == (
        "guidebench run: torchrun started this rank already; leave out --processes 2\n"
    )
    assert not (tmp_path / "o").exists()


@contextmanager
def worker_killed_at_work(out: Path, like: Path) -> Iterator[None]:
    """A worker of the run inside, in `out`, is killed when shards are there and work is left."""

    def wait_and_kill() -> None:
        with kept_open(out, like):
            held.set()
            give_up = time.monotonic() + 60
            while not list(out.rglob("shards/*.safetensors")):
                assert time.monotonic() < give_up
                time.sleep(0.002)
            multiprocessing.active_children()[0].kill()

    held, thread = threading.Event(), threading.Thread(target=wait_and_kill)
    thread.start()
    assert held.wait(60)
    yield
    thread.join()


def test_a_worker_that_is_killed_costs_its_shard(
    warm: object, unbroken: tuple[Path, float], tmp_path: Path, inline: Command
) -> None:
    assert warm
    with worker_killed_at_work(tmp_path, unbroken[0]):
        ran = inline("run", *ROWS, "--out", tmp_path, "--num", 96, "--processes", 2)
    assert ran.returncode == 0, ran.stderr
    assert "run: a worker process was killed (out of memory?); the other goes on" in ran.stderr
    assert numbers(tmp_path) == numbers(unbroken[0])


def test_without_workers_it_stops_and_says_how_to_go_on(
    warm: object, unbroken: tuple[Path, float], tmp_path: Path, inline: Command
) -> None:
    assert warm
    words = ("run", *ROWS, "--out", tmp_path, "--num", 96, "--processes", 1)
    with worker_killed_at_work(tmp_path, unbroken[0]):
        ran = inline(*words)
    assert ran.returncode == 2
    assert ran.stderr.splitlines()[-1] == (
        "guidebench run: the worker processes were killed (out of memory?); "
        "run the same command to go on"
    )
    assert inline(*words).returncode == 0
    assert numbers(tmp_path) == numbers(unbroken[0])
