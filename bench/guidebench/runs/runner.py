"""Runs jobs: worker processes of this parent's, or this process as one rank of torchrun's.

Finished work is never redone: whole shards and records are kept, anything else is made again.
A run's numbers depend neither on how many ranks made it nor on who was stopped when.
"""

import multiprocessing
import os
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from multiprocessing import forkserver
from multiprocessing.connection import wait
from multiprocessing.process import BaseProcess
from typing import TYPE_CHECKING, Any, Final, final

from guidebench.base import UserError
from guidebench.reports.record import Record
from guidebench.runs.folder import Job
from guidebench.runs.work import Todo, Worker, num_units, plan_work
from guidebench.runs.worker import maker, run_child, set_up

if TYPE_CHECKING:
    from multiprocessing.context import ForkServerContext, SpawnContext

_PRELOADED: Final = ["guidebench.runs.sample", "guidebench.runs.bill", "guidebench.runs.measure"]

_UNKNOWN: Final = 255
"""What is told of a worker where the process that forked it was killed too."""


@final
@dataclass(frozen=True, slots=True)
class Event:
    """Something finished: `done` of `total` units, the last of them in words.

    A `warning` is to be seen by itself.
    """

    done: int
    total: int
    text: str
    warning: bool = False


Report = Callable[[Event], None]


@final
class _Progress:
    """Counts each unit once, however many workers tell of it."""

    def __init__(self, todo: Sequence[Todo], report: Report) -> None:
        self._todo, self._report = todo, report
        self._finished: set[tuple[int, int | None]] = set()
        self.total = num_units(todo)

    def say(self, text: str, *, warning: bool = False) -> None:
        self._report(Event(len(self._finished), self.total, text, warning))

    def tell(self, place: int, index: int | None) -> None:
        if (place, index) in self._finished:
            return
        self._finished.add((place, index))
        row = self._todo[place].job.row
        what = "measured" if index is None else f"shard {index + 1} of {row.spec.num_shards}"
        self.say(f"{row.label} {what}")


def run_jobs(jobs: Sequence[Job], *, ranks: int, report: Report) -> list[Record]:
    """Finish all jobs with worker processes of our own and return their records, in order.

    Others may work on the same jobs at the same time, from here or from other nodes.

    Raises:
        UserError: for bad samples, a full disk, or where every worker was killed; finished shards
            stay and the next call goes on from them.
        KeyboardInterrupt: after the workers are stopped.
    """
    if todo := plan_work(jobs):
        progress = _Progress(todo, report)
        progress.say(f"starting {ranks} worker{'s' if ranks > 1 else ''}")
        _with_children(todo, ranks, progress)
    return [_stored(job) for job in jobs]


def run_here(jobs: Sequence[Job], *, local_rank: int, world: int, report: Report) -> list[Record]:
    """Finish all jobs as one rank among others, in this process; returns when all are finished.

    Raises:
        UserError: for bad samples or a full disk.
    """
    if todo := plan_work(jobs):
        progress = _Progress(todo, report)
        progress.say("starting")
        set_up(local_rank, jobs[0].row.spec.device)
        Worker(maker(world), progress.tell).finish(todo)
    return [_stored(job) for job in jobs]


def _stored(job: Job) -> Record:
    record = job.finished()
    if record is None:
        msg = f"{job.record_path} changed while it was read; run the same command again"
        raise UserError(msg)
    return record


def _with_children(todo: Sequence[Todo], ranks: int, progress: _Progress) -> None:
    context = _context()
    children: list[tuple[Any, BaseProcess]] = []
    try:
        ranks = min(ranks, progress.total)
        for rank in range(ranks):
            mine, theirs = context.Pipe(duplex=False)
            arguments = (rank, ranks, todo, dict(os.environ), theirs)
            child = context.Process(target=run_child, args=arguments, daemon=True)
            with _without_ctrl_c() if context.get_start_method() == "spawn" else nullcontext():
                child.start()
            theirs.close()
            children.append((mine, child))
        _watch(children, progress)
    finally:
        _stop([child for _, child in children])


def _context() -> "SpawnContext | ForkServerContext":
    """Where the system forks safely, one process imports torch and all workers are its forks."""
    if sys.platform != "linux":
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(_PRELOADED)
    try:
        with _without_ctrl_c():
            forkserver.ensure_running()
    except OSError:  # its socket's path is too long where TMPDIR is
        return multiprocessing.get_context("spawn")
    return context


@contextmanager
def _without_ctrl_c() -> Iterator[None]:
    """A process started inside ignores it from its first moment: it is the parent's to handle."""
    try:
        before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    except ValueError:  # not the main thread, which alone is told of signals
        yield
        return
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _watch(children: Sequence[tuple[Any, BaseProcess]], progress: _Progress) -> None:
    """Hear the workers out. One that is killed costs its shard; the others make it again.

    Raises:
        UserError: what a worker says is wrong, or where the last one was killed.
        RuntimeError: for a bug in a worker, which has printed its traceback.
    """
    open_: dict[Any, BaseProcess] = dict(children)
    finished = False
    while open_:
        connection: Any
        for connection in wait(list(open_)):
            try:
                found = connection.recv()
            except (EOFError, ConnectionResetError):
                child = open_.pop(connection)
                child.join()
                finished |= child.exitcode == 0
                _say_how_it_ended(child, len(open_), progress)
                continue
            if isinstance(found, UserError):
                raise found
            progress.tell(*found)
    if not finished:
        msg = "the worker processes were killed (out of memory?); run the same command to go on"
        raise UserError(msg)


def _say_how_it_ended(child: BaseProcess, left: int, progress: _Progress) -> None:
    code = child.exitcode or 0
    killed = code < 0 or code == _UNKNOWN
    if code and not killed:
        msg = f"a worker process ended with code {code}; its traceback is above"
        raise RuntimeError(msg)
    if killed and left:
        others = "the other goes" if left == 1 else f"the other {left} go"
        progress.say(f"a worker process was killed (out of memory?); {others} on", warning=True)


def _stop(children: Sequence[BaseProcess]) -> None:
    """Stop workers that still run: what they had not finished is made again next time."""
    for child in children:
        if child.is_alive():
            child.kill()
    for child in children:
        child.join(timeout=5)
