"""What runs in a worker process: one rank, one shard or one record at a time."""

import os
import signal
import threading
from multiprocessing import parent_process
from typing import TYPE_CHECKING

from guidebench.runs.folder import Job

if TYPE_CHECKING:
    from multiprocessing.sharedctypes import Synchronized


def start_rank(counter: "Synchronized[int]", threads: int, device: str) -> None:
    """Set up this process: its threads, its GPU, and its end when the parent is gone.

    Ctrl-C is the parent's to handle: a terminal sends it to every process of the group.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_follow_parent, daemon=True).start()
    with counter.get_lock():
        rank, counter.value = counter.value, counter.value + 1
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # cuBLAS: one order of sums
    import torch  # noqa: PLC0415  costs seconds, and the parent does without

    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(mode=True)
    if device == "cuda":
        torch.cuda.set_device(rank % torch.cuda.device_count())


def _follow_parent() -> None:
    parent = parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)


def sample_shard(job: Job, index: int) -> None:
    """Sample one shard and store it, unless a whole one is there already."""
    import torch  # noqa: PLC0415

    from guidebench.measure.memory import peak_memory, reset_peak  # noqa: PLC0415
    from guidebench.runs.sample import sampler_for  # noqa: PLC0415
    from guidebench.runs.shards import shard_path, write_shard  # noqa: PLC0415

    spec, device = job.row.spec, torch.device(job.row.spec.device)
    seeds = spec.shard_seeds(index)
    sampler = sampler_for(spec)
    reset_peak(device)
    sampled = sampler.sample(seeds)
    write_shard(
        shard_path(job.folder, index),
        spec_sha256=job.sha256,
        seeds=seeds,
        arrays=sampled.arrays,
        batches=sampled.batches,
        network_calls=sampled.network_calls,
        memory=peak_memory(device),
        reduced_batch_size=sampled.reduced_batch_size,
    )


def measure_run(job: Job, ranks: int, threads: int) -> None:
    """Make the record of a run whose shards are all there."""
    from guidebench.runs.measure import make_record  # noqa: PLC0415

    make_record(job, ranks=ranks, threads=threads)
