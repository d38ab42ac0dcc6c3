"""Records that may share a table: one suite, the same seeds, one device, engine, precision."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import final

from guidebench.reports.machines import machine
from guidebench.reports.record import Display, Seeds
from guidebench.reports.store import StoredRecord


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Setting:
    """What all rows of a table have in common. The truth is sampled by no engine.

    `machine` is empty where every row was sampled once, whatever sampled it.
    """

    suite: str
    seeds: tuple[int, int, int]
    device: str
    engine: str
    precision: str
    machine: str = ""


@final
@dataclass(frozen=True, kw_only=True)
class Group:
    """One suite under one setting, in suite order, the newest record of each row."""

    setting: Setting
    title: str
    rows: tuple[StoredRecord, ...]
    older: int

    @property
    def seeds(self) -> Seeds:
        """The seeds that every row shares."""
        return self.rows[0].record.seeds

    @property
    def truth(self) -> StoredRecord | None:
        """The row of real data, if the suite has one."""
        return next((r for r in self.rows if r.record.role == "truth"), None)

    @property
    def schemes(self) -> tuple[StoredRecord, ...]:
        """The rows of the table without the truth: what is compared."""
        return tuple(r for r in self.rows if r.record.role == "table")

    @property
    def table_rows(self) -> tuple[StoredRecord, ...]:
        """Truth and schemes, in suite order."""
        return tuple(r for r in self.rows if r.record.role != "curve")

    @property
    def displays(self) -> dict[str, Display]:
        """How each metric is shown, in the order in which the records name them."""
        found: dict[str, Display] = {}
        for row in (*self.schemes, *self.rows):
            for name, result in row.record.metrics.items():
                found.setdefault(name, result.display)
        return found


def group_records(records: Iterable[StoredRecord]) -> list[Group]:
    """Split records into tables; different seeds or numbers of images never meet in one.

    The truth does not depend on device, engine or precision, so it joins every table of its
    suite and seeds. Where a row was run more than once on one machine, the newest counts; where
    machines ran the same row, each has a table of its own.
    """
    truths: dict[tuple[str, tuple[int, int, int]], list[StoredRecord]] = defaultdict(list)
    rows: dict[Setting, list[StoredRecord]] = defaultdict(list)
    for record in records:
        setting = _setting(record)
        if record.record.role == "truth":
            truths[setting.suite, setting.seeds].append(record)
        else:
            rows[setting].append(record)
    split = {s: r for setting, found in rows.items() for s, r in _by_machine(setting, found)}
    lonely = set(truths) - {(s.suite, s.seeds) for s in split}
    for key in lonely:
        split[_setting(truths[key][0])] = []
    groups = [_group(s, [*truths.get((s.suite, s.seeds), []), *split[s]]) for s in split]
    return sorted(groups, key=lambda g: (g.setting.suite, g.setting.seeds, str(g.setting)))


def _by_machine(
    setting: Setting, records: Sequence[StoredRecord]
) -> Iterable[tuple[Setting, list[StoredRecord]]]:
    """One table, or one a machine where two of them ran the same row."""
    made: dict[str, list[StoredRecord]] = defaultdict(list)
    for record in records:
        made[machine(record.record)].append(record)
    rows = [{r.record.row for r in found} for found in made.values()]
    if sum(map(len, rows)) == len(set().union(*rows)):
        yield setting, list(records)
        return
    for name, found in made.items():
        yield replace(setting, machine=name), found


def newest(records: Sequence[StoredRecord]) -> StoredRecord:
    """The record that was made last; the path decides between equal times."""
    return max(records, key=lambda r: (_time(r), str(r.path)))


def _group(setting: Setting, records: Sequence[StoredRecord]) -> Group:
    by_row: dict[str, list[StoredRecord]] = defaultdict(list)
    for record in records:
        by_row[record.record.row].append(record)
    kept = [newest(same) for same in by_row.values()]
    kept.sort(key=lambda r: (r.record.order, r.record.row))
    return Group(
        setting=setting,
        title=kept[0].record.suite_title,
        rows=tuple(kept),
        older=len(records) - len(kept),
    )


def _setting(stored: StoredRecord) -> Setting:
    record = stored.record
    return Setting(
        suite=record.suite,
        seeds=(record.seeds.first, record.seeds.num_per_repeat, record.seeds.repeats),
        device=record.cost.device,
        engine=record.cost.engine,
        precision=record.cost.precision,
    )


def _time(stored: StoredRecord) -> datetime:
    """When the record was made; one that does not say is the oldest."""
    try:
        time = datetime.fromisoformat(str(stored.record.environment.get("time")))
    except ValueError:
        return datetime.min.replace(tzinfo=UTC)
    return time if time.tzinfo else time.replace(tzinfo=UTC)
