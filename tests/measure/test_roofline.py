"""The machine's two lines, from a clock that the test holds and from the real one."""

import pytest
import torch

from guidebench.measure import roofline
from guidebench.measure.clock import HostStopwatch
from guidebench.measure.roofline import best_seconds, copy_bandwidth, matmul_peak

CPU = torch.device("cpu")


def clock_of(*durations: float) -> HostStopwatch:
    """Calls take these seconds in turn, the last one for ever."""
    times, now = [], 0.0
    for duration in durations:
        times += [now, now + duration]
        now += duration
    left = iter(times)
    return HostStopwatch(lambda: next(left))


def test_best_of_repeats_after_one_that_does_not_count() -> None:
    calls: list[int] = []
    found = best_seconds(lambda: calls.append(1), clock_of(3.0, 1.0, 2.0), repeats=3)
    assert (found, len(calls)) == (1.0, 4)


def test_the_peak_is_the_best_size_and_a_multiply_add_is_two(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(roofline, "_SIZES", (32, 64, 128))
    monkeypatch.setattr(roofline, "_REPEATS", 1)
    monkeypatch.setattr(best_seconds, "__defaults__", (1,))
    found = matmul_peak(CPU, torch.float32, clock_of(1e-3, 2e-3, 32e-3))
    assert (found.size, found.flops_per_second) == (64, 2 * 64**3 / 2e-3)


def test_what_would_take_too_long_is_not_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(roofline, "_SIZES", (32, 64, 1 << 40))
    monkeypatch.setattr(best_seconds, "__defaults__", (1,))
    assert matmul_peak(CPU, torch.float32, clock_of(1e-3, 1.0)).size == 32


def test_a_copy_moves_each_byte_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(roofline, "_COPIED_BYTES", {"cpu": 1000})
    monkeypatch.setattr(best_seconds, "__defaults__", (1,))
    assert copy_bandwidth(CPU, clock_of(0.5)) == 4000


def test_a_real_processor_is_faster_than_a_million_and_slower_than_a_quadrillion(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(roofline, "_SIZES", (64, 128))
    found = matmul_peak(CPU, torch.float32)
    assert 1e6 < found.flops_per_second < 1e15
