"""Denoiser calls, guided steps, whole sampling and the fractal's score, against slow forms.

Run by `nox -s bench` alone. Machines are shared and noisy: trust the ratios of things that took
turns, not seconds.
"""

from functools import partial

import pytest
import torch

from guidebench.data.fractal import Fractal
from guidebench.engines.choice import EngineName, missing_compiler
from guidebench.networks import EDM2Denoiser
from guidebench.networks.program import build_program
from guidebench.runs.catalog import select
from guidebench.runs.domains import domain_of
from guidebench.runs.sample import networks_of
from guidebench.runs.spec import RunSpec
from guidebench.sampling import deterministic_heun
from tests.bench.conftest import Tell
from tests.bench.engines import by_engine, published_way
from tests.reference import fractal_einsum
from tests.reference.edm2 import SlowEDM2

WHOLE = 32
GUIDED = "digits::autoguidance-w1-5"


@pytest.mark.benchmark(group="score of the fractal, 4,096 points")
def test_fractal_score(tell: Tell) -> None:
    truth = Fractal.of("A", dtype=torch.float32)
    generator = torch.Generator().manual_seed(0)
    x, sigma = truth.sample(4096, 0.5, generator), torch.full((4096,), 0.5)
    expected = fractal_einsum.score(truth, x, sigma)
    torch.testing.assert_close(truth.score(x, 0.5), expected, rtol=1e-3, atol=1e-3)
    ways = {
        "literal einsum": lambda: fractal_einsum.score(truth, x, sigma),
        "a sigma per point": lambda: truth.score(x, sigma),
        "one sigma": lambda: truth.score(x, 0.5),
    }
    tell(ways, slow="literal einsum")


@pytest.mark.parametrize("batch", [pytest.param(b, marks=pytest.mark.benchmark(
    group=f"denoiser call, digits, batch {b}")) for b in (1, 16)])  # fmt: skip
def test_denoiser(tell: Tell, batch: int) -> None:
    network = networks_of(select(["digits::none"])[0].spec)["main"]
    assert isinstance(network, EDM2Denoiser)
    slow = SlowEDM2(network.state_dict(), channels_per_head=8)
    program = build_program(network, batch_size=batch)
    x, labels = torch.randn(batch, 1, 8, 8), torch.eye(10)[torch.arange(batch) % 10]
    table = program.table([0.5], labels)
    expected = slow(x, 0.5, labels)
    for found in (network(x, 0.5, labels), program(x, table, 0)):
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)
    ways = {
        "published way": lambda: slow(x, 0.5, labels),
        "eager": lambda: network(x, 0.5, labels),
        "static": lambda: program(x, table, 0),
    }
    tell(ways, slow="published way")


def spec_of(steps: int, batch: int) -> RunSpec:
    return select([GUIDED])[0].spec.with_options(
        sampler=deterministic_heun(steps, sigma_max=80.0), batch_size=batch, shard_size=batch
    )


@pytest.mark.parametrize("steps", [
    pytest.param(2, marks=pytest.mark.benchmark(group="a guided Heun step and the last, batch 4")),
    pytest.param(WHOLE, marks=pytest.mark.benchmark(group="whole guided sampling, batch 4")),
])  # fmt: skip
def test_sampling(tell: Tell, steps: int) -> None:
    spec = spec_of(steps, 4)
    start = domain_of(spec).start(range(4), 80.0, torch.device("cpu"))
    slow = published_way(spec)
    engines: list[EngineName] = ["eager", "static"]
    if steps == WHOLE and missing_compiler() is None:
        engines.insert(0, "compiled")  # a minute, once a machine, before the turns begin
    ways = {engine: by_engine(spec, engine) for engine in engines}
    expected = slow(start)
    scale = float(expected.abs().max())
    for way in ways.values():
        torch.testing.assert_close(way(start), expected, rtol=0, atol=1e-5 * scale)
    turns = {"published way": slow} | ways
    tell({name: partial(way, start) for name, way in turns.items()}, slow="published way")
