import math
from pathlib import Path

import numpy as np
import pytest

from guidebench.reports import RecordError
from guidebench.reports.compare import best_row, difference, differences, rank
from guidebench.reports.groups import group_records
from guidebench.reports.record import Display
from guidebench.reports.store import StoredRecord

from .synthetic import SIMPLE, Floats, Row, metric, write_simple

RNG = np.random.default_rng(0)
SHARED_N = RNG.standard_normal(400)
HIGHER = Display(label="Score", better="higher")


def run(
    out: Path,
    row: str,
    samples_N: Floats,
    *,
    display: Display = SIMPLE,
    reference: str = "reference",
    title: str = "",
) -> StoredRecord:
    made = Row(row=row, title=title or row, order=1, calls={"main": 1})
    return write_simple(out, made, samples_N, display=display, reference=reference)


def nearly(mean: float) -> Floats:
    """Samples that share nearly all of their noise, as equal seeds do."""
    return mean + SHARED_N + 0.1 * RNG.standard_normal(400)


def test_paired_error_is_that_of_the_differences(tmp_path: Path) -> None:
    a_N, b_N = nearly(0.0), nearly(1.0)
    found = difference(run(tmp_path, "a", a_N), run(tmp_path, "b", b_N), "score")
    assert found.paired
    assert found.value == pytest.approx((a_N - b_N).mean(), rel=1e-12)
    assert found.standard_error == pytest.approx((a_N - b_N).std(ddof=1) / 20, rel=1e-12)


def test_other_number_of_seeds_is_not_paired(tmp_path: Path) -> None:
    a, b = run(tmp_path, "a", nearly(0.0)), run(tmp_path, "b", nearly(0.0)[:300])
    with pytest.raises(RecordError, match="images 400 against 300"):
        difference(a, b, "score")


def test_other_seeds_are_not_paired(tmp_path: Path) -> None:
    a, b = run(tmp_path, "a", nearly(0.0)), run(tmp_path, "b", nearly(0.0))
    seeds = b.record.seeds.model_copy(update={"first": 400})
    moved = StoredRecord(path=b.path, record=b.record.model_copy(update={"seeds": seeds}))
    found = difference(a, moved, "score")
    errors = [r.record.metrics["score"].standard_error for r in (a, moved)]
    assert not found.paired
    assert found.standard_error == pytest.approx(math.hypot(*errors), rel=1e-12)


def in_memory(like: StoredRecord, samples_N: Floats) -> StoredRecord:
    """A record of these samples that lies in no folder."""
    value = float(samples_N.mean())
    result = metric(samples_N, value, SIMPLE)
    result = result.model_copy(update={"reference": like.record.metrics["score"].reference})
    made = StoredRecord(
        path=like.path, record=like.record.model_copy(update={"metrics": {"score": result}})
    )
    made.__dict__["_influences"] = {"score": samples_N - value}
    return made


def test_interval_covers_as_often_as_it_says(tmp_path: Path) -> None:
    """Of 600 paired differences of equal rows, 95 % +- 2.7 % (3 SE) hold 0; seed 7."""
    rng = np.random.default_rng(7)
    like = run(tmp_path, "a", SHARED_N)
    held = []
    for _ in range(600):
        shared_N = rng.standard_normal(200)
        a, b = (in_memory(like, shared_N + rng.standard_normal(200)) for _ in range(2))
        held.append(not difference(a, b, "score").separable)
    assert abs(np.mean(held) - 0.95) < 0.027


def test_different_references_are_refused(tmp_path: Path) -> None:
    a, b = run(tmp_path, "a", nearly(0)), run(tmp_path, "b", nearly(0), reference="other")
    with pytest.raises(RecordError, match=r"cannot be compared on score: reference .* against"):
        difference(a, b, "score")


def test_missing_metric_names_what_is_there(tmp_path: Path) -> None:
    a = run(tmp_path, "a", nearly(0))
    with pytest.raises(RecordError, match="has no fid, it has score"):
        difference(a, a, "fid")


def test_differences_covers_shared_metrics(fractal: list[StoredRecord]) -> None:
    none, cfg = (next(r for r in fractal if r.record.row == n) for n in ("none", "cfg"))
    assert [d.metric for d in differences(none, cfg)] == list(none.record.metrics)


@pytest.mark.parametrize(("display", "best"), [(SIMPLE, "a"), (HIGHER, "c")])
def test_best_is_named_where_every_difference_is_separable(
    tmp_path: Path, display: Display, best: str
) -> None:
    rows = {"a": 0.0, "b": 0.2, "c": 0.4}
    records = [run(tmp_path, n, nearly(m), display=display) for n, m in rows.items()]
    (group,) = group_records(records)
    found = best_row(group, "score")
    assert found is not None
    assert found.record.row == best


def test_no_best_where_one_difference_is_open(tmp_path: Path) -> None:
    rows = {"a": SHARED_N, "b": SHARED_N + 0.1 * RNG.standard_normal(400), "c": SHARED_N + 3}
    (group,) = group_records([run(tmp_path, name, x_N) for name, x_N in rows.items()])
    assert best_row(group, "score") is None


def test_no_best_among_equal_rows_or_one_row(tmp_path: Path) -> None:
    same = [run(tmp_path, name, SHARED_N) for name in ("a", "b")]
    assert best_row(group_records(same)[0], "score") is None
    assert best_row(group_records(same[:1])[0], "score") is None


def test_no_best_where_references_differ(tmp_path: Path) -> None:
    rows = [run(tmp_path, "a", SHARED_N), run(tmp_path, "b", SHARED_N + 9, reference="other")]
    assert best_row(group_records(rows)[0], "score") is None


def test_neither_has_no_rank(tmp_path: Path) -> None:
    display = Display(label="Score", better="neither")
    rows = [run(tmp_path, n, nearly(m), display=display) for n, m in (("a", 0), ("b", 9))]
    (group,) = group_records(rows)
    assert rank(group, "score") == []
    assert best_row(group, "score") is None


def test_truth_and_curve_rows_are_never_best(fractal: list[StoredRecord]) -> None:
    (group,) = group_records(fractal)
    assert {r.record.role for r in rank(group, "outlier_rate")} == {"table"}
    found = best_row(group, "outlier_rate")
    assert found is not None
    assert found.record.row == "autoguidance"
