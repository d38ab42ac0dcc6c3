"""What needs a CUDA device: `nox -s gpu`."""

import numpy as np
import pytest
import torch

from guidebench.runs.catalog import select
from guidebench.runs.sample import Sampler, networks_of
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


@pytest.mark.parametrize("label", LABELS)
def test_same_spec_same_bits_on_a_gpu(label: str) -> None:
    spec = select([label])[0].spec
    assert spec.sampler is not None
    sampler = deterministic_heun(4, sigma_max=spec.sampler.sigma_max)
    spec = spec.with_options(device="cuda", sampler=sampler, batch_size=8, shard_size=8)
    first, second = (Sampler(spec).sample(range(8)).arrays for _ in range(2))
    for name, array in first.items():
        np.testing.assert_array_equal(array, second[name])
