"""The loop that every worker runs: everything once, whoever dies, joins or spoils a file."""

import subprocess
import sys
import threading
from collections import Counter
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import cast

import pytest

from guidebench.base import UserError, atomic_write
from guidebench.runs.claims import Claims, Owner
from guidebench.runs.folder import Job, LostShardsError
from guidebench.runs.work import Todo, Worker, num_units


@dataclass
class FakeJob:
    """A job whose shards are empty files; counts what is made."""

    folder: Path
    num_shards: int
    made: Counter[int | None] = field(default_factory=Counter)

    def claim_path(self, index: int | None) -> Path:
        return self.folder / "claims" / str(index)

    def shard(self, index: int) -> object | None:
        return (self.folder / str(index)).exists() or None

    def finished(self) -> object | None:
        return (self.folder / "record").exists() or None

    def todo(self) -> Todo:
        left = {i for i in range(self.num_shards) if self.shard(i) is None}
        return Todo(cast("Job", self), left)


def make(job: Job, index: int | None) -> None:
    fake = cast("FakeJob", job)
    if index is None:
        lost = {i for i in range(fake.num_shards) if fake.shard(i) is None}
        if lost:
            raise LostShardsError(lost)
    fake.made[index] += 1
    atomic_write(fake.folder / ("record" if index is None else str(index)), b"")


def test_the_parent_of_workers_imports_no_torch() -> None:
    code = "import sys, guidebench.runs.runner; print('torch' in sys.modules)"
    found = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
    assert found.stdout == b"False\n"


def test_a_rank_computes_fp32_in_fp32() -> None:
    """On a GPU torch would round convolutions to TF32; the flags are there without one."""
    code = (
        "import torch; from guidebench.runs.worker import set_up; set_up(0, 'cpu');"
        "cuda = torch.backends.cuda.matmul;"
        "print(torch.backends.cudnn.allow_tf32, cuda.allow_tf32,"
        "cuda.allow_fp16_reduced_precision_reduction, cuda.allow_bf16_reduced_precision_reduction)"
    )
    found = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
    assert found.stdout.split() == [b"False"] * 4


@pytest.fixture
def jobs(tmp_path: Path) -> list[FakeJob]:
    found = [FakeJob(tmp_path / name, num) for name, num in (("a", 5), ("b", 1), ("c", 7))]
    for job in found:
        job.folder.mkdir()
    return found


def no_nap(seconds: float) -> None:
    pytest.fail(f"waited {seconds} s for nobody")


def everything(job: FakeJob) -> Counter[int | None]:
    return Counter([*range(job.num_shards), None])


def test_one_worker_finishes_all_in_order_and_tidies_up(jobs: list[FakeJob]) -> None:
    told: list[tuple[int, int | None]] = []
    todo = [job.todo() for job in jobs]
    Worker(make, lambda *what: told.append(what), nap=no_nap).finish(todo)
    assert told == [
        (place, index) for place, job in enumerate(jobs) for index in [*range(job.num_shards), None]
    ]
    assert len(told) == num_units(todo)
    for job in jobs:
        assert job.made == everything(job)
        assert not (job.folder / "claims").exists()


@pytest.mark.parametrize("workers", [2, 3, 8])
def test_many_make_each_thing_once(jobs: list[FakeJob], workers: int) -> None:
    todo = [job.todo() for job in jobs]
    told: list[set[tuple[int, int | None]]] = [set() for _ in range(workers)]

    def work(rank: int) -> None:
        Worker(make, lambda *what: told[rank].add(what), Claims()).finish(todo)

    threads = [threading.Thread(target=work, args=(r,)) for r in range(workers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
    for job in jobs:
        assert job.made == everything(job)
    assert all(len(mine) == num_units(todo) for mine in told), "each knows of all that is finished"


def test_what_a_dead_worker_held_is_made_by_the_living(jobs: list[FakeJob]) -> None:
    job = jobs[0]
    dead = Claims(replace(Owner.here(), started=Owner.here().started - 60))
    for index in (0, 3, None):
        assert dead.take(job.claim_path(index))
    Worker(make, lambda *_: None, nap=no_nap).finish([job.todo()])
    assert job.made == everything(job)
    assert not (job.folder / "claims").exists()


def test_what_a_living_worker_holds_is_waited_for_and_taken_from_it(jobs: list[FakeJob]) -> None:
    """And everything else is made meanwhile, other jobs' too."""
    other, naps = Claims(), list[float]()
    assert other.take(jobs[0].claim_path(2))

    def nap(seconds: float) -> None:
        naps.append(seconds)
        assert jobs[2].made == everything(jobs[2])
        if len(naps) == 8:
            make(cast("Job", jobs[0]), 2)
            other.release(jobs[0].claim_path(2))

    Worker(make, lambda *_: None, nap=nap).finish([job.todo() for job in jobs])
    assert naps == [0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.0, 1.0]
    assert jobs[0].made == everything(jobs[0])


def test_shards_that_are_lost_before_the_record_are_made_again(jobs: list[FakeJob]) -> None:
    job = jobs[0]

    def lose(_: int, index: int | None) -> None:
        if index == 4 and job.made[1] == 1:
            (job.folder / "1").unlink()

    Worker(make, lose).finish([job.todo()])
    assert job.made == everything(job) + Counter([1])


def test_a_worker_that_fails_leaves_no_claim(jobs: list[FakeJob]) -> None:
    def fail(*_: object) -> None:
        msg = "samples are not finite"
        raise UserError(msg)

    with pytest.raises(UserError, match="not finite"):
        Worker(fail, lambda *_: None).finish([jobs[0].todo()])
    Worker(make, lambda *_: None, nap=no_nap).finish([jobs[0].todo()])


def test_what_was_finished_between_looking_and_claiming_is_not_made_again(
    jobs: list[FakeJob], monkeypatch: pytest.MonkeyPatch
) -> None:
    job, take = jobs[1], Claims.take

    def late(self: Claims, path: Path) -> bool:
        index = None if path.name == "None" else int(path.name)
        if not job.made[index]:
            make(cast("Job", job), index)
        return take(self, path)

    monkeypatch.setattr(Claims, "take", late)
    Worker(make, lambda *_: None, nap=no_nap).finish([job.todo()])
    assert job.made == everything(job)


def test_a_record_that_others_made_is_not_made_again(jobs: list[FakeJob]) -> None:
    job = jobs[1]
    todo = job.todo()
    make(cast("Job", job), 0)
    make(cast("Job", job), None)
    told: list[tuple[int, int | None]] = []
    Worker(make, lambda *what: told.append(what)).finish([todo])
    assert job.made == everything(job)
    assert told == [(0, 0), (0, None)]
