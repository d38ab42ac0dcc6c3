"""The gate's arithmetic, each rule by itself: levels, margins, looks, and what is told.

Shapes: N seeds.
"""

import dataclasses
from pathlib import Path
from statistics import NormalDist

import numpy as np
import pytest

from guidebench.reports.gate.baseline import Baseline, write_baseline
from guidebench.reports.gate.changes import Change, Moved
from guidebench.reports.gate.judge import Finding, Rule, judge, judged
from guidebench.reports.gate.speed import SpeedFinding
from guidebench.reports.record import Display, FeatureSource, RecordError
from guidebench.reports.store import StoredRecord

from .test_gate import draws, other, remade, run

Z = NormalDist().inv_cdf
CHANGE = Change(
    suite="s", row="r", runs_as="s::r", title="r", metric="m",
    display=Display(label="Distance", better="lower"),
    moved=Moved(before=10, after=10, before_error=1, after_error=1, error=1.0), num_images=2,
    sets=1, margin=0.1, same_samples=False, differs=(), spread=None, apart=None,
)  # fmt: skip


def moved_by(harm: float, *, error: float = 1.0, margin: float = 0.1) -> Change:
    moved = dataclasses.replace(CHANGE.moved, after=10 + harm, error=error)
    return dataclasses.replace(CHANGE, moved=moved, margin=margin)


def two_sets(out: Path, first: np.ndarray, second: np.ndarray) -> list[StoredRecord]:
    """One row's records at seeds 0 to 399 and 400 to 799."""
    one, two = (run(out / str(i), "a", x) for i, x in enumerate((first, second)))
    seeds = two.record.seeds.model_copy(update={"first": 400})
    return [one, remade(two, seeds=seeds)]


@pytest.fixture
def planned(tmp_path: Path) -> Baseline:
    sets = two_sets(tmp_path / "old", draws(0), draws(1))
    return write_baseline(sets, tmp_path / "baseline.json", "two sets")


def test_a_second_set_counts_in_value_and_error(planned: Baseline, tmp_path: Path) -> None:
    """Other draws at look 1 leave the row open; at look 2 both sets count, end to end."""
    after = draws(7), draws(8)
    new = [other(r) for r in two_sets(tmp_path / "new", *after)]
    (found,) = judge(new, planned, Rule(looks=2))
    moved = found.change.moved
    deltas = np.concatenate([
        (x - x.mean()) - (y - y.mean())
        for x, y in zip(after, (draws(0), draws(1)), strict=True)
    ])  # fmt: skip
    assert moved.error == pytest.approx(np.std(deltas, ddof=1) / 800**0.5, rel=1e-5)
    assert moved.after == pytest.approx(np.mean([x.mean() for x in after]))
    assert moved.before == pytest.approx(np.mean([draws(0).mean(), draws(1).mean()]))


def test_samples_are_the_same_only_where_every_set_is(planned: Baseline, tmp_path: Path) -> None:
    """A fault that shows only in later seeds is no less one."""
    same, second = two_sets(tmp_path / "new", draws(0), 1.2 * draws(1))
    (found,) = judge([same], planned, Rule(looks=2))
    assert found.verdict == "identical"
    (found,) = judge([same, other(second)], planned, Rule(looks=2))
    assert (found.verdict, found.change.sets, found.change.same_samples) == ("worse", 2, False)


def test_sets_behind_a_gap_are_not_looked_at(tmp_path: Path) -> None:
    """With the first and the third of three sets there has been one look."""

    def third(out: Path, samples_N: np.ndarray) -> StoredRecord:
        made = run(out / "2", "a", samples_N)
        return remade(made, seeds=made.record.seeds.model_copy(update={"first": 800}))

    old = [*two_sets(tmp_path / "old", draws(0), draws(1)), third(tmp_path / "old", draws(2))]
    baseline = write_baseline(old, tmp_path / "baseline.json", "three sets")
    assert baseline.looks == 3
    first, _ = two_sets(tmp_path / "new", draws(7), draws(8))
    new = [other(first), other(third(tmp_path / "new", draws(9)))]
    (found,) = judge(new, baseline, Rule(looks=3))
    assert (found.change.sets, found.verdict) == (1, "inconclusive")


@pytest.mark.parametrize(
    ("field", "value"),
    [("name", "inception"), ("weights_sha256", "1" * 64), ("resize", "area"),
     ("precision", "fp16"), ("tf32", True)],
)  # fmt: skip
def test_other_features_are_refused_by_the_fields_name(
    tmp_path: Path, field: str, value: object
) -> None:
    features = FeatureSource(name="dinov2-vitl14", weights_sha256="0" * 64, resize="bicubic",
                             precision="fp32", tf32=False)  # fmt: skip

    def measured(out: Path, source: FeatureSource) -> StoredRecord:
        made = run(out, "a", draws(0))
        result = made.record.metrics["score"].model_copy(update={"features": source})
        return remade(made, metrics={"score": result})

    old = measured(tmp_path / "old", features)
    baseline = write_baseline([old], tmp_path / "baseline.json", "x")
    new = measured(tmp_path / "new", features.model_copy(update={field: value}))
    with pytest.raises(RecordError, match=rf"metrics\.score\.features\.{field} is {value}, there"):
        judge([new], baseline, Rule())


def test_the_newest_record_of_a_set_counts(tmp_path: Path) -> None:
    baseline = write_baseline(
        [run(tmp_path / "old", "a", draws(0))], tmp_path / "baseline.json", "x"
    )
    made = [other(run(tmp_path / n, "a", 1.2 * draws(0))) for n in ("first", "second")]
    dated = [
        remade(r, environment=r.record.environment | {"time": f"20{year}-01-01T00:00:00+00:00"})
        for r, year in zip(made, (30, 31), strict=True)
    ]
    later = remade(
        dated[1], samples_sha256=run(tmp_path / "x", "a", draws(0)).record.samples_sha256
    )
    for records in ([dated[0], later], [later, dated[0]]):
        (found,) = judge(records, baseline, Rule())
        assert found.verdict == "remeasured"  # the later one's samples are the accepted ones


def race(mean: float) -> SpeedFinding:
    """Twelve pairs of which the mean log ratio is `mean` standard errors, each 0.01."""
    pattern = np.arange(12) - 5.5
    pattern *= 0.01 * 12**0.5 / pattern.std(ddof=1)
    return SpeedFinding(log_ratios=tuple(pattern + 0.01 * mean), margin=0.0)


def test_a_race_is_decided_at_the_one_sided_point_of_students_t() -> None:
    """t of 11 degrees of freedom at 99 % is 2.718; the normal's is 2.326, two-sided t 3.106."""
    assert race(0).error == pytest.approx(0.01)
    assert [race(m).verdict for m in (2.6, 2.8)] == ["inconclusive", "slower"]
    assert [race(m).verdict for m in (-2.6, -2.8)] == ["inconclusive", "faster"]
    wide = dataclasses.replace(race(-2.6), margin=0.5)
    assert wide.verdict == "no slower"  # surely within the margin, not surely faster
    assert race(0).detectable == pytest.approx(np.expm1(0.01 * (2.718 + 1.363)), rel=1e-3)


def test_the_longest_row_plans_the_looks(tmp_path: Path) -> None:
    rows = [*two_sets(tmp_path / "old", draws(0), draws(1)), run(tmp_path / "old", "b", draws(2))]
    assert write_baseline(rows, tmp_path / "baseline.json", "x").looks == 2


def test_the_margin_is_a_share_of_the_accepted_value_or_of_the_noise_floor(tmp_path: Path) -> None:
    def margin(floor: float | None) -> float:
        old = run(tmp_path / f"old {floor}", "a", draws(0))
        result = old.record.metrics["score"].model_copy(update={"noise_floor": floor})
        old = remade(old, metrics={"score": result})
        baseline = write_baseline([old], tmp_path / "baseline.json", "x")
        new = other(run(tmp_path / f"new {floor}", "a", 2 * draws(0)))
        return judge([new], baseline, Rule(margin=0.02))[0].change.margin

    assert margin(None) == pytest.approx(0.02 * draws(0).mean())
    assert margin(1.0) == pytest.approx(0.02 * draws(0).mean())
    assert margin(50.0) == pytest.approx(0.02 * 50)


def test_better_needs_the_test_too() -> None:
    def verdict(harm: float) -> str:
        return judged(lambda _: [moved_by(harm, margin=9.0)], 1, Rule())[0].verdict

    assert verdict(-1.0) == "no worse"
    assert verdict(-3.0) == "better"
    assert verdict(1.0) == "no worse"


def test_a_row_decided_at_an_earlier_look_lends_the_others_nothing() -> None:
    """At look 2 Holm still counts it, at p = 1: the open row is tested at half the level."""
    between = -Z(0.005 * 0.75)  # rejected at 0.5 %, not at 0.25 %
    looks = [[moved_by(9.0), moved_by(0.0)], [moved_by(9.0), moved_by(between)]]
    found = judged(lambda look: looks[look - 1], 2, Rule(looks=2))
    assert [f.verdict for f in found] == ["worse", "inconclusive"]


@pytest.mark.parametrize(("tests", "looks"), [(1, 1), (8, 1), (8, 3)])
def test_what_is_told_to_be_caught_asks_for_the_level_of_holms_first_step(
    tests: int, looks: int
) -> None:
    """With a constant error: z of the level a test has, and z of the power."""
    moved = Moved(before=0, after=0, before_error=2, after_error=2, error=0.5)
    expected = (-Z(0.01 / looks / tests) + Z(0.9)) * 0.5
    assert Rule(looks=looks).detectable(moved, tests) == pytest.approx(expected)


def test_the_error_grows_with_the_harm_in_what_is_told() -> None:
    """Variance in proportion to the distance: at 4 times the distance twice the spread."""
    moved = Moved(before=10, after=10, before_error=1, after_error=1, error=2**0.5)
    assert moved.error_at(30) == pytest.approx(5**0.5)


def test_the_diversity_number_has_noise_of_its_own() -> None:
    number = Moved(before=1, after=4, before_error=1, after_error=1, error=1)
    assert Rule().moved(number, 1)
    assert Rule().moved(dataclasses.replace(number, after=-2), 1)
    assert not Rule().moved(number, 20)
    assert not Rule().moved(
        dataclasses.replace(number, after=3.4), 1
    )  # z = 2.58 at 1 %, both sides


def test_the_bound_of_a_pass_has_the_level_of_a_look() -> None:
    def upper(rule: Rule) -> float:
        return Finding(change=CHANGE, verdict="inconclusive", rule=rule, tests=9).upper

    assert upper(Rule()) == pytest.approx(-Z(0.01))
    assert upper(Rule(looks=3)) == pytest.approx(-Z(0.01 / 3))
