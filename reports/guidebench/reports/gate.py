"""Whether new records are worse than accepted ones, with a known rate of false alarms.

Each row and metric with a better side is one test. Equal samples pass without one. The others
get a one-sided z test with SE = sqrt(SE_new^2 + SE_old^2), and Holm's procedure (Holm 1979)
keeps the chance of any false alarm in the whole gate at or below `ALPHA`. Improvements are
tested in the same way, apart, and never fail.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from statistics import NormalDist
from typing import Literal, final

from guidebench.reports.baseline import Baseline, read_baseline, write_baseline
from guidebench.reports.groups import newest
from guidebench.reports.numbers import measured
from guidebench.reports.record import Display, MetricResult, Record, RecordError
from guidebench.reports.store import StoredRecord
from guidebench.reports.summary import sentence_label

__all__ = [
    "Baseline",
    "Finding",
    "findings",
    "holm",
    "read_baseline",
    "sensitivity",
    "write_baseline",
]

ALPHA = 0.01
POWER = 0.9
SAME_SHARE = 0.01
Verdict = Literal["identical", "unchanged", "worse", "better", "remeasured"]
NORMAL = NormalDist()


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Finding:
    """One row and metric, before and after.

    `harm` is the change towards the worse side, in the metric's unit; `detectable` the least
    harm that this gate would have caught with 90 % probability. "remeasured" is a metric that
    moved although the samples are equal: the measurement changed, not the quality.
    """

    suite: str
    row: str
    metric: str
    display: Display
    before: MetricResult
    after: MetricResult
    verdict: Verdict
    p_worse: float
    detectable: float

    @property
    def failed(self) -> bool:
        """Whether the gate must not pass."""
        return self.verdict in {"worse", "remeasured"}

    @property
    def harm(self) -> float:
        """How much worse it became; negative where it became better."""
        change = self.after.value - self.before.value
        return -change if self.display.better == "higher" else change

    @property
    def standard_error(self) -> float:
        """Of the change: both records' errors, independent."""
        return math.hypot(self.before.standard_error, self.after.standard_error)

    @property
    def p_better(self) -> float:
        """Chance of at least this improvement where nothing changed."""
        return _p_worse(-self.harm, self.standard_error)

    @property
    def sentence(self) -> str:
        """What happened, for the terminal."""
        moved = f"{_shown(self.before)} before, {_shown(self.after)} now"
        where = f"{self.suite}::{self.row}: {sentence_label(self.display)}"
        words = {
            "identical": "the same samples as before",
            "unchanged": f"no change beyond the noise, p = {self.p_worse:.2g}",
            "worse": f"worse beyond the noise, p = {self.p_worse:.2g}",
            "better": f"better beyond the noise, p = {self.p_better:.2g}",
            "remeasured": "the samples are the same, so the measurement itself changed",
        }
        return f"{where}: {moved}: {words[self.verdict]}."


def findings(records: Iterable[StoredRecord], baseline: Baseline) -> list[Finding]:
    """Hold each record of the baseline against the new one of the same row.

    Args:
        records: new records; rows that the baseline lacks are not looked at.
        baseline: what was accepted.

    Returns:
        A finding for each row and metric with a better side, in the order of the baseline.

    Raises:
        RecordError: where a row or metric is missing, or seeds, number of images, reference
            or feature weights differ, so that the numbers cannot be compared.
    """
    pairs = _pair(list(records), baseline)
    found = [f for old, new in pairs for f in _untested(old, new)]
    open_ = [i for i, f in enumerate(found) if f.verdict == "unchanged"]
    worse = holm([found[i].p_worse for i in open_], ALPHA)
    better = holm([found[i].p_better for i in open_], ALPHA)
    for place, is_worse, is_better in zip(open_, worse, better, strict=True):
        verdict: Verdict = "worse" if is_worse else "better" if is_better else "unchanged"
        found[place] = replace(found[place], verdict=verdict)
    z = -NORMAL.inv_cdf(ALPHA / max(len(found), 1)) + NORMAL.inv_cdf(POWER)
    return [replace(f, detectable=z * f.standard_error) for f in found]


def sensitivity(found: Sequence[Finding]) -> list[str]:
    """For each suite and metric, the smallest regression that the gate would have caught."""
    worst: dict[tuple[str, str], Finding] = {}
    for finding in found:
        key = finding.suite, finding.metric
        if key not in worst or finding.detectable > worst[key].detectable:
            worst[key] = finding
    return [_sensitivity_words(f) for f in worst.values()]


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


def _sensitivity_words(finding: Finding) -> str:
    scale, unit = (100, " %") if finding.display.percent else (1, "")
    verb = "fall" if finding.display.better == "higher" else "rise"
    return (
        f"{finding.suite}: a {verb} of {sentence_label(finding.display)} by "
        f"{finding.detectable * scale:.2g}{unit} or more in any one row would have been caught "
        f"with at least {POWER:.0%} probability."
    ).replace("90%", "90 %")


def _pair(records: Sequence[StoredRecord], baseline: Baseline) -> list[tuple[Record, StoredRecord]]:
    """The newest new record for each old one, of equal seeds where there is such a record."""
    pairs, missing = [], []
    for old in baseline.records:
        same = [r for r in records if (r.record.suite, r.record.row) == (old.suite, old.row)]
        if same:
            fitting = [r for r in same if r.record.seeds == old.seeds]
            pairs.append((old, newest(fitting or same)))
        else:
            missing.append(f"{old.suite}::{old.row}")
    if missing:
        msg = (
            f"the baseline has {', '.join(missing)}, the records do not; "
            f"run `guidebench run {' '.join(missing)}` first"
        )
        raise RecordError(msg)
    for old, new in pairs:
        _refuse(old, new)
    return pairs


def _refuse(old: Record, new: StoredRecord) -> None:
    """Raise where the two records' numbers do not mean the same thing."""
    fields: list[tuple[str, object, object]] = [("seeds", old.seeds, new.record.seeds)]
    for name, before in old.metrics.items():
        after = new.record.metrics.get(name)
        if after is None:
            have = ", ".join(new.record.metrics)
            msg = f"{new.path} has no {name}, the baseline has it (found: {have}); measure it too"
            raise RecordError(msg)
        fields += [
            (f"{name}: num_images", before.num_images, after.num_images),
            (f"{name}: better", before.display.better, after.display.better),
            (f"{name}: reference sha256", _reference(before), _reference(after)),
            (f"{name}: features weights_sha256", _weights(before), _weights(after)),
        ]
    for name, before_value, after_value in fields:
        if before_value != after_value:
            msg = (
                f"{new.path} is not comparable with the baseline: {name} is {after_value}, "
                f"there it is {before_value}; run {new.name} as the baseline was run, "
                "or accept a new baseline"
            )
            raise RecordError(msg)


def _untested(old: Record, new: StoredRecord) -> Iterable[Finding]:
    """Findings of one row before Holm: all that are open say "unchanged"."""
    same = (old.spec_sha256, old.samples_sha256) == (
        new.record.spec_sha256,
        new.record.samples_sha256,
    )
    for name, before in old.metrics.items():
        if before.display.better == "neither":
            continue
        finding = Finding(
            suite=old.suite,
            row=old.row,
            metric=name,
            display=before.display,
            before=before,
            after=new.record.metrics[name],
            verdict="unchanged",
            p_worse=1.0,
            detectable=0.0,
        )
        if same:
            verdict: Verdict = "identical" if _same_number(finding) else "remeasured"
            yield replace(finding, verdict=verdict)
        else:
            yield replace(finding, p_worse=_p_worse(finding.harm, finding.standard_error))


def _same_number(finding: Finding) -> bool:
    """Equal samples may differ by the rounding of another machine, far below the noise."""
    slack = max(SAME_SHARE * finding.standard_error, 1e-9 * abs(finding.before.value))
    return abs(finding.harm) <= slack


def _p_worse(harm: float, error: float) -> float:
    """Chance of at least this harm where nothing changed; without noise, any harm is real."""
    if error == 0:
        return 0.0 if harm > 0 else 1.0
    return NORMAL.cdf(-harm / error)


def _reference(result: MetricResult) -> str | None:
    return result.reference.sha256 if result.reference else None


def _weights(result: MetricResult) -> str | None:
    return result.features.weights_sha256 if result.features else None


def _shown(result: MetricResult) -> str:
    percent = result.display.percent
    return measured(result.value, result.standard_error, percent=percent, unit=True)
