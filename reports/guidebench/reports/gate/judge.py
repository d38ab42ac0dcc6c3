"""Verdicts on all changes of a gate, with one rate of false alarms for all of them.

Each open row and metric is one one-sided test of "it got worse". With K planned looks each look
spends alpha / K, and within a look Holm's procedure (Holm 1979) over all open tests keeps the
chance of any false alarm at or below that: alpha for the whole gate, whatever the dependence.
A row passes where the upper bound of its harm lies below the margin (non-inferiority): as every
row must pass, each bound may have level alpha / K by itself. Between the two it is inconclusive.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Final, Literal, final

from guidebench.base import UserError
from guidebench.reports.gate.baseline import Baseline
from guidebench.reports.gate.changes import Change, Moved, changes
from guidebench.reports.gate.pairing import pair_records
from guidebench.reports.store import StoredRecord

ALPHA: Final = 0.01
MARGIN: Final = 0.01
POWER: Final = 0.9
NORMAL: Final = NormalDist()
_ITERATIONS: Final = 30

Verdict = Literal["identical", "no worse", "better", "worse", "inconclusive", "remeasured"]


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Rule:
    """What a gate promises: at most `alpha` false alarms, over at most `looks` looks.

    Raises:
        UserError: where a share is not between 0 and 1.
    """

    alpha: float = ALPHA
    margin: float = MARGIN
    looks: int = 1

    def __post_init__(self) -> None:
        if not 0 < self.alpha < 0.5:
            msg = f"the false-alarm rate must be above 0 and below 0.5, got {self.alpha:g}"
            raise UserError(msg)
        if not 0 <= self.margin < 1:
            msg = f"the margin is a share of the accepted value, 0 to 1, got {self.margin:g}"
            raise UserError(msg)

    @property
    def level(self) -> float:
        """What one look may spend."""
        return self.alpha / self.looks

    def detectable(self, moved: Moved, tests: int) -> float:
        """The least harm caught with 90 % probability by one look at such a change.

        Holm's first step is the hardest: it asks for level / tests. The error grows with the
        harm, since the variance of a distance's influences is about in proportion to it; so
        this is the fixed point of harm = (z of the level + z of the power) SE(harm).
        """
        z = _z(self.level / max(tests, 1)) + NORMAL.inv_cdf(POWER)
        harm = 0.0
        for _ in range(_ITERATIONS):
            harm = z * moved.error_at(harm)
        return harm

    def moved(self, number: Moved, tests: int) -> bool:
        """Whether a number left its old value, to either side, at level / tests."""
        return abs(number.change) > _z(self.level / max(tests, 1) / 2) * number.error


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Finding:
    """A change, its verdict, and what it was tested with.

    "remeasured": the metric moved though the samples are equal, so the measurement changed. A
    change can be "no worse" though it is surely above 0, where it is surely below the margin.
    """

    change: Change
    verdict: Verdict
    rule: Rule
    tests: int

    @property
    def failed(self) -> bool:
        """Whether the gate must not pass."""
        return self.verdict in {"worse", "remeasured"}

    @property
    def p_worse(self) -> float:
        """Chance of at least this harm where nothing changed."""
        return p_value(self.change.harm, self.change.moved.error)

    @property
    def p_better(self) -> float:
        """Chance of at least this improvement where nothing changed."""
        return p_value(-self.change.harm, self.change.moved.error)

    @property
    def upper(self) -> float:
        """One-sided upper bound of the harm at the level of a look."""
        return self.change.harm + _z(self.rule.level) * self.change.moved.error

    @property
    def detectable(self) -> float:
        """The least harm that this gate would have caught in this row, in 9 of 10 cases."""
        return self.rule.detectable(self.change.moved, self.tests)

    @property
    def spread_moved(self) -> bool:
        """Whether the diversity number moved beyond the noise, to either side."""
        spread = self.change.spread
        return spread is not None and self.rule.moved(spread, self.tests)


def judge(records: Sequence[StoredRecord], baseline: Baseline, rule: Rule) -> list[Finding]:
    """Hold new records against accepted ones; rows that the baseline lacks are not looked at.

    Returns:
        A finding for each row and metric with a better side, in the order of the baseline.

    Raises:
        RecordError: where something is missing or cannot be compared.
    """
    pairs = pair_records(records, baseline)

    def at(look: int) -> list[Change]:
        return [c for pair in pairs for c in changes(pair, min(look, len(pair.new)), rule.margin)]

    return judged(at, max(len(pair.new) for pair in pairs), rule)


def judged(at: Callable[[int], Sequence[Change]], looks: int, rule: Rule) -> list[Finding]:
    """Verdicts of a sequence of looks; the first that decides a row stands.

    Args:
        at: changes of every row and metric, in one order, as look 1, 2, ... sees them.
        looks: how many looks there have been.
        rule: how many were planned, and the rates.
    """
    found: list[Finding] = []
    for look in range(1, looks + 1):
        now = at(look)
        found = _look(now, found or [_unseen(c, rule) for c in now], rule)
    return found


def _unseen(change: Change, rule: Rule) -> Finding:
    return Finding(change=change, verdict="inconclusive", rule=rule, tests=0)


def _look(now: Sequence[Change], before: Sequence[Finding], rule: Rule) -> list[Finding]:
    """One look: decided rows stay; Holm counts all that are not identical."""
    tested = [i for i, c in enumerate(now) if not c.same_samples]
    p_worse = [
        p_value(now[i].harm, now[i].moved.error) if _open(before[i]) else 1.0 for i in tested
    ]
    p_better = [
        p_value(-now[i].harm, now[i].moved.error) if _open(before[i]) else 1.0 for i in tested
    ]
    worse = dict(zip(tested, holm(p_worse, rule.level), strict=True))
    better = dict(zip(tested, holm(p_better, rule.level), strict=True))
    found = []
    for i, (change, old) in enumerate(zip(now, before, strict=True)):
        if not _open(old):
            found.append(old)
            continue
        new = Finding(change=change, verdict="inconclusive", rule=rule, tests=len(tested))
        verdict = _verdict(new, worse=worse.get(i, False), better=better.get(i, False))
        found.append(Finding(change=change, verdict=verdict, rule=rule, tests=len(tested)))
    return found


def _open(finding: Finding) -> bool:
    """Equal samples were no test and spent nothing: unequal ones of the next seeds count."""
    return finding.verdict in {"inconclusive", "identical"}


def _verdict(finding: Finding, *, worse: bool, better: bool) -> Verdict:
    change = finding.change
    if change.same_samples:
        return "identical" if change.same_number else "remeasured"
    if finding.upper <= change.margin:
        return "better" if better else "no worse"
    return "worse" if worse else "inconclusive"


def holm(p_values: Sequence[float], alpha: float) -> list[bool]:
    """Which hypotheses Holm's step-down procedure rejects at family-wise level `alpha`.

    >>> holm([0.001, 0.04, 0.012], 0.03)
    [True, False, True]
    """
    order = sorted(range(len(p_values)), key=p_values.__getitem__)
    rejected = [False] * len(p_values)
    for rank, place in enumerate(order):
        if p_values[place] > alpha / (len(p_values) - rank):
            break
        rejected[place] = True
    return rejected


def p_value(harm: float, error: float) -> float:
    """Chance of at least this harm where nothing changed; without noise, any harm is real."""
    if error == 0:
        return 0.0 if harm > 0 else 1.0
    return math.erfc(harm / error / math.sqrt(2)) / 2  # a cdf of 1 - p would round to 0


def _z(level: float) -> float:
    return -NORMAL.inv_cdf(level)
