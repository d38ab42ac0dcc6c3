"""What one rank does: set its process up, make shards and records, and say what they cost."""

import os
import signal
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from multiprocessing import parent_process
from typing import TYPE_CHECKING, Final

from guidebench.base import UserError, lossy_streams, machine_error
from guidebench.runs.folder import Job
from guidebench.runs.shards import shard_path, write_shard
from guidebench.runs.work import Make, Todo, Worker

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

THREADS_PER_RANK: Final = 1
"""Small networks gain more from a second rank than from a second thread, and one thread sums in
one order; part of each run's digest."""


def set_up(local_rank: int, device: str, threads: int = THREADS_PER_RANK) -> None:
    """Threads, GPU, determinism and precision of this process: fp32 is IEEE fp32."""
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # cuBLAS: one order of sums
    os.environ["TORCHINDUCTOR_DETERMINISTIC"] = "1"
    import torch  # noqa: PLC0415  costs seconds, and the parent does without

    from guidebench.measure.precision import keep_precision  # noqa: PLC0415

    torch.set_num_threads(threads)
    if "torch._inductor" in sys.modules:
        torch.use_deterministic_algorithms(mode=True)
    else:  # the same, but that call imports the compiler, for seconds, to tell it what we told it
        torch.set_deterministic_debug_mode("error")
    keep_precision()
    if device == "cuda":
        torch.cuda.set_device(local_rank % torch.cuda.device_count())


def run_child(
    local_rank: int,
    world: int,
    todo: Sequence[Todo],
    environ: Mapping[str, str],
    connection: "Connection",
) -> None:
    """The whole life of a worker process; what it finishes goes to `connection`.

    Ctrl-C is the parent's to handle: a terminal sends it to every process of the group. The
    environment is the parent's of now, not of when the process that forked this one began.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_follow_parent, daemon=True).start()
    os.environ.clear()
    os.environ.update(environ)
    try:
        with lossy_streams():
            set_up(local_rank, todo[0].job.row.spec.device)
            Worker(maker(world), lambda *finished: connection.send(finished)).finish(todo)
    except UserError as error:
        connection.send(error)
    except OSError as error:
        told = machine_error(error)
        if told is None:
            raise
        connection.send(told)
    finally:
        connection.close()


def _follow_parent() -> None:
    parent = parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)


def maker(world: int) -> Make:
    """What makes and stores a shard, or the record for None, in one of `world` ranks."""

    def make(job: Job, index: int | None) -> None:
        if index is None:
            measure_run(job)
        else:
            sample_shard(job, index, world)

    return make


def measure_run(job: Job, ranks: int = 1, threads: int = THREADS_PER_RANK) -> None:
    """Make the record of a run whose shards are all there."""
    from guidebench.runs.measure import make_record  # noqa: PLC0415

    make_record(job, ranks=ranks, threads=threads)


def sample_shard(job: Job, index: int, world: int = 1) -> None:
    """Sample one shard and store it with what it cost."""
    import torch  # noqa: PLC0415

    from guidebench.measure.memory import peak_memory, reset_peak  # noqa: PLC0415
    from guidebench.runs.bill import Bill  # noqa: PLC0415
    from guidebench.runs.sample import DTYPES, sampler_for  # noqa: PLC0415

    spec, device = job.row.spec, torch.device(job.row.spec.device)
    bill = Bill(spec.device, DTYPES[spec.precision] if spec.source == "sampler" else None)
    start, seeds = time.perf_counter(), spec.shard_seeds(index)
    sampler = sampler_for(spec)
    bill.load_seconds = time.perf_counter() - start
    reset_peak(device)
    with bill.spent():
        sampled = sampler.sample(seeds)
    write_shard(
        shard_path(job.folder, index),
        spec_sha256=job.sha256,
        seeds=seeds,
        arrays=sampled.arrays,
        batches=sampled.batches,
        network_calls=sampled.network_calls,
        memory=peak_memory(device, bill.peak_bytes),
        work=bill.work(world),
        reduced_batch_size=sampled.reduced_batch_size,
    )
