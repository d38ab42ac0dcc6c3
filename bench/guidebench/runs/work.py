"""Finishing jobs together with whoever else works on them. No torch, no message, no lock.

Every worker runs the same loop: claim what nobody has finished or claimed, make it, store it. The
folder is all that workers share, so they may start, die and join at any time, on any node. Shards
of a run are merged in seed order by whoever finds them all there.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final, final

from guidebench.runs.claims import Claims
from guidebench.runs.folder import Job, LostShardsError

FIRST_NAP_SECONDS: Final = 0.02
LONGEST_NAP_SECONDS: Final = 1.0

Make = Callable[[Job, int | None], None]
"""Makes a shard, or the record for None, and stores it."""
Tell = Callable[[int, int | None], None]
"""Hears what is finished, by whomever: the job's place, and the shard or None for the record."""


@final
@dataclass(slots=True)
class Todo:
    """What is left to do for one job, as far as this worker knows."""

    job: Job
    shards: set[int] = field(default_factory=set)


def plan_work(jobs: Sequence[Job]) -> list[Todo]:
    """What is left of the jobs that have no record; makes their folders.

    Raises:
        UserError: where a folder cannot be made.
    """
    left = list[Job]()
    for job in jobs:
        if job.finished() is None:
            job.prepare()
            left.append(job)
        else:  # whoever finished it may have been killed before it tidied up
            job.sweep()
            Claims().clear(job.claim_path(None).parent)
    return [Todo(job, job.unfinished_shards()) for job in left]


def num_units(todo: Sequence[Todo]) -> int:
    """Shards and records to be made."""
    return sum(len(work.shards) + 1 for work in todo)


@final
class Worker:
    """One worker's loop. `make` may raise anything: then its claim is given up."""

    def __init__(
        self,
        make: Make,
        tell: Tell,
        claims: Claims | None = None,
        nap: Callable[[float], None] = time.sleep,
    ) -> None:
        self._make, self._tell, self._nap = make, tell, nap
        self._claims = claims or Claims()

    def finish(self, todo: Sequence[Todo]) -> None:
        """Return when every job has its record, whoever made it."""
        left = {i: Todo(work.job, set(work.shards)) for i, work in enumerate(todo)}
        wait = FIRST_NAP_SECONDS
        while left:
            if self._step(left):
                wait = FIRST_NAP_SECONDS
                continue
            self._nap(wait)  # others are at what is left
            wait = min(2 * wait, LONGEST_NAP_SECONDS)

    def _step(self, left: dict[int, Todo]) -> bool:
        """Finish one thing, the first that can be; False where nothing can."""
        for place, work in left.items():
            for index in sorted(work.shards):
                if self._shard(work, index):
                    self._tell(place, index)
                    return True
            if not work.shards and self._record(work):
                self._tell(place, None)
                del left[place]
                return True
        return False

    def _shard(self, work: Todo, index: int) -> bool:
        """Whether the shard is there now; made here unless somebody else has it."""
        job = work.job
        if job.shard(index) is None:
            claim = job.claim_path(index)
            if not self._claims.take(claim):
                return False
            try:
                if job.shard(index) is None:  # finished between looking and claiming
                    self._make(job, index)
            finally:
                self._claims.release(claim)
        work.shards.discard(index)
        return True

    def _record(self, work: Todo) -> bool:
        job, claim = work.job, work.job.claim_path(None)
        if not self._claims.take(claim):
            return False
        try:
            if job.finished() is None:
                self._make(job, None)
        except LostShardsError as lost:
            work.shards |= lost.indices
            return False
        finally:
            self._claims.release(claim)
        self._claims.clear(claim.parent)
        return True
