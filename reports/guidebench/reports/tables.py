"""One table of one group, as text cells with their notes; `render` writes it in any format."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import final

from guidebench.reports.compare import best_row, difference, incomparable, rank
from guidebench.reports.groups import Group, group_records
from guidebench.reports.machines import mixed_machines
from guidebench.reports.numbers import ABSENT, binary_size, measured, significant
from guidebench.reports.published import (
    Origin,
    comparable_notes,
    origin_marks,
    published_metrics,
    published_notes,
    published_texts,
)
from guidebench.reports.record import Better, MetricResult, Record
from guidebench.reports.store import StoredRecord

ARROWS: dict[Better, str] = {"lower": "↓", "higher": "↑", "neither": ""}
STAR = "★"
FLOOR_TITLE = "perfect sampler at this N"


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Column:
    """A column of numbers; `metric` is None for what the samples cost.

    A metric with published values has two columns, the second with `published`.
    """

    label: str
    unit: str = ""
    arrow: str = ""
    metric: str | None = None
    published: bool = False

    @property
    def heading(self) -> str:
        """Label, unit and the direction that is better."""
        return " ".join(
            filter(None, (self.label + (f", {self.unit}" * bool(self.unit)), self.arrow))
        )


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Cell:
    """What stands in one place of the table; `note` goes beneath or behind it."""

    text: str
    best: bool = False
    note: str = ""

    @property
    def plain(self) -> str:
        """Text, star and note on one line."""
        star = f" {STAR}" if self.best else ""
        return f"{self.text}{star}" + (f" ({self.note})" if self.note else "")


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Line:
    """One row of cells; `stored` is None for the floor."""

    title: str
    cells: tuple[Cell, ...]
    stored: StoredRecord | None = None


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Table:
    """Title, setting, headings, lines in suite order, the floor, and what to know of them."""

    title: str
    setting: str
    columns: tuple[Column, ...]
    lines: tuple[Line, ...]
    floor: Line | None
    footnotes: tuple[str, ...]
    group: Group


def build_tables(records: Iterable[StoredRecord]) -> list[Table]:
    """A table for each suite, seeds, device, engine and precision among `records`."""
    return [build_table(group) for group in group_records(records)]


def build_table(group: Group) -> Table:
    """The truth and the schemes of a group, in suite order; curve rows are left to figures."""
    columns, marks = tuple(_columns(group)), origin_marks(group)
    best = {name: best_row(group, name) for name in group.displays}
    lines = tuple(_line(stored, columns, best, marks) for stored in group.table_rows)
    return Table(
        title=group.title,
        setting=setting_words(group),
        columns=(*columns, *(column for column, _ in COSTS)),
        lines=lines,
        floor=_floor(group, columns),
        footnotes=(*_footnotes(group, best), *published_notes(group, marks)),
        group=group,
    )


def setting_words(group: Group) -> str:
    """What every row of the group shares, in words."""
    seeds, setting = group.seeds, group.setting
    count = seeds.num_per_repeat * seeds.repeats
    last = seeds.first + count - 1
    per = f" in {seeds.repeats} repeats" if seeds.repeats > 1 else ""
    words = f"{count:,} samples a row{per}, seeds {seeds.first} to {last}"
    where = f"{setting.device} ({setting.machine})" if setting.machine else setting.device
    return f"{words}; {where}, engine {setting.engine}, {setting.precision}"


def calls_per_sample(record: Record) -> str:
    """Network calls for one sample by role; roles that are never called are left out."""
    calls = record.cost.network_calls_per_image
    return " + ".join(f"{count} {role}" for role, count in calls.items() if count) or ABSENT


def peak_memory(record: Record) -> str:
    """What the network's device had to hold, or the process where there is no such device."""
    memory = record.cost.peak_memory_bytes
    peak = memory.host if memory.allocated is None else memory.allocated
    return ABSENT if peak is None else binary_size(peak)


def _samples_per_second(record: Record) -> str:
    rate = record.cost.images_per_second
    return ABSENT if rate is None else significant(rate)


COSTS: tuple[tuple[Column, Callable[[Record], str]], ...] = (
    (Column(label="Network calls per sample"), calls_per_sample),
    (Column(label="Samples/s", arrow="↑"), _samples_per_second),
    (Column(label="Peak memory", arrow="↓"), peak_memory),
)


def _columns(group: Group) -> Iterable[Column]:
    """Each metric, followed by what is published for it, if anything."""
    published = published_metrics(group)
    for name, display in group.displays.items():
        unit = "%" if display.percent else ""
        arrow = ARROWS[display.better]
        yield Column(label=display.label, unit=unit, arrow=arrow, metric=name)
        if name in published:
            label = f"{display.label} published"
            yield Column(label=label, unit=unit, metric=name, published=True)


def _line(
    stored: StoredRecord,
    columns: Sequence[Column],
    best: dict[str, StoredRecord | None],
    marks: dict[Origin, str],
) -> Line:
    record = stored.record
    cells = []
    for column in columns:
        assert column.metric is not None
        if column.published:
            text, note = published_texts(stored, column.metric, marks)
            cells.append(Cell(text=text, note=note))
        else:
            result = record.metrics.get(column.metric)
            cells.append(_metric_cell(result, best=best[column.metric] is stored))
    costs = (Cell(text=show(record)) for _, show in COSTS)
    return Line(title=record.title, cells=(*cells, *costs), stored=stored)


def _metric_cell(result: MetricResult | None, *, best: bool) -> Cell:
    if result is None:
        return Cell(text=ABSENT)
    percent = result.display.percent
    return Cell(
        text=measured(result.value, result.standard_error, percent=percent),
        best=best,
        note=_extreme(result),
    )


def _extreme(result: MetricResult) -> str:
    """The best of several repeats, which is what papers often report, named as such."""
    if len(result.repeats) < 2 or result.display.better == "neither":
        return ""
    highest = result.display.better == "higher"
    value = max(result.repeats) if highest else min(result.repeats)
    text = measured(value, result.standard_error, percent=result.display.percent).split(" ")[0]
    return f"{'max' if highest else 'min'} of {len(result.repeats)}: {text}"


def _floor(group: Group, columns: Sequence[Column]) -> Line | None:
    cells = [
        Cell(text=ABSENT) if c.published else _floor_cell(group, c.metric)
        for c in columns
        if c.metric
    ]
    if all(cell.text == ABSENT for cell in cells):
        return None
    return Line(title=FLOOR_TITLE, cells=(*cells, *(Cell(text=ABSENT) for _ in COSTS)))


def _floor_cell(group: Group, metric: str) -> Cell:
    found = (r.record.metrics.get(metric) for r in (*group.schemes, *group.rows))
    result = next((m for m in found if m is not None and m.noise_floor is not None), None)
    if result is None or result.noise_floor is None:
        return Cell(text=ABSENT)
    percent, error = result.display.percent, result.noise_floor_standard_error
    if not error:
        return Cell(text=significant(result.noise_floor * (100 if percent else 1)))
    return Cell(text=measured(result.noise_floor, error, percent=percent))


def _footnotes(group: Group, best: dict[str, StoredRecord | None]) -> Iterable[str]:
    yield (
        "± is one standard error over seeds: it covers the draw of the samples, not another "
        "training of the networks or another reference set."
    )
    yield from _best_notes(group, best)
    results = [m for r in group.table_rows for m in r.record.metrics.values()]
    if any(m.noise_floor is not None for m in results):
        yield (
            f"“{FLOOR_TITLE}”: what as many exact draws from the truth would score on average; "
            "by this metric, a scheme at that value cannot be told from the truth."
        )
    if any(m.standard_error == 0 for m in results):
        yield "An error of 0 means that every seed gave the same, not that the value is exact."
    yield from mixed_measurements(group)
    yield from comparable_notes(group)
    yield from _memory_note(group)
    yield from mixed_machines(row.record for row in group.table_rows)
    yield from timing_doubts(group)
    if group.older:
        noun = "record of a row above was" if group.older == 1 else "records of rows above were"
        yield f"{group.older} older {noun} left out: the newest of each row counts."


def _memory_note(group: Group) -> Iterable[str]:
    peaks = [r.record.cost.peak_memory_bytes for r in group.table_rows]
    device = any(p.allocated is not None for p in peaks)
    host = any(p.allocated is None and p.host is not None for p in peaks)
    kinds = ["memory allocated on the device"] * device
    kinds += ["the largest resident set of a worker process"] * host
    if kinds:
        where = " where that is known, else " if len(kinds) > 1 else ""
        yield f"Peak memory is {where.join(kinds)}."


def _best_notes(group: Group, best: dict[str, StoredRecord | None]) -> Iterable[str]:
    ranked = {name: order for name in group.displays if len(order := rank(group, name)) > 1}
    if any(best[name] for name in ranked):
        how = "paired by seed" if _all_paired(group, best) else "not all paired by seed"
        yield (
            f"{STAR} the best scheme, marked only where the 95 % interval of its difference to "
            f"every other scheme with that metric leaves out 0 (differences {how})."
        )
    open_metrics = [group.displays[name].label for name in ranked if best[name] is None]
    if open_metrics:
        yield f"No scheme is separably the best on {_listed(open_metrics)}."


def _all_paired(group: Group, best: dict[str, StoredRecord | None]) -> bool:
    return all(
        difference(first, other, name).paired
        for name, first in best.items()
        if first is not None
        for other in rank(group, name)
        if other is not first
    )


def mixed_measurements(group: Group) -> Iterable[str]:
    """Sentences on metrics that were not measured in the same way in every row."""
    for name, display in group.displays.items():
        rows = [r for r in group.table_rows if name in r.record.metrics]
        reason = next((w for r in rows[1:] if (w := incomparable(rows[0], r, name))), None)
        if reason:
            yield f"Rows are not comparable on {display.label}: {reason}; run the suite again."


def timing_doubts(group: Group) -> Iterable[str]:
    """Each doubt about the cost, with the rows that it concerns."""
    by_doubt: dict[str, list[str]] = defaultdict(list)
    for stored in group.table_rows:
        for doubt in stored.record.cost.doubts:
            by_doubt[doubt].append(stored.record.title)
    for doubt, titles in by_doubt.items():
        every = len(titles) >= len(group.schemes)  # real data is not timed
        rows = "every scheme" if every else _listed(titles)
        yield f"Doubt about the timing of {rows}: {doubt}."


def _listed(words: Sequence[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"
