"""Differences between two records, paired where both used the same seeds.

Shapes: N seeds.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import final

from guidebench.reports.groups import Group
from guidebench.reports.record import Better, Display, RecordError
from guidebench.reports.store import StoredRecord

Z_95 = NormalDist().inv_cdf(0.975)


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Difference:
    """`value` is a minus b; its error uses the seeds that both share where `paired`."""

    metric: str
    display: Display
    value: float
    standard_error: float
    paired: bool

    @property
    def interval_95(self) -> tuple[float, float]:
        """Where the true difference lies with 95 % confidence, normal approximation."""
        margin = Z_95 * self.standard_error
        return self.value - margin, self.value + margin

    @property
    def separable(self) -> bool:
        """Whether the 95 % interval leaves out 0."""
        low, high = self.interval_95
        return not low <= 0 <= high


def difference(a: StoredRecord, b: StoredRecord, metric: str) -> Difference:
    """The metric of `a` minus that of `b`.

    Paired: SE = sd(influence_a - influence_b) / sqrt(N), where seeds and N are equal.
    Otherwise SE = sqrt(SE_a^2 + SE_b^2).

    Raises:
        RecordError: where one lacks the metric, or they were measured against different
            references or with different feature networks.
    """
    for stored in (a, b):
        if metric not in stored.record.metrics:
            have = ", ".join(stored.record.metrics)
            msg = f"{stored.path} has no {metric}, it has {have}; name one that both have"
            raise RecordError(msg)
    reason = incomparable(a, b, metric)
    if reason:
        msg = f"{a.name} and {b.name} cannot be compared on {metric}: {reason}; run both again"
        raise RecordError(msg)
    left, right = a.record.metrics[metric], b.record.metrics[metric]
    error = math.hypot(left.standard_error, right.standard_error)
    paired = _same_seeds(a, b, metric)
    if paired:
        deltas_N = a.influence(metric) - b.influence(metric)
        error = float(deltas_N.std(ddof=1)) / math.sqrt(len(deltas_N))
    return Difference(
        metric=metric,
        display=left.display,
        value=left.value - right.value,
        standard_error=error,
        paired=paired,
    )


def differences(a: StoredRecord, b: StoredRecord) -> list[Difference]:
    """Every metric that both records have, in the order of `a`.

    Raises:
        RecordError: where they share no metric, or one of them cannot be compared.
    """
    shared = [name for name in a.record.metrics if name in b.record.metrics]
    if not shared:
        msg = f"{a.name} and {b.name} share no metric; compare two rows of one suite"
        raise RecordError(msg)
    return [difference(a, b, name) for name in shared]


def incomparable(a: StoredRecord, b: StoredRecord, metric: str) -> str | None:
    """Why the two numbers do not mean the same thing, both sides named; None if they do."""
    left, right = a.record.metrics[metric], b.record.metrics[metric]
    sides = [
        ("reference", left.reference and left.reference.sha256[:12], right.reference and
         right.reference.sha256[:12]),
        ("feature weights", left.features and left.features.weights_sha256[:12],
         right.features and right.features.weights_sha256[:12]),
        ("images", left.num_images, right.num_images),
    ]  # fmt: skip
    ids = [m.features.extractor_id if m.features else None for m in (left, right)]
    if all(ids):  # records of an earlier version have none
        sides.append(("feature network", ids[0], ids[1]))
    return next((f"{name} {x} against {y}" for name, x, y in sides if x != y), None)


def best_row(group: Group, metric: str) -> StoredRecord | None:
    """The best scheme that has the metric, where all others are separably worse; else None.

    Each of its differences must have a 95 % interval without 0, and all must hold at once,
    so that no correction for the number of rows is needed.
    """
    ranked = rank(group, metric)
    if len(ranked) < 2:
        return None
    first, *others = ranked
    if any(incomparable(first, other, metric) for other in others):
        return None
    return first if all(difference(first, o, metric).separable for o in others) else None


def rank(group: Group, metric: str) -> list[StoredRecord]:
    """Schemes that have the metric, best value first; empty where none is the better one."""
    rows = [r for r in group.schemes if metric in r.record.metrics]
    better = group.displays[metric].better
    return [] if better == "neither" else _sorted(rows, metric, better)


def _sorted(rows: Sequence[StoredRecord], metric: str, better: Better) -> list[StoredRecord]:
    sign = -1 if better == "higher" else 1
    return sorted(rows, key=lambda r: sign * r.record.metrics[metric].value)


def _same_seeds(a: StoredRecord, b: StoredRecord, metric: str) -> bool:
    if a.record.seeds != b.record.seeds:
        return False
    return len(a.influence(metric)) == len(b.influence(metric)) > 1
