"""Ratios of things that take turns in one process, with their spread."""

import statistics
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from time import perf_counter
from typing import Final, final

from typing_extensions import override

LEAST_SECONDS: Final = 0.05
"""A way that takes less is called several times a turn."""

Ways = Mapping[str, Callable[[], object]]


@final
@dataclass(frozen=True, slots=True)
class Spread:
    """Least, median and largest ratio over turns."""

    least: float
    median: float
    most: float

    @override
    def __str__(self) -> str:
        return f"{self.least:.2f} / {self.median:.2f} / {self.most:.2f}"


def ratios(ways: Ways, slow: str, turns: int) -> dict[str, Spread]:
    """How many times as fast as `slow` each of the other ways is.

    Every turn makes every call, beginning with another one each time; a ratio is taken within
    its turn, so that a busy machine slows both sides.
    """
    names = list(ways)
    calls = {name: _calls(way) for name, way in ways.items()}  # the first of each is a warm-up
    found: dict[str, list[float]] = {name: [] for name in names if name != slow}
    for turn in range(turns):
        first = turn % len(names)
        seconds = {n: _seconds(ways[n], calls[n]) for n in names[first:] + names[:first]}
        for name, each in found.items():
            each.append(seconds[slow] / seconds[name])
    return {n: Spread(min(r), statistics.median(r), max(r)) for n, r in found.items()}


def _calls(way: Callable[[], object]) -> int:
    way()
    return max(1, round(LEAST_SECONDS / _seconds(way, 1)))


def _seconds(way: Callable[[], object], calls: int) -> float:
    began = perf_counter()
    for _ in range(calls):
        way()
    return (perf_counter() - began) / calls
