"""False alarms and power of the gate, by simulation. `python -m tests.reports.gate_simulation`.

Features are heavy-tailed (Student's t, 6 degrees of freedom) with a power-law spectrum; the
influences of equal seeds correlate as asked for. An effect moves the mean away from the real
one until the true distance has grown by a given share. Prints the tables of docs/gate.md.

Shapes: N seeds, D features.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from guidebench.metrics import Estimate, GaussianReference, Moments, frechet, pool
from guidebench.reports.gate.changes import Change, Moved
from guidebench.reports.gate.judge import Finding, Rule, judged
from guidebench.reports.gate.speed import judge_speed
from guidebench.reports.record import Display

SEED: Final = 20_240_607
TAIL: Final = 6.0


@dataclass(frozen=True)
class World:
    """Real features are standard normal times the spectrum; samples are off in mean and width."""

    dim: int
    num: int

    @property
    def scales(self) -> np.ndarray:
        return np.arange(1, self.dim + 1) ** -0.5

    @property
    def reference(self) -> GaussianReference:
        moments = Moments(np.zeros(self.dim), np.diag(self.scales**2), 10**6)
        return GaussianReference.from_moments(moments, name="simulated")

    def distance(self, shift: float) -> float:
        """The true distance of samples whose mean is off by `shift` in the first direction."""
        return shift**2 + float(np.square(0.2 * self.scales).sum())

    def shift(self, growth: float) -> float:
        """The mean that makes the true distance `1 + growth` times that of shift 0.5."""
        return math.sqrt(0.25 + growth * self.distance(0.5))

    def pair(
        self, rng: np.random.Generator, correlation: float, growth: float
    ) -> tuple[np.ndarray, np.ndarray]:
        """Accepted and new features of the same N seeds."""
        common, one, two = rng.standard_normal((3, self.num, self.dim))
        share = math.sqrt(correlation)
        tail = np.sqrt((TAIL - 2) / rng.chisquare(TAIL, (self.num, 1)))
        width = 1.2 * self.scales
        sides = [
            (share * common + math.sqrt(1 - correlation) * own) * tail * width for own in (one, two)
        ]
        for side, mean in zip(sides, (0.5, self.shift(growth)), strict=True):
            side[:, 0] += mean
        return sides[0], sides[1]


def change_of(old: Sequence[Estimate], new: Sequence[Estimate], margin: float) -> Change:
    """What the gate makes of estimates of one row, one for each set."""
    before, after = pool(old), pool(new)
    return Change(
        suite="simulated", row="row", runs_as="simulated::row", title="row", metric="fd",
        display=Display(label="FD", better="lower"),
        moved=Moved(
            before=before.value, after=after.value, before_error=before.standard_error,
            after_error=after.standard_error, error=after.difference(before).standard_error,
        ),
        num_images=before.num_seeds, sets=len(old), margin=margin * before.value,
        same_samples=False, differs=(), spread=None, apart=None,
    )  # fmt: skip


def gate(  # noqa: PLR0917
    world: World, rng: np.random.Generator, rule: Rule, rows: int, correlation: float,
    growth: float = 0.0,
) -> tuple[list[Finding], int]:  # fmt: skip
    """One gate of independent rows, with as many looks as it takes; row 0 has the effect."""
    reference = world.reference
    old: list[list[Estimate]] = [[] for _ in range(rows)]
    new: list[list[Estimate]] = [[] for _ in range(rows)]

    def at(look: int) -> list[Change]:
        while len(old[0]) < look:
            for row in range(rows):
                a, b = world.pair(rng, correlation, growth if row == 0 else 0.0)
                old[row].append(frechet(a, reference))
                new[row].append(frechet(b, reference))
        return [change_of(o[:look], n[:look], rule.margin) for o, n in zip(old, new, strict=True)]

    found, look = judged(at, 1, rule), 1
    while look < rule.looks and not any(f.failed for f in found) and _is_open(found):
        look += 1
        found = judged(at, look, rule)
    return found, look


def _is_open(found: Sequence[Finding]) -> bool:
    return any(f.verdict == "inconclusive" for f in found)


@dataclass(frozen=True)
class Rates:
    """Shares of `trials` gates: false alarms, catches at the first look and in all, no answers."""

    trials: int
    alarms: float
    at_once: float
    caught: float
    open: float


def rates(
    world: World, rule: Rule, *, trials: int, rows: int, correlation: float, growth: float,
    seed: int,
) -> Rates:  # fmt: skip
    """Row 0 has the effect, if any; an alarm on another row, or without an effect, is false."""
    rng = np.random.default_rng(seed)
    alarms = at_once = caught = still_open = 0
    for _ in range(trials):
        found, look = gate(world, rng, rule, rows, correlation, growth)
        caught += found[0].failed
        at_once += found[0].failed and look == 1
        alarms += any(f.failed for f in (found[1:] if growth else found))
        still_open += not any(f.failed for f in found) and _is_open(found)
    return Rates(trials, alarms / trials, at_once / trials, caught / trials, still_open / trials)


def detectable_growth(world: World, rule: Rule, rows: int, correlation: float, seed: int) -> float:
    """The share that the gate says it catches in 9 of 10 cases at the first look, on average."""
    rng = np.random.default_rng(seed)
    wide = replace(rule, margin=0.99)  # so that the first look decides
    told = [f.detectable for _ in range(20) for f in gate(world, rng, wide, rows, correlation)[0]]
    return float(np.mean(told)) / world.distance(0.5)


def speed_share(slowdown: float, trials: int, seed: int) -> tuple[float, float]:
    """Shares of races that say slower and that cannot tell.

    Each of 12 pairs: processes with 1 % of luck each, a drift of 2 % over the whole race, and
    process medians over 50 batches whose noise is autocorrelated (AR(1), 0.9) with spikes.
    """
    rng = np.random.default_rng(seed)
    slower = still_open = 0
    for _ in range(trials):
        drift = 1 + 0.02 * np.sin(2 * np.pi * (np.arange(24) / 24 + rng.uniform()))
        times: dict[str, list[float]] = {"old": [], "new": []}
        for place in range(24):
            side = ("old", "new")[(place % 2) ^ (place // 2 % 2)]
            noise = np.zeros(50)
            for i in range(1, 50):
                noise[i] = 0.9 * noise[i - 1] + 0.005 * rng.standard_normal()
            spikes = rng.uniform(size=50) < 0.02
            batch = (1 + noise + 0.5 * spikes) * drift[place] * rng.normal(1, 0.01)
            times[side].append(float(np.median(batch)) * (1 + slowdown * (side == "new")))
        verdict = judge_speed(times["old"], times["new"]).verdict
        slower += verdict == "slower"
        still_open += verdict == "inconclusive"
    return slower / trials, still_open / trials


def main() -> None:
    """Everything that docs/gate.md states."""
    world, rule = World(dim=32, num=2000), Rule(looks=3)
    print(f"Seed {SEED}; D = {world.dim}, N = {world.num:,} a look, 8 rows, alpha 1 %, margin 1 %.")
    heads = ("correlation", "growth of the true distance", "gates", "false alarms",
             "caught at look 1", "within 3 looks", "no answer")  # fmt: skip
    print(f"\n| {' | '.join(heads)} |\n|{'---|' * len(heads)}")
    for correlation in (0.999, 0.99, 0.9, 0.0):
        told = detectable_growth(world, Rule(looks=3), 8, correlation, SEED)
        for growth, words in ((0.0, "none"), (told, f"{told:.1%}, as told")):
            r = rates(world, rule, trials=400, rows=8, correlation=correlation, growth=growth,
                      seed=SEED)  # fmt: skip
            caught = f"{r.at_once:.1%} | {r.caught:.1%}" if growth else " | "
            print(f"| {correlation} | {words} | {r.trials} | {r.alarms:.2%} | {caught} "
                  f"| {r.open:.1%} |", flush=True)  # fmt: skip
    print("\n| true slowdown | races | slower | cannot tell |\n|---|---|---|---|")
    for slowdown in (0.0, 0.01, 0.02, 0.03, 0.05):
        slower, still_open = speed_share(slowdown, 1000, SEED)
        print(f"| {slowdown:.0%} | 1,000 | {slower:.1%} | {still_open:.1%} |", flush=True)


if __name__ == "__main__":
    main()
