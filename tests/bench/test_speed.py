"""Timings, run by `nox -s bench` alone.

Machines are shared and noisy: trust the ratios of things that took turns, not seconds.
"""

import statistics
from collections.abc import Callable

import pytest
import torch
from pytest_benchmark.fixture import BenchmarkFixture

from guidebench.data.fractal import Fractal
from guidebench.measure.clock import HostStopwatch, timed
from guidebench.runs.catalog import select
from guidebench.runs.sample import Sampler, networks_of
from tests.reference import fractal_einsum

pytestmark = pytest.mark.usefixtures("one_thread")


def _time(benchmark: BenchmarkFixture, call: Callable[[], object], **options: int) -> None:
    benchmark.pedantic(call, **options)  # type: ignore[no-untyped-call]


@pytest.fixture
def one_thread() -> None:
    torch.set_num_threads(1)


@pytest.mark.benchmark(group="score of the fractal, 4,096 points, float32")
@pytest.mark.parametrize("form", ["a sigma per point", "one sigma"])
def test_fractal_score_against_literal(
    benchmark: BenchmarkFixture, capsys: pytest.CaptureFixture[str], form: str
) -> None:
    """The literal form and ours take turns; the ratio is taken within each turn."""
    truth = Fractal.of("A", dtype=torch.float32)
    generator = torch.Generator().manual_seed(0)
    x, sigma = truth.sample(4096, 0.5, generator), torch.full((4096,), 0.5)
    level = 0.5 if form == "one sigma" else sigma
    truth.score(x, level)
    ratios, watch = [], HostStopwatch()
    for _ in range(7):
        _, literal = timed(lambda: fractal_einsum.score(truth, x, sigma), watch)
        _, ours = timed(lambda: truth.score(x, level), watch)
        ratios.append(literal.seconds / ours.seconds)
    spread = f"{min(ratios):.1f} / {statistics.median(ratios):.1f} / {max(ratios):.1f}"
    benchmark.extra_info["literal over ours, min / median / max"] = spread
    with capsys.disabled():
        print(f"\nliteral over ours ({form}), min / median / max of 7 turns: {spread}")
    _time(benchmark, lambda: truth.score(x, level), rounds=15, warmup_rounds=1)


@pytest.mark.benchmark(group="one denoiser call")
@pytest.mark.parametrize("label", ["fractal::none", "digits::none"])
def test_denoiser(benchmark: BenchmarkFixture, label: str) -> None:
    spec = select([label])[0].spec
    network = networks_of(spec)["main"]
    x = torch.randn(256, *network.sample_shape)
    labels = torch.eye(10)[torch.arange(256) % 10] if network.label_dim else None
    with torch.inference_mode():
        _time(benchmark, lambda: network(x, 0.5, labels), rounds=20, warmup_rounds=2)


@pytest.mark.benchmark(group="a batch, start to finish")
@pytest.mark.parametrize("label", ["fractal::autoguidance-w3", "digits::autoguidance-w1-5"])
def test_batch(benchmark: BenchmarkFixture, label: str) -> None:
    sampler = Sampler(select([label])[0].spec.with_options(batch_size=128, shard_size=128))
    _time(benchmark, lambda: sampler.sample(range(128)), rounds=3, warmup_rounds=1)
