"""What the numbers say, in sentences that claim no more than the intervals support."""

from collections.abc import Sequence

from guidebench.reports.compare import Difference, best_row, difference, incomparable, rank
from guidebench.reports.groups import Group
from guidebench.reports.numbers import interval, measured
from guidebench.reports.record import Better, Display
from guidebench.reports.store import StoredRecord

EXTREME: dict[Better, str] = {"lower": "lowest", "higher": "highest", "neither": ""}


def summary(group: Group) -> list[str]:
    """One sentence for each metric that has a better side, in the order of the records."""
    metrics = [name for name, d in group.displays.items() if d.better != "neither"]
    sentences = [_metric_sentence(group, name) for name in metrics if rank(group, name)]
    return [*sentences, *_price(group, metrics)]


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


def _price(group: Group, metrics: Sequence[str]) -> list[str]:
    """What the winner of the first metric costs, in network calls."""
    first = best_row(group, metrics[0]) if metrics else None
    plain = _unguided(group, metrics[0]) if metrics else None
    if first is None or plain is None or first is plain:
        return []
    calls, base = _calls(first), _calls(plain)
    if not calls or not base:
        return []
    price = f"The price of {first.record.title}: {calls} network calls per sample"
    return [f"{price}, against {base} for {plain.record.title}."]


def _calls(stored: StoredRecord) -> int:
    return sum(stored.record.cost.network_calls_per_image.values())


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
