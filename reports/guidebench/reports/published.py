"""What papers report, beside what was measured: a column, its differences and its footnotes."""

from collections.abc import Iterable
from typing import Final

from guidebench.reports.groups import Group
from guidebench.reports.numbers import ABSENT, fixed, interval
from guidebench.reports.record import MetricResult, PublishedValue
from guidebench.reports.store import StoredRecord

LETTERS: Final = "ᵃᵇᶜᵈᵉᶠᵍʰⁱʲᵏˡᵐⁿᵒᵖ"
PLAIN: Final = "abcdefghijklmnop"
Origin = tuple[str, str | None]


def published_metrics(group: Group) -> frozenset[str]:
    """The metrics for which a row of the table has a published value."""
    return frozenset(m for row in group.table_rows for m in row.record.published)


def origin_marks(group: Group) -> dict[Origin, str]:
    """A letter for each source and note, in the order in which the table shows them."""
    origins: dict[Origin, str] = {}
    for row in group.table_rows:
        for metric in group.displays:
            if found := row.record.published.get(metric):
                count = len(origins)
                letter = LETTERS[count % len(LETTERS)] * (1 + count // len(LETTERS))
                origins.setdefault(_origin(found), letter)
    return origins


def published_texts(stored: StoredRecord, metric: str, marks: dict[Origin, str]) -> tuple[str, str]:
    """The published value with its letter, and ours minus it with a 95 % interval.

    A paper's number has no error, so the interval is ours alone. There is no difference where
    our features are not the published metric's.
    """
    found = stored.record.published.get(metric)
    if found is None:
        return ABSENT, ""
    result = stored.record.metrics.get(metric)
    percent = result is not None and result.display.percent
    text = f"{_as_printed(found.value, percent=percent)}{marks[_origin(found)]}"
    return text, _difference(result, found) if result is not None else ""


def published_notes(group: Group, marks: dict[Origin, str]) -> Iterable[str]:
    """Where each published value comes from, and what the difference to it means."""
    for (source, note), mark in marks.items():
        yield f"{mark} Published: {source}{f'; {note}' if note else ''}."
    if marks:
        yield (
            "With a published value stands ours minus it. Its 95 % interval covers the error of "
            "ours alone: the published value is taken as it is printed."
        )
    metrics = published_metrics(group)
    if any(m not in row.record.published for row in group.table_rows for m in metrics):
        yield f"{ABSENT} under “published”: nothing is published for that metric of that row."


def comparable_notes(group: Group) -> Iterable[str]:
    """Each metric whose features are not those of the published metric."""
    for name, display in group.displays.items():
        found = (row.record.metrics.get(name) for row in group.table_rows)
        names = {m.features.name for m in found if m and m.features and not m.features.comparable}
        if names:
            yield (
                f"{display.label} is measured on features of {', '.join(sorted(names))}: it orders "
                "rows of this table, and compares with no value from elsewhere."
            )


def _difference(result: MetricResult, found: PublishedValue) -> str:
    if result.features is not None and not result.features.comparable:
        return ""
    low, high = (bound - found.value for bound in result.interval_95)
    value = result.value - found.value
    return interval(value, low, high, result.standard_error, result.display)


def _origin(found: PublishedValue) -> Origin:
    return found.source, found.note


def _as_printed(value: float, *, percent: bool) -> str:
    """At least two decimals, as papers print them; more where the value has more."""
    scaled = round(value * (100 if percent else 1), 10)
    decimals = len(f"{scaled:.10f}".rstrip("0").split(".")[1])
    return fixed(scaled, max(2, decimals))
