"""Ratios of things that take turns in one process, with their spread."""

import statistics
from collections.abc import Callable, Mapping
from time import perf_counter


def ratios(
    calls: Mapping[str, Callable[[], object]], base: str, rounds: int
) -> dict[str, tuple[float, float, float]]:
    """Seconds of each call over those of `base`, min / median / max over rounds.

    Every round makes every call once, beginning with another one each time.
    """
    names = list(calls)
    found: dict[str, list[float]] = {name: [] for name in names}
    for turn in range(rounds):
        seconds = {}
        for name in names[turn % len(names) :] + names[: turn % len(names)]:
            began = perf_counter()
            calls[name]()
            seconds[name] = perf_counter() - began
        for name in names:
            found[name].append(seconds[name] / seconds[base])
    return {name: (min(r), statistics.median(r), max(r)) for name, r in found.items()}


def words(spread: tuple[float, float, float]) -> str:
    """min / median / max."""
    return " / ".join(f"{value:.2f}" for value in spread)
