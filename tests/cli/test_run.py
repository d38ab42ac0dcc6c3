"""guidebench run: its result, and that nothing but the spec decides it."""

import os
import signal
import subprocess
import time
from pathlib import Path

import psutil
import pytest

from guidebench.reports.record import Record
from tests.cli.conftest import SUITE, Command, Ran, entry_point, kept_open, numbers, records


def test_prints_the_table_and_leaves_whole_records(finished: tuple[Path, Ran]) -> None:
    out, ran = finished
    assert ran.returncode == 0, ran.stderr
    assert set(records(out)) == {"truth", "unguided", "autoguidance-w3"}
    for text in ("no guidance", "autoguidance, w = 3", "perfect sampler at this N", "report.html"):
        assert text in ran.stdout
    record = records(out)["autoguidance-w3"]
    assert record["cost"]["network_calls_per_image"] == {"main": 15, "guide": 15}
    assert record["metrics"]["outlier_rate"]["noise_floor"] == pytest.approx(0.01)
    assert record["metrics"]["outlier_rate"]["num_images"] == 96
    assert (out / "figures").is_dir()


def test_says_something_at_once(finished: tuple[Path, Ran]) -> None:
    assert finished[1].stderr.splitlines()[0].split() == [
        "run", "0/39", "0", "s", "starting", "2", "workers",
    ]  # fmt: skip


def test_a_second_call_does_no_work(results: Path, command: Command) -> None:
    before = {p: p.stat().st_mtime_ns for p in results.rglob("*") if p.is_file()}
    ran = command("run", SUITE, "--out", results)
    assert (ran.returncode, ran.stderr) == (0, "")
    assert {p: p.stat().st_mtime_ns for p in results.rglob("*") if p.is_file()} == before


@pytest.mark.parametrize("ranks", [1, 3])
def test_ranks_do_not_change_a_bit(
    finished: tuple[Path, Ran], tmp_path: Path, inline: Command, warm: object, ranks: int
) -> None:
    """Two are `finished`'s."""
    assert warm
    ran = inline("run", SUITE, "--out", tmp_path, "--processes", ranks)
    assert ran.returncode == 0, ran.stderr
    assert numbers(tmp_path) == numbers(finished[0])
    assert not list(tmp_path.rglob("claims"))
    assert not list(tmp_path.rglob("*.partial"))


def start(out: Path) -> "subprocess.Popen[str]":
    words = [entry_point(), "run", str(SUITE), "--out", str(out), "--ranks", "2"]
    return subprocess.Popen(
        words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )


def wait_for_shards(out: Path, count: int) -> None:
    for _ in range(6000):
        if len(list(out.rglob("shards/*.safetensors"))) >= count:
            return
        time.sleep(0.01)
    pytest.fail(f"{count} shards never came")


def goes_on(finished: Path, out: Path, inline: Command) -> None:
    """The same command finishes what is there; finished shards are not made again."""
    kept = {p: p.stat().st_mtime_ns for p in out.rglob("shards/*.safetensors")}
    assert kept
    ran = inline("run", SUITE, "--out", out)
    assert ran.returncode == 0, ran.stderr
    assert numbers(out) == numbers(finished)
    assert all(p.stat().st_mtime_ns == at for p, at in kept.items())
    assert not list(out.rglob("claims"))


def test_workers_end_with_their_parent_and_the_next_call_goes_on(
    finished: tuple[Path, Ran], tmp_path: Path, inline: Command, warm: object
) -> None:
    """They close their pipes before they are gone: the system reaps them a little later."""
    with kept_open(tmp_path, finished[0]):
        process = start(tmp_path)
        wait_for_shards(tmp_path, 1)
        assert living_group(process.pid), "workers are in their parent's group"
        process.kill()
        process.communicate(timeout=60)
    give_up = time.monotonic() + 30
    while alive := living_group(process.pid):
        assert time.monotonic() < give_up, f"still there after 30 s: {alive}"
        time.sleep(0.05)
    assert warm
    goes_on(finished[0], tmp_path, inline)


def living_group(group: int) -> list[psutil.Process]:
    """Processes of a group but for its leader; zombies, which nobody may reap here, are gone."""
    found = [p for p in psutil.process_iter() if _group_of(p) == group != p.pid]
    return [p for p in found if _status(p) not in {None, psutil.STATUS_ZOMBIE}]


def _group_of(process: psutil.Process) -> int | None:
    try:
        return os.getpgid(process.pid)
    except ProcessLookupError:
        return None


def _status(process: psutil.Process) -> str | None:
    try:
        return str(process.status())
    except psutil.NoSuchProcess:
        return None


def test_ctrl_c_stops_with_130_and_the_next_call_goes_on(
    finished: tuple[Path, Ran], tmp_path: Path, inline: Command, warm: object
) -> None:
    with kept_open(tmp_path, finished[0]):
        process = start(tmp_path)
        wait_for_shards(tmp_path, 3)
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to every process
        _, stderr = process.communicate(timeout=60)
    assert process.returncode == 130
    assert stderr.splitlines()[-1] == (
        "guidebench run: stopped; the same command goes on from what is finished"
    )
    assert "Traceback" not in stderr
    assert warm
    goes_on(finished[0], tmp_path, inline)


def test_number_seeds_and_repeats_make_another_run(
    results: Path, inline: Command, warm: object
) -> None:
    words = ("--num", 24, "--seeds", 1000, "--repeats", 2, "--ranks", 1)
    assert warm
    ran = inline("run", f"{SUITE}::unguided", "--out", results, *words)
    assert ran.returncode == 0, ran.stderr
    made = [Record.load(path) for path in results.rglob("unguided/*/record.json")]
    assert len(made) == 2
    (record,) = [r for r in made if r.seeds.first == 1000]
    assert (record.seeds.num_per_repeat, record.seeds.repeats) == (24, 2)
    metric = record.metrics["outlier_rate"]
    assert len(metric.repeats) == 2
    assert metric.value == pytest.approx(sum(metric.repeats) / 2)
