from pathlib import Path

import numpy as np
import pytest

from guidebench.reports.groups import group_records
from guidebench.reports.store import StoredRecord

from .synthetic import Row, write_simple

RNG = np.random.default_rng(0)


def run(
    out: Path, row: str, *, count: int = 50, time: str = "2026-11-22T10:00:00", order: int = 1
) -> StoredRecord:
    made = Row(row=row, title=row, order=order, calls={"main": 1}, time=time)
    return write_simple(out, made, RNG.standard_normal(count))


def changed(stored: StoredRecord, **cost: str) -> StoredRecord:
    record = stored.record
    new = record.model_copy(update={"cost": record.cost.model_copy(update=cost)})
    return StoredRecord(path=stored.path, record=new)


def test_suite_order(tmp_path: Path) -> None:
    records = [run(tmp_path, "b", order=2), run(tmp_path, "a", order=3), run(tmp_path, "c")]
    (group,) = group_records(records)
    assert [r.record.row for r in group.rows] == ["c", "b", "a"]


def test_numbers_of_images_never_meet(tmp_path: Path) -> None:
    groups = group_records([run(tmp_path, "a", count=50), run(tmp_path, "b", count=60)])
    assert [len(g.rows) for g in groups] == [1, 1]


@pytest.mark.parametrize("field", ["device", "engine", "precision"])
def test_settings_never_meet(tmp_path: Path, field: str) -> None:
    first, second = run(tmp_path, "a"), changed(run(tmp_path, "b"), **{field: "other"})
    assert len(group_records([first, second])) == 2


def test_newest_counts_whatever_the_time_zone(tmp_path: Path) -> None:
    old = run(tmp_path, "a", time="2026-11-22T11:30:00+02:00")
    new = run(tmp_path, "a", time="2026-11-22T10:00:00+00:00")
    unknown = run(tmp_path, "a", time="last week")
    (group,) = group_records([new, unknown, old])
    assert group.rows == (new,)
    assert group.older == 2


def test_truth_joins_every_setting(fractal: list[StoredRecord]) -> None:
    truth = next(r for r in fractal if r.record.role == "truth")
    schemes = [r for r in fractal if r.record.role == "table"]
    faster = [changed(r, engine="compiled") for r in schemes]
    groups = group_records([changed(truth, engine="none"), *schemes, *faster])
    assert [g.setting.engine for g in groups] == ["compiled", "eager"]
    assert all(g.truth is not None for g in groups)
    assert all(len(g.schemes) == 5 for g in groups)


def test_truth_alone_is_a_group(fractal: list[StoredRecord]) -> None:
    (group,) = group_records([r for r in fractal if r.record.role == "truth"])
    assert group.truth is group.rows[0]
    assert group.schemes == ()
