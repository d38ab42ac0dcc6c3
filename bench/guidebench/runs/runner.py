"""Runs jobs on worker processes: shards first, then each run's record. The parent has no torch.

Finished work is never redone: whole shards and records are kept, anything else is made again.
A run's bytes depend neither on the number of ranks nor on where an earlier call was stopped.
"""

import multiprocessing
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from typing import Any, final

from guidebench.base import UserError
from guidebench.reports.record import Record
from guidebench.runs.folder import Job
from guidebench.runs.shards import read_shard, shard_path
from guidebench.runs.worker import measure_run, sample_shard, start_rank

THREADS_PER_RANK = 1
"""Small networks gain more from a second rank than from a second thread, and one thread sums in
one order; part of each run's digest."""


@final
@dataclass(frozen=True, slots=True)
class Event:
    """Something finished: `done` of `total` units, the last of them in words."""

    done: int
    total: int
    text: str


@final
@dataclass(slots=True)
class _Pending:
    """What is left to do for one job."""

    job: Job
    shards: set[int] = field(default_factory=set)


def unfinished_shards(job: Job) -> set[int]:
    """Indices of shards that are missing or not whole."""
    spec = job.row.spec
    return {
        i
        for i in range(spec.num_shards)
        if read_shard(shard_path(job.folder, i), spec_sha256=job.sha256, seeds=spec.shard_seeds(i))
        is None
    }


def run_jobs(jobs: Sequence[Job], *, ranks: int, report: Callable[[Event], None]) -> list[Record]:
    """Finish all jobs and return their records, in order.

    Raises:
        UserError: for bad samples, a full disk, or a worker that was killed; finished shards
            stay and the next call goes on from them.
        KeyboardInterrupt: after the workers are stopped.
    """
    todo = [job for job in jobs if job.finished() is None]
    if todo:
        for job in todo:
            job.prepare()
        _run_all([_Pending(j, unfinished_shards(j)) for j in todo], ranks=ranks, report=report)
    return [_stored(job) for job in jobs]


def _stored(job: Job) -> Record:
    record = job.finished()
    if record is None:
        msg = f"{job.record_path} changed while it was read; run the same command again"
        raise UserError(msg)
    return record


def _run_all(pending: Sequence[_Pending], *, ranks: int, report: Callable[[Event], None]) -> None:
    total = sum(len(p.shards) + 1 for p in pending)
    report(Event(0, total, f"starting {ranks} worker{'s' if ranks > 1 else ''}"))
    context = multiprocessing.get_context("spawn")
    device = pending[0].job.row.spec.device
    pool = ProcessPoolExecutor(
        ranks,
        mp_context=context,
        initializer=start_rank,
        initargs=(context.Value("i", 0), THREADS_PER_RANK, device),
    )
    try:
        for done, text in enumerate(_finished(pool, pending, ranks), start=1):
            report(Event(done, total, text))
        pool.shutdown()
    except BrokenProcessPool as error:
        msg = "a worker process was killed (out of memory?); run the same command to go on"
        raise UserError(msg) from error
    except BaseException:
        _stop_workers()
        raise
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def _finished(pool: ProcessPoolExecutor, pending: Sequence[_Pending], ranks: int) -> Iterator[str]:
    """Submit everything, records as soon as their shards are there; yield what finishes."""
    waiting: dict[Future[None], tuple[_Pending, int | None]] = {}

    def submit_record(work: _Pending) -> None:
        future = pool.submit(measure_run, work.job, ranks, THREADS_PER_RANK)
        waiting[future] = (work, None)

    for work in pending:
        for shard in sorted(work.shards):
            waiting[pool.submit(sample_shard, work.job, shard)] = (work, shard)
        if not work.shards:
            submit_record(work)
    while waiting:
        ready, _ = wait(waiting, return_when=FIRST_COMPLETED)
        for future in sorted(ready, key=lambda f: _order(waiting[f])):
            work, index = waiting.pop(future)
            future.result()
            if index is None:
                yield f"{work.job.row.label} measured"
                continue
            work.shards.discard(index)
            if not work.shards:
                submit_record(work)
            yield f"{work.job.row.label} shard {index + 1} of {work.job.row.spec.num_shards}"


def _order(item: tuple[_Pending, int | None]) -> tuple[int, int]:
    work, index = item
    return work.job.row.order, -1 if index is None else index


def _stop_workers() -> None:
    """Stop this process's workers at once: what they had not finished is redone next time."""
    children: list[Any] = multiprocessing.active_children()
    for child in children:
        child.terminate()
    for child in children:
        child.join(timeout=5)
