"""Benchmarks by ratio: ways of doing one thing take turns, and the slow reference is the unit."""

from collections.abc import Callable, Iterator
from dataclasses import astuple

import pytest
import torch
from pytest_benchmark.fixture import BenchmarkFixture

from tests.bench.turns import Ways, ratios

Tell = Callable[..., None]


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """As a run's workers have it."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    with torch.inference_mode():
        yield
    torch.set_num_threads(before)


@pytest.fixture
def tell(benchmark: BenchmarkFixture, capsys: pytest.CaptureFixture[str]) -> Tell:
    """Take turns, print how many times as fast each way is, and keep it in the JSON.

    pytest-benchmark itself times the last way, alone.
    """

    def told(ways: Ways, *, slow: str, turns: int = 7) -> None:
        found = ratios(ways, slow, turns)
        benchmark.extra_info["slow"] = slow
        benchmark.extra_info["ratios"] = {name: astuple(s) for name, s in found.items()}
        with capsys.disabled():
            for name, spread in found.items():
                print(f"\n{benchmark.group}: {name} is {spread} times as fast as {slow}")
        last = list(ways.values())[-1]
        benchmark.pedantic(last, rounds=5)  # type: ignore[no-untyped-call]

    return told
