"""CUDA graphs on real hardware: `nox -s gpu`. Not run by CI, which has no GPU."""

from typing import Any

import pytest
import torch

from guidebench.engines.cuda import CudaGraphs
from guidebench.engines.direct import DirectGraphs
from guidebench.engines.graphs import AbstractGraphs
from guidebench.engines.stand_in import StandInGraphs
from guidebench.networks import build_denoiser
from guidebench.runs.catalog import select
from guidebench.runs.sample import Sampler
from guidebench.sampling import deterministic_heun, make_plan
from guidebench.sampling.steps import RecordedSteps
from tests.guidance.test_all import NAMES, example
from tests.networks.test_edm2 import golden

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device"),
]
SPEC = deterministic_heun(8, sigma_max=80.0)


def steps(name: str, device: str, graphs: AbstractGraphs[Any], dtype: torch.dtype) -> RecordedSteps:
    config, state, _ = golden("cond")
    scheme = example(name)
    network = build_denoiser("edm2", config, state, dtype=dtype).to(device)
    roles = dict.fromkeys(scheme.roles(), network)
    return RecordedSteps(make_plan(SPEC, scheme), scheme, roles, graphs)


def no_noise() -> torch.Tensor:
    raise AssertionError


def batch(size: int, device: str) -> tuple[torch.Tensor, torch.Tensor]:
    config, _, arrays = golden("cond")
    shape = arrays["in/x"].shape[1:]
    torch.manual_seed(size)
    labels = torch.eye(config["label_dim"])[torch.arange(size) % config["label_dim"]]
    return (torch.randn(size, *shape) * 80).to(device), labels.to(device)


def cuda(streams: int = 1) -> CudaGraphs:
    return CudaGraphs(torch.device("cuda"), streams=streams)


@torch.inference_mode()
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("name", NAMES)
def test_capture_agrees_with_eager_on_new_values_and_sizes(name: str, dtype: torch.dtype) -> None:
    """Against the region called directly on the same GPU."""
    captured, eager = steps(name, "cuda", cuda(), dtype), steps(name, "cuda", DirectGraphs(), dtype)
    for size in (4, 3, 4):
        x, labels = batch(size, "cuda")
        found, calls = captured.sample(x, labels, no_noise)
        expected, expected_calls = eager.sample(x, labels, no_noise)
        torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-3)
        assert calls == expected_calls


@torch.inference_mode()
def test_memory_is_steady_over_a_thousand_replays() -> None:
    captured = steps("autoguidance", "cuda", cuda(), torch.float16)
    x, labels = batch(4, "cuda")
    captured.sample(x, labels, no_noise)
    torch.cuda.synchronize()
    before = torch.cuda.memory_allocated(), torch.cuda.memory_reserved()
    for _ in range(1000 // len(captured.kinds)):
        captured.sample(x, labels, no_noise)
    torch.cuda.synchronize()
    assert (torch.cuda.memory_allocated(), torch.cuda.memory_reserved()) == before


@torch.inference_mode()
def test_two_streams_give_what_one_gives() -> None:
    one = steps("autoguidance", "cuda", cuda(1), torch.float16)
    two = steps("autoguidance", "cuda", cuda(2), torch.float16)
    for size in (4, 3):
        x, labels = batch(size, "cuda")
        for _ in range(5):
            assert torch.equal(
                two.sample(x, labels, no_noise)[0], one.sample(x, labels, no_noise)[0]
            )


@torch.inference_mode()
def test_the_stand_in_gives_what_the_gpu_gives() -> None:
    here = steps("cfg-interval", "cpu", StandInGraphs(), torch.float32)
    there = steps("cfg-interval", "cuda", cuda(), torch.float32)
    x, labels = batch(3, "cpu")
    found = there.sample(x.cuda(), labels.cuda(), no_noise)[0].cpu()
    torch.testing.assert_close(found, here.sample(x, labels, no_noise)[0], rtol=1e-2, atol=1e-2)


@pytest.mark.parametrize("engine", ["compiled", "cuda-graph", "cuda-graph-compiled"])
def test_suites_run_on_every_engine_of_a_gpu(engine: str) -> None:
    spec = select(["digits::autoguidance-w1-5"])[0].spec.with_options(
        device="cuda", batch_size=4, shard_size=8, sampler=SPEC
    )
    eager = Sampler(spec).sample(range(7)).arrays["images"]
    found = Sampler(spec.with_options(engine=engine)).sample(range(7)).arrays["images"]
    assert abs(found.astype(int) - eager.astype(int)).max() <= 1
