"""What the samples of each row cost, device by device, as a table of text and sort keys."""

import statistics
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import final

from guidebench.reports.groups import Group
from guidebench.reports.machines import machine
from guidebench.reports.numbers import ABSENT, binary_size, prefixed, significant
from guidebench.reports.page_rows import row_id
from guidebench.reports.pareto import cost_of
from guidebench.reports.record import Record
from guidebench.reports.tables import calls_per_sample


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class SpeedCell:
    """Text of a cell and what it sorts by, None for what was not measured."""

    text: str
    sort: float | None = None


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class RankLine:
    """What one rank of one row did on its device, as text."""

    title: str
    rank: int
    device: str
    images: str
    rate: str
    memory: str
    energy: str


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class SpeedTable:
    """Headings and one line of cells for each scheme.

    Columns without any value are left out; `setting` is what all rows share.
    """

    setting: str

    columns: tuple[str, ...]
    lines: tuple[tuple[str, str, tuple[SpeedCell, ...]], ...]
    notes: tuple[str, ...]
    ranks: tuple[RankLine, ...] = ()


MACHINE = "Machine"
Show = Callable[[Record], SpeedCell]


def speed_table(group: Group) -> SpeedTable:
    """Throughput, work and peak memory of every scheme, and the machine that each ran on."""
    base = next((r.record for r in group.schemes if r.record.row == "none"), None)
    columns = _columns(base)
    made = [(row.record, {n: show(row.record) for n, show in columns.items()})
            for row in group.schemes]  # fmt: skip
    kept = [name for name in columns if any(cells[name].text != ABSENT for _, cells in made)]
    where = {cells[MACHINE].text for _, cells in made}
    if len(where) == 1:
        kept.remove(MACHINE)
    return SpeedTable(
        setting=f"Every row: {where.pop()}." if len(where) == 1 else "",
        columns=tuple(kept),
        lines=tuple(
            (row_id(record.row), record.title, tuple(cells[name] for name in kept))
            for record, cells in made
        ),
        notes=tuple(_notes(kept, base)),
        ranks=tuple(line for row in group.schemes for line in _ranks(row.record)),
    )


def _ranks(record: Record) -> Iterable[RankLine]:
    """A line for each rank; empty for a record that keeps none apart."""
    for rank, found in enumerate(record.cost.per_rank):
        rate, energy, peaks = found.images_per_second, found.energy_joules, found.peak_memory_bytes
        memory = (f"{k} {binary_size(v)}" for k, v in peaks.model_dump().items() if v is not None)
        yield RankLine(
            title=record.title,
            rank=rank,
            device=f"{found.device_name} ({found.device} of {found.host})",
            images=f"{found.images:,}",
            rate=ABSENT if rate is None else significant(rate),
            memory=", ".join(memory) or ABSENT,
            energy=ABSENT if energy is None else f"{significant(energy)} J",
        )


def _rate(value: float | None) -> SpeedCell:
    return (
        SpeedCell(text=ABSENT) if value is None else SpeedCell(text=significant(value), sort=value)
    )


def _machine(record: Record) -> SpeedCell:
    cost = record.cost
    ranks = f"{cost.ranks} rank{'s' if cost.ranks > 1 else ''}"
    threads = f"{cost.threads_per_rank} thread{'s' if cost.threads_per_rank > 1 else ''} each"
    return SpeedCell(text=f"{machine(record)}; {ranks}, {threads}, batch {cost.batch_size}")


def _time_ratio(record: Record, base: Record | None) -> SpeedCell:
    """How many times the unguided row's time; only where one kind of machine made both."""
    mine, other = (r and cost_of(r, "seconds") for r in (record, base))
    if not mine or not other or base is None or _setup(record) != _setup(base):
        return SpeedCell(text=ABSENT)
    return SpeedCell(text=f"{significant(mine / other)}×", sort=mine / other)  # noqa: RUF001


def _setup(record: Record) -> tuple[object, ...]:
    cost = record.cost
    return machine(record), cost.ranks, cost.threads_per_rank, cost.batch_size


def _spread(record: Record) -> SpeedCell:
    """Standard deviation of the timed batches over their mean, in percent."""
    seconds = record.cost.batch_seconds
    if len(seconds) < 2:
        return SpeedCell(text=ABSENT)
    share = 100 * statistics.stdev(seconds) / statistics.fmean(seconds)
    return SpeedCell(text=significant(share, 2), sort=share)


def _calls(record: Record) -> SpeedCell:
    return SpeedCell(text=calls_per_sample(record), sort=cost_of(record, "calls"))


def _operations(record: Record) -> SpeedCell:
    count = record.cost.flops_per_image
    return SpeedCell(text=ABSENT) if count is None else SpeedCell(text=prefixed(count), sort=count)


def _peak(key: str) -> Show:
    def show(record: Record) -> SpeedCell:
        peak = getattr(record.cost.peak_memory_bytes, key)
        return (
            SpeedCell(text=ABSENT) if peak is None else SpeedCell(text=binary_size(peak), sort=peak)
        )

    return show


def _plain(key: str, scale: float = 1.0) -> Show:
    def show(record: Record) -> SpeedCell:
        value = getattr(record.cost, key)
        return _rate(None if value is None else scale * value)

    return show


def _columns(base: Record | None) -> dict[str, Show]:
    """How each column is filled; `base` is the row that times are divided by."""
    return {
        "Samples/s per device": _plain("images_per_second_per_device"),
        "Samples/s, all": _plain("images_per_second"),
        "Time against unguided": lambda record: _time_ratio(record, base),
        "Spread of batches, %": _spread,
        "Network calls per sample": _calls,
        "Operations per sample": _operations,
        "Share of peak, %": _plain("fraction_of_peak", 100),
        "Peak allocated": _peak("allocated"),
        "Peak reserved": _peak("reserved"),
        "Peak of the device": _peak("device"),
        "Peak of a process": _peak("host"),
        "Energy per sample, J": _plain("energy_joules_per_image"),
        "First call, s": _plain("first_call_seconds"),
        MACHINE: _machine,
    }


def _notes(kept: Iterable[str], base: Record | None) -> Iterable[str]:
    yield "A device is one GPU; on a CPU it is one worker process. The first call is not counted."
    if base is not None and "Time against unguided" in kept:
        yield (
            f"“Time against unguided” divides by the time of {base.title}, and is left blank where "
            "the two rows had other machines, ranks or batches."
        )
    if "Spread of batches, %" in kept:
        yield "Spread of batches: standard deviation of the timed batches over their mean."
