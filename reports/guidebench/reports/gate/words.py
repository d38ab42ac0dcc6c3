"""The gate's findings in sentences, and as one table."""

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Final

from guidebench.reports.gate.baseline import Baseline
from guidebench.reports.gate.changes import Change, Moved
from guidebench.reports.gate.judge import POWER, Finding, Rule, Verdict
from guidebench.reports.gate.memory import MemoryFinding
from guidebench.reports.numbers import ABSENT, interval, measured, significant
from guidebench.reports.record import Display
from guidebench.reports.summary import sentence_label

_SPREAD: Final = Display(label="feature spread", better="neither", percent=True)
_Z_95: Final = 1.959963984540054
_ODDS: Final = f"in {POWER * 10:.0f} of 10 cases"
HEADINGS: Final = (
    "row", "metric", "before", "now", "change [95 %]", "margin", "verdict", "would be caught",
    "feature spread", "apart",
)  # fmt: skip


def sentence(finding: Finding) -> str:
    """What happened to one metric of one row, for the terminal."""
    change = finding.change
    text = (
        f"{change.name}: {sentence_label(change.display)}: {_side(change, 'before')} before, "
        f"{_side(change, 'after')} now: {_verdict_words(finding)}."
    )
    return " ".join([text, *_beside(finding), *_cause(finding)])


def worth_saying(found: Iterable[Finding]) -> list[Finding]:
    """What the terminal shows, the worst first: all but what is surely unchanged."""
    order = ("worse", "remeasured", "inconclusive", "better", "no worse")
    told = [f for f in found if f.verdict not in {"identical", "no worse"} or f.spread_moved]
    return sorted(told, key=lambda f: (order.index(f.verdict), f.p_worse))


def next_look(found: Sequence[Finding], baseline: Baseline) -> list[str]:
    """The way out of an inconclusive gate, a sentence for each suite."""
    open_rows: dict[str, set[str]] = {}
    spent = set()
    for finding in found:
        if finding.verdict != "inconclusive":
            continue
        change = finding.change
        sets = baseline.rows[change.suite, change.row]
        if change.sets < len(sets):
            seeds = sets[change.sets].record.seeds
            words = f"--num {seeds.num_per_repeat} --seeds {seeds.first}"
            words += f" --repeats {seeds.repeats}" if seeds.repeats > 1 else ""
            open_rows.setdefault(words, set()).add(change.runs_as)
        else:
            spent.add(change.name)
    sentences = [
        f"look again on the next seeds: guidebench run {' '.join(sorted(names))} {words}"
        for words, names in open_rows.items()
    ]
    if spent:
        sentences.append(
            f"every planned look at {', '.join(sorted(spent))} is spent: only a baseline of more "
            "images, or a wider --margin chosen beforehand, can decide"
        )
    return sentences


def sensitivity(found: Sequence[Finding]) -> list[str]:
    """For each suite and metric, the smallest regression that the gate would have caught.

    For tested rows the errors of this very comparison; else what it would be for changes that
    keep some of the correlation between the influences of equal seeds.
    """
    by_metric: dict[tuple[str, str], list[Finding]] = {}
    for finding in found:
        by_metric.setdefault((finding.change.suite, finding.change.metric), []).append(finding)
    return [_sensitivity(group) for group in by_metric.values()]


def _sensitivity(group: Sequence[Finding]) -> str:
    first = group[0].change
    verb = "fall" if first.display.better == "higher" else "rise"
    label = f"{first.suite}: a {verb} of {sentence_label(first.display)} by "
    tested = [f for f in group if not f.change.same_samples]
    if tested:
        worst = max(tested, key=lambda f: f.detectable)
        return (
            f"{label}{amount(worst.detectable, worst.change)} or more in any one row would have "
            f"been caught {_ODDS}."
        )
    noisy = max(group, key=lambda f: f.change.moved.before_error)
    a, b, c = (amount(planned(noisy, rho), noisy.change) for rho in (0.99, 0.9, 0.0))
    return (
        f"{label}{a} or more in any one row would be caught {_ODDS} where the seeds' influences "
        f"correlate by 0.99; by {b} at 0.9; by {c} at 0."
    )


def planned(finding: Finding, correlation: float) -> float:
    """The least harm that a look catches in this row alone at a correlation of influences."""
    moved = finding.change.moved
    error = moved.before_error * math.sqrt(2 * (1 - correlation))
    told = replace(moved, after=moved.before, after_error=moved.before_error, error=error)
    return finding.rule.detectable(told, 1)


def amount(harm: float, change: Change) -> str:
    """A size in the metric's unit, and as a share of the accepted value where that says more."""
    if change.display.percent:
        return f"{significant(harm * 100, 2)} %"
    share = harm / abs(change.moved.before) if change.moved.before else math.inf
    relative = f" ({significant(share * 100, 2)} %)" if math.isfinite(share) else ""
    return f"{significant(harm, 2)}{relative}"


def last_line(found: Sequence[Finding], memory: Sequence[MemoryFinding], rule: Rule) -> str:
    """Counts of verdicts, and the promise that stands behind them."""
    counts = Counter(f.verdict for f in found)
    order: tuple[Verdict, ...] = (
        "worse", "remeasured", "inconclusive", "better", "no worse", "identical",
    )  # fmt: skip
    told = ", ".join(f"{counts[v]} {v}" for v in order if counts[v])
    grown = sum(m.failed for m in memory)
    told += f"; memory grew {grown} times" if grown else ""
    return (
        f"gate: {len(found)} metrics compared: {told} "
        f"(false alarms at most {significant(rule.alpha * 100, 2)} %, margin "
        f"{significant(rule.margin * 100, 2)} %, {rule.looks} planned "
        f"look{'s' if rule.looks > 1 else ''})"
    )


def cells(finding: Finding) -> tuple[str, ...]:
    """One row of the table under `HEADINGS`."""
    change = finding.change
    return (
        change.name,
        change.display.label,
        _side(change, "before"),
        _side(change, "after"),
        "0" if change.same_samples and change.same_number else _moved(change.moved, change.display),
        amount(change.margin, change),
        finding.verdict,
        ABSENT if change.same_samples else amount(finding.detectable, change),
        ABSENT if change.spread is None else _moved(change.spread, _SPREAD),
        ABSENT if change.apart is None else significant(change.apart),
    )


def markdown(found: Sequence[Finding], memory: Sequence[MemoryFinding], rule: Rule) -> str:
    """A summary, a table of what was tested, and a line on what was identical."""
    rows = [f for f in found if f.verdict != "identical"]
    same = len(found) - len(rows)
    lines = [f"**{last_line(found, memory, rule)}**", ""]
    if rows:
        lines += [_pipe(HEADINGS), _pipe(["---"] * len(HEADINGS)), *(_pipe(cells(f)) for f in rows)]
        lines.append("")
    lines += [f"- {text}" for text in sensitivity(found)]
    if same:
        lines.append(f"- {same} metrics were measured on the very samples of the baseline.")
    lines += [f"- {m.sentence}" for m in memory if m.failed]
    lines += [f"- {sentence(f)}" for f in worth_saying(rows)]
    return "\n".join(lines) + "\n"


def _pipe(texts: Iterable[str]) -> str:
    return "| " + " | ".join(text.replace("|", "\\|") for text in texts) + " |"


def _side(change: Change, side: str) -> str:
    moved, percent = change.moved, change.display.percent
    value, error = (
        (moved.before, moved.before_error) if side == "before" else (moved.after, moved.after_error)
    )
    return measured(value, error, percent=percent, unit=True)


def _moved(moved: Moved, display: Display) -> str:
    half = _Z_95 * moved.error
    low, high = moved.change - half, moved.change + half
    return interval(moved.change, low, high, moved.error, display)


def _p(value: float) -> str:
    return f"p = {value:.2g}" if value else "p below 1e-300"


def _verdict_words(finding: Finding) -> str:
    change = finding.change
    margin = f"the margin of {amount(change.margin, change)}"
    moved = _moved(change.moved, change.display)
    surely = finding.p_worse <= finding.rule.level / max(finding.tests, 1)
    return {
        "identical": "the same samples as before",
        "remeasured": "the samples are the same, so the measurement itself changed",
        "worse": f"worse beyond the noise, {moved}, {_p(finding.p_worse)}",
        "better": f"better beyond the noise, {moved}, {_p(finding.p_better)}",
        "no worse": f"{'worse, but by' if surely else 'no worse than'} less than {margin}, {moved}",
        "inconclusive": f"neither surely worse nor surely within {margin}, {moved}",
    }[finding.verdict]


def _beside(finding: Finding) -> Iterable[str]:
    """The diversity number, where it moved."""
    spread = finding.change.spread
    if spread is None or not finding.spread_moved:
        return
    before, after = (f"{significant(v * 100)} %" for v in (spread.before, spread.after))
    way = "narrower" if spread.change < 0 else "wider"
    yield f"The samples are {way}: {after} of the real images' feature variance, was {before}."


def _cause(finding: Finding) -> Iterable[str]:
    if finding.failed or finding.verdict == "inconclusive":
        differs = finding.change.differs
        yield (
            f"Settings that changed: {'; '.join(differs)}."
            if differs
            else ("No setting changed, so the code did.")
        )
