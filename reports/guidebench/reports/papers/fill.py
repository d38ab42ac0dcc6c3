"""Records beside printed values: differences, the best of three, and why a place is blank."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final, final

import pandas as pd

from guidebench.reports.groups import newest
from guidebench.reports.numbers import ABSENT, fixed, interval, measured, significant
from guidebench.reports.papers.model import PaperTable, PaperValue
from guidebench.reports.published import LETTERS
from guidebench.reports.record import MetricResult
from guidebench.reports.store import StoredRecord

IID: Final = "i.i.d. uniform"
SETTINGS: Final = ("w", "interval", "EMA", "guide EMA")
ROW: Final = ("", "row")
COLUMNS: Final = ("published", "measured", "difference")


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Filled:
    """A printed value with its record, or with the reason why nothing stands beside it."""

    value: PaperValue
    stored: StoredRecord | None
    reason: str | None

    @property
    def result(self) -> MetricResult | None:
        """What was measured."""
        return self.stored.record.metrics.get(self.value.metric) if self.stored else None

    @property
    def difference(self) -> tuple[float, float, float] | None:
        """Ours minus the published value with ours' 95 % interval, where the two compare."""
        result, published = self.result, self.value.published
        if result is None or published is None or not _comparable(result):
            return None
        low, high = result.interval_95
        return result.value - published, low - published, high - published

    @property
    def least(self) -> float | None:
        """The least of several repeats, which is what the papers print; None for one repeat."""
        result = self.result
        return min(result.repeats) if result and len(result.repeats) > 1 else None


def fill(table: PaperTable, records: Iterable[StoredRecord]) -> list[list[Filled]]:
    """Each value of a table with the newest record of its row."""
    by_row: dict[str, list[StoredRecord]] = {}
    for stored in records:
        by_row.setdefault(stored.name, []).append(stored)
    return [[_filled(value, by_row) for value in row.cells] for row in table.rows]


def _filled(value: PaperValue, by_row: Mapping[str, list[StoredRecord]]) -> Filled:
    if value.row is None:
        return Filled(value=value, stored=None, reason=value.reason or "no suite has this row")
    found = [r for r in by_row.get(value.row, []) if value.metric in r.record.metrics]
    if found:
        return Filled(value=value, stored=newest(found), reason=None)
    suite = value.row.partition("::")[0]
    reason = (
        f"no record here; `guidebench run {suite}::ROW` makes one, `guidebench list rows --suite "
        f"{suite}` names the rows and the files that they need"
    )
    return Filled(value=value, stored=None, reason=reason)


def _comparable(result: MetricResult) -> bool:
    return result.features is None or result.features.comparable


@final
class Footnotes:
    """Letters for notes, in the order in which the table shows them; equal notes share one."""

    def __init__(self) -> None:
        self._marks: dict[str, str] = {}

    def mark(self, note: str) -> str:
        """The note's letter, new or known."""
        count = len(self._marks)
        letter = LETTERS[count % len(LETTERS)] * (1 + count // len(LETTERS))
        return self._marks.setdefault(note, letter)

    def lines(self) -> list[str]:
        """Each note behind its letter."""
        return [f"{mark} {note}." for note, mark in self._marks.items()]


@final
@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Sheet:
    """A table ready to be written: text for people, unrounded numbers for programs."""

    name: str
    title: str
    text: pd.DataFrame
    numbers: pd.DataFrame
    footnotes: tuple[str, ...]
    num_measured: int


def sheet(table: PaperTable, records: Iterable[StoredRecord]) -> Sheet:
    """Fill a table and lay it out."""
    filled, notes = fill(table, records), Footnotes()
    lines = [
        {ROW: row.title} | {key: text for f in line for key, text in _cells(f, notes).items()}
        for row, line in zip(table.rows, filled, strict=True)
    ]
    every = [f for line in filled for f in line]
    columns = [ROW, *_columns(table, every)]
    text = pd.DataFrame(lines).reindex(columns=pd.MultiIndex.from_tuples(columns)).fillna("")
    numbers = pd.DataFrame(
        [
            _numbers(table.name, row.title, f)
            for row, line in zip(table.rows, filled, strict=True)
            for f in line
        ]
    )
    return Sheet(
        name=table.name,
        title=table.title,
        text=text,
        numbers=numbers,
        footnotes=(*notes.lines(), *table.notes, *_about(every)),
        num_measured=sum(f.result is not None for f in every),
    )


def _columns(table: PaperTable, every: Iterable[Filled]) -> Iterable[tuple[str, str]]:
    used = {(f.value.label, name) for f in every for name in f.value.setting}
    for label in table.metrics.values():
        yield from ((label, name) for name in COLUMNS)
        yield from ((label, name) for name in SETTINGS if (label, name) in used)


def _cells(filled: Filled, notes: Footnotes) -> dict[tuple[str, str], str]:
    value, label = filled.value, filled.value.label
    published = ABSENT
    if value.published is not None:
        origin = f"{value.source}{f'; {value.note}' if value.note else ''}"
        published = f"{fixed(value.published, 2)}{notes.mark(origin)}"
    return {
        (label, "published"): published,
        (label, "measured"): _measured(filled, notes),
        (label, "difference"): _difference(filled, notes),
        **{(label, name): text for name, text in value.setting.items()},
    }


def _measured(filled: Filled, notes: Footnotes) -> str:
    result = filled.result
    if result is None or filled.stored is None:
        return f"{ABSENT}{notes.mark(f'Not measured: {filled.reason}')}"
    text = measured(result.value, result.standard_error)
    if filled.least is not None:
        text += f" (min of {len(result.repeats)}: {_least(filled.least, result)})"
    if filled.stored.record.labels != IID:
        labels = filled.stored.record.labels
        text += notes.mark(
            f"Labels of this run are {labels}, the published ones {IID}; balanced labels are worth "
            "about 0.1 FID"
        )
    if result.num_images != 50_000:
        text += notes.mark(
            f"{result.num_images:,} images, the papers take 50,000: a Fréchet distance falls with N"
        )
    return text


def _least(value: float, result: MetricResult) -> str:
    return measured(value, result.standard_error).split(" ")[0]


def _difference(filled: Filled, notes: Footnotes) -> str:
    result = filled.result
    if result is None or filled.value.published is None:
        return ""
    if filled.difference is None:
        name = result.features.name if result.features else "?"
        return f"{ABSENT}{notes.mark(f'Features of {name} are not those of the published metric')}"
    value, low, high = filled.difference
    text = interval(value, low, high, result.standard_error, result.display)
    if filled.least is not None:
        gap = filled.least - filled.value.published
        text += f"; min {'+' if gap >= 0 else ''}{significant(gap, 2)}"
    return text


def _about(every: Iterable[Filled]) -> Iterable[str]:
    yield (
        "Published values named best of 3 are the least of three evaluations: for the mean of one "
        "evaluation expect 0.85 standard deviations more. Measured is the mean of all repeats ± "
        "one standard error; with several repeats their least stands beside it."
    )
    yield (
        "Difference: measured mean minus published, with the 95 % interval of ours alone; a "
        "printed value has no error."
    )
    yield f"Labels: the papers draw them {IID} for each seed, and so do the rows that measure them."
    commits = {
        str(f.stored.record.environment.get("gpu") or f.stored.record.cost.device)
        for f in every
        if f.stored
    }
    if commits:
        yield f"Measured on: {', '.join(sorted(commits))}."


def _numbers(table: str, title: str, filled: Filled) -> dict[str, object]:
    value, result = filled.value, filled.result
    low, high = result.interval_95 if result else (None, None)
    gap = filled.difference or (None, None, None)
    return {
        "table": table,
        "row": title,
        "metric": value.metric,
        "published": value.published,
        "published_source": value.source,
        "published_note": value.note,
        "measured": result and result.value,
        "standard_error": result and result.standard_error,
        "low": low,
        "high": high,
        "least_repeat": filled.least,
        "repeats": result and len(result.repeats),
        "num_images": result and result.num_images,
        "difference": gap[0],
        "difference_low": gap[1],
        "difference_high": gap[2],
        "labels": filled.stored and filled.stored.record.labels,
        **{name: value.setting.get(name) for name in SETTINGS},
        "suite_row": value.row,
        "reason": filled.reason,
        "spec_sha256": filled.stored and filled.stored.record.spec_sha256,
    }
