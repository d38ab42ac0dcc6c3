"""Whether a candidate became slower: paired t on log ratios of process medians.

Baseline and candidate take turns in fresh processes, AB BA AB ..., on one machine. The process
is the unit, since batches within one share its luck; neighbours share the machine's drift. Times
of different machines or days are never compared.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal, final

import numpy as np
from scipy import stats

from guidebench.base import UserError
from guidebench.reports.gate.judge import ALPHA, POWER, Rule

PAIRS: Final = 12
LEAST_PAIRS: Final = 6
SPEED_MARGIN: Final = 0.03

SpeedVerdict = Literal["slower", "no slower", "faster", "inconclusive"]


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class SpeedFinding:
    """The mean log ratio of candidate over baseline, in pairs."""

    log_ratios: tuple[float, ...]
    alpha: float = ALPHA
    margin: float = SPEED_MARGIN

    @property
    def mean(self) -> float:
        """Mean log ratio; above 0 is slower."""
        return float(np.mean(self.log_ratios))

    @property
    def error(self) -> float:
        """Standard error of the mean."""
        return float(np.std(self.log_ratios, ddof=1)) / math.sqrt(len(self.log_ratios))

    def _t(self, share: float) -> float:
        return float(stats.t.ppf(share, len(self.log_ratios) - 1))

    @property
    def verdict(self) -> SpeedVerdict:
        """The quality gate's rule: surely within the margin passes, surely above 0 fails."""
        half = self._t(1 - self.alpha) * self.error
        if self.mean + half <= math.log1p(self.margin):
            return "faster" if self.mean + half < 0 else "no slower"
        return "slower" if self.mean - half > 0 else "inconclusive"

    @property
    def p_wilcoxon(self) -> float:
        """Of Wilcoxon's signed-rank test against "no slower": needs no normal ratios."""
        p: float = np.asarray(stats.wilcoxon(self.log_ratios, alternative="greater"))[1]
        return float(p)

    @property
    def interval_95(self) -> tuple[float, float]:
        """Of the ratio of times."""
        half = self._t(0.975) * self.error
        return math.exp(self.mean - half), math.exp(self.mean + half)

    @property
    def detectable(self) -> float:
        """The least slowdown caught in 9 of 10 cases at this spread, as a share."""
        return math.expm1((self._t(1 - self.alpha) + self._t(POWER)) * self.error)

    @property
    def sentence(self) -> str:
        """What the pairs say."""
        low, high = self.interval_95
        return (
            f"{math.exp(self.mean):.4f} times the baseline's time a sample "
            f"[{low:.4f}, {high:.4f}], {len(self.log_ratios)} pairs of processes: {self.verdict} "
            f"(margin {self.margin:.0%}, false alarms {self.alpha:.0%}, Wilcoxon p = "
            f"{self.p_wilcoxon:.2g}); a slowdown of {self.detectable:.1%} or more would have been "
            f"caught in {POWER * 10:.0f} of 10 cases."
        )


def check_race(pairs: int, *, alpha: float, margin: float) -> None:
    """Refuse a race that could decide nothing.

    Raises:
        UserError: with fewer than six pairs, where a t test finds nothing, or for a rate or a
            margin out of its range.
    """
    Rule(alpha=alpha, margin=margin)
    if pairs < LEAST_PAIRS:
        msg = f"a speed gate needs at least {LEAST_PAIRS} pairs of processes, got {pairs}"
        raise UserError(msg)


def judge_speed(
    old_seconds: Sequence[float],
    new_seconds: Sequence[float],
    *,
    alpha: float = ALPHA,
    margin: float = SPEED_MARGIN,
) -> SpeedFinding:
    """Medians of processes that took turns, in pairs.

    Raises:
        UserError: as `check_race` does.
    """
    check_race(len(old_seconds), alpha=alpha, margin=margin)
    ratios = tuple(math.log(b / a) for a, b in zip(old_seconds, new_seconds, strict=True))
    return SpeedFinding(log_ratios=ratios, alpha=alpha, margin=margin)


def turns(pairs: int) -> list[tuple[int, str]]:
    """Who runs when: (pair, "old" or "new"), AB BA AB ...

    >>> turns(2)
    [(0, 'old'), (0, 'new'), (1, 'new'), (1, 'old')]
    """
    order = (("old", "new"), ("new", "old"))
    return [(pair, side) for pair in range(pairs) for side in order[pair % 2]]
