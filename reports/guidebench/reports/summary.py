"""What the numbers say, in sentences that claim no more than the intervals support."""

from collections.abc import Sequence

from guidebench.reports.compare import Difference, best_row, difference, incomparable, rank
from guidebench.reports.groups import Group
from guidebench.reports.numbers import interval, measured
from guidebench.reports.pareto import COST_LABELS, cost_ratio
from guidebench.reports.record import Better, Display
from guidebench.reports.store import StoredRecord

TIMES = "\N{MULTIPLICATION SIGN}"
EXTREME: dict[Better, str] = {"lower": "lowest", "higher": "highest", "neither": ""}


def summary(group: Group) -> list[str]:
    """One sentence for each metric that has a better side, in the order of the records."""
    return [_metric_sentence(group, name) for name in _ranked(group)]


def headline(group: Group) -> list[str]:
    """Who wins on the first ranked metric, by how much, at which price; then what that means.

    Empty for a single scheme. The winner is held against the second and the unguided row;
    where it is not separably the best, the sentence says so. Metrics by which another scheme is
    separably the best follow: truncation can buy one number with another.
    """
    ranked = _ranked(group)
    if not ranked:
        return []
    metric = ranked[0]
    first, *others = rank(group, metric)
    plain = _unguided(group, metric)
    if not others or any(incomparable(first, other, metric) for other in others):
        return []
    if best_row(group, metric) is None:
        beaten = [o for o in others if difference(first, o, metric).separable]
        tied = next(o for o in others if o not in beaten)
        gap = _gap(first, tied, metric)
        rest = f"{first.record.title} leads {tied.record.title} by {gap}, which is within the noise"
        lost = plain if plain in beaten else next(iter(beaten), None)
        if lost is not None:
            rest += f", and beats {_beaten(first, lost, metric)}"
        line = f"No scheme is separably the best: {rest}."
    else:
        rivals = [others[0]]
        if plain is not None and plain not in {first, others[0]}:
            rivals.append(plain)
        beaten_words = ", and ".join(_beaten(first, rival, metric) for rival in rivals)
        line = f"{first.record.title} beats {beaten_words}."
    return [line + _elsewhere(group, ranked[1:], first), *_meaning(first, others)]


def _elsewhere(group: Group, metrics: Sequence[str], first: StoredRecord) -> str:
    """Who is separably the best by other metrics: ` By sliced W2, no guidance is the best.`."""
    found: dict[str, list[str]] = {}
    for metric in metrics:
        best = best_row(group, metric)
        if best is not None and best is not first:
            label = sentence_label(group.displays[metric])
            found.setdefault(best.record.title, []).append(label)
    return "".join(
        f" By {' and '.join(labels)}, {title} is the best." for title, labels in found.items()
    )


def _ranked(group: Group) -> list[str]:
    return [name for name in group.displays if rank(group, name)]


def _beaten(first: StoredRecord, other: StoredRecord, metric: str) -> str:
    """`CFG, w = 4 by 12.3 ± 1.1 FID at 1.44x the cost`."""
    ratio = cost_ratio(first.record, other.record)
    price = f" at {ratio[0]:.2f}{TIMES} the cost" if ratio else ""
    return f"{other.record.title} by {_gap(first, other, metric)}{price}"


def _gap(first: StoredRecord, other: StoredRecord, metric: str) -> str:
    found = difference(first, other, metric)
    percent, label = found.display.percent, sentence_label(found.display)
    size = measured(abs(found.value), found.standard_error, percent=percent)
    return f"{size} {'percentage points of ' * percent}{label}"


def _meaning(first: StoredRecord, others: Sequence[StoredRecord]) -> list[str]:
    found = next((r for o in others if (r := cost_ratio(first.record, o.record))), None)
    price = f"; cost counts {COST_LABELS[found[1]]}" if found else ""
    return [f"± is one standard error of the difference{price}."]


def difference_words(found: Difference) -> str:
    """`-10.1 % [-11.0, -9.2], paired`, with true minus signs."""
    how = "paired" if found.paired else "not paired"
    low, high = found.interval_95
    text = interval(found.value, low, high, found.standard_error, found.display)
    return f"{text}, {how}"


def difference_sentence(a: StoredRecord, b: StoredRecord, found: Difference) -> str:
    """The difference of two rows on one metric, and whether it stands out from the noise."""
    shown = _value(a, found.metric), _value(b, found.metric)
    verdict = "" if found.separable else " The interval includes 0: they are not separable."
    return (
        f"{found.display.label}: {shown[0]} for {a.record.title} against {shown[1]} for "
        f"{b.record.title}; difference {difference_words(found)}.{verdict}"
    )


def _metric_sentence(group: Group, metric: str) -> str:
    display = group.displays[metric]
    label, extreme = sentence_label(display), EXTREME[display.better]
    first, *others = rank(group, metric)
    shown = _value(first, metric)
    if not others:
        return f"{first.record.title} is the only scheme with {label}: {shown}."
    other = _unguided(group, metric)
    if best_row(group, metric) is None:
        leader = f"No scheme has a separably {extreme} {label}: {_leader(first, others, metric)}"
        return f"{leader}{_gain(first, other, metric)}"
    rival = others[0] if other is None or other is first else other
    return (
        f"{first.record.title} has the {extreme} {label}: {shown} against "
        f"{_value(rival, metric)} for {rival.record.title}; "
        f"difference {difference_words(difference(first, rival, metric))}."
    )


def _leader(first: StoredRecord, others: Sequence[StoredRecord], metric: str) -> str:
    """Who leads, and the first of the others whose interval includes 0."""
    for other in others:
        reason = incomparable(first, other, metric)
        if reason:
            return f"{first.record.title} and {other.record.title} are not comparable ({reason})."
        found = difference(first, other, metric)
        if not found.separable:
            return (
                f"{first.record.title} leads with {_value(first, metric)}, but its difference "
                f"to {other.record.title} ({_value(other, metric)}) is "
                f"{difference_words(found)}, which includes 0."
            )
    raise AssertionError  # best_row would have found it separable from all


def _gain(first: StoredRecord, unguided: StoredRecord | None, metric: str) -> str:
    """How far the leader is from the unguided row, where both can be compared."""
    if unguided is None or unguided is first or incomparable(first, unguided, metric):
        return ""
    found = difference_words(difference(first, unguided, metric))
    return f" Its difference to {unguided.record.title} ({_value(unguided, metric)}) is {found}."


def _unguided(group: Group, metric: str) -> StoredRecord | None:
    """The row that the others are held against: the one named `none`."""
    rows = (r for r in group.schemes if r.record.row == "none" and metric in r.record.metrics)
    return next(rows, None)


def _value(stored: StoredRecord, metric: str) -> str:
    result = stored.record.metrics[metric]
    percent = result.display.percent
    return measured(result.value, result.standard_error, percent=percent, unit=True)


def sentence_label(display: Display) -> str:
    """A metric's label inside a sentence: only a capitalised plain word loses its capital.

    >>> sentence_label(Display(label="Outlier rate", better="lower"))
    'outlier rate'
    >>> sentence_label(Display(label="FID", better="lower"))
    'FID'
    """
    label = display.label
    return label[0].lower() + label[1:] if label[1:2].islower() else label
