"""What needs a CUDA device: `nox -s gpu`."""

import time
from pathlib import Path

import numpy as np
import pytest
import torch

from guidebench.measure.clock import timed
from guidebench.measure.stopwatch import stopwatch
from guidebench.reports.record import Record
from guidebench.runs.catalog import select
from guidebench.runs.folder import make_job
from guidebench.runs.sample import Sampler, networks_of
from guidebench.runs.worker import measure_run, sample_shard
from guidebench.sampling import deterministic_heun

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device"),
]
LABELS = ["fractal::autoguidance-w3", "digits::autoguidance-w1-5"]


@pytest.mark.parametrize("label", LABELS)
def test_denoisers_agree_with_the_cpu(label: str) -> None:
    spec = select([label])[0].spec
    here, there = networks_of(spec), networks_of(spec.with_options(device="cuda"))
    for role, network in here.items():
        x = torch.randn(16, *network.sample_shape)
        labels = torch.eye(10)[torch.arange(16) % 10] if network.label_dim else None
        moved = None if labels is None else labels.cuda()
        torch.testing.assert_close(
            there[role](x.cuda(), 0.5, moved).cpu(), network(x, 0.5, labels), rtol=1e-3, atol=1e-4
        )


def test_a_shard_says_what_it_cost_the_gpu(tmp_path: Path) -> None:
    row = select(["digits::autoguidance-w1-5"])[0]
    spec = row.spec.with_options(device="cuda", num_images=512, batch_size=64, shard_size=512)
    job = make_job(row.model_copy(update={"spec": spec}), tmp_path, threads=1)
    job.prepare()
    sample_shard(job, 0)
    shard = job.shard(0)
    assert shard is not None
    assert shard.work is not None
    assert shard.work.device.startswith("cuda:")
    assert shard.work.peak_flops is not None
    assert 1e12 < shard.work.peak_flops < 1e17
    assert shard.work.energy_joules is not None or "energy" in shard.work.notes
    assert all(v is not None for v in shard.memory.values())
    for batch in shard.batches[1:]:
        assert 0 < batch.parts["sample"] <= batch.seconds
    measure_run(job)
    assert Record.load(job.record_path).cost.fraction_of_peak is not None


def test_events_see_the_work_and_not_its_launch() -> None:
    """Many products are launched in less time than they take."""
    a = torch.randn(4096, 4096, device="cuda")

    def call() -> float:
        start = time.perf_counter()
        for _ in range(20):
            a @ a
        return time.perf_counter() - start

    call()
    torch.cuda.synchronize()
    launched, timing = timed(call, stopwatch(a.device))
    assert timing.seconds > launched


@pytest.mark.parametrize("label", LABELS)
def test_same_spec_same_bits_on_a_gpu(label: str) -> None:
    spec = select([label])[0].spec
    assert spec.sampler is not None
    sampler = deterministic_heun(4, sigma_max=spec.sampler.sigma_max)
    spec = spec.with_options(device="cuda", sampler=sampler, batch_size=8, shard_size=8)
    first, second = (Sampler(spec).sample(range(8)).arrays for _ in range(2))
    for name, array in first.items():
        np.testing.assert_array_equal(array, second[name])
