"""Pairing, verdicts and words of the gate on synthetic runs.

Shapes: N seeds.
"""

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from guidebench.base import UserError
from guidebench.reports import RecordError
from guidebench.reports.gate.baseline import Baseline, packed, unpacked, write_baseline
from guidebench.reports.gate.changes import Change, Moved
from guidebench.reports.gate.judge import Finding, Rule, holm, judge, judged, p_value
from guidebench.reports.gate.pairing import changed_fields
from guidebench.reports.gate.words import next_look, sensitivity, sentence
from guidebench.reports.record import Display, Record
from guidebench.reports.store import StoredRecord

from .synthetic import Row, write_simple

RATE = Display(label="Agreement", better="higher", percent=True)
DISTANCE = Display(label="Distance", better="lower")


def draws(seed: int, num: int = 400) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(num) + 10


def run(out: Path, name: str, samples_N: np.ndarray, display: Display = DISTANCE) -> StoredRecord:
    row = Row(row=name, title=f"Scheme {name}", order=ord(name[0]), calls={"main": 63})
    return write_simple(out, row, samples_N, display=display)


def remade(stored: StoredRecord, **fields: object) -> StoredRecord:
    return StoredRecord(path=stored.path, record=stored.record.model_copy(update=fields))


def other(stored: StoredRecord) -> StoredRecord:
    """The same numbers from other samples."""
    return remade(stored, samples_sha256="0" * 64)


@pytest.fixture
def accepted(tmp_path: Path) -> Baseline:
    rows = [run(tmp_path / "old", name, draws(i)) for i, name in enumerate("abc")]
    return write_baseline(rows, tmp_path / "baseline.json", "first")


def now(out: Path, **samples: np.ndarray) -> list[StoredRecord]:
    """Rows a, b, c with the accepted samples, or with those given."""
    made = {name: draws(i) for i, name in enumerate("abc")} | samples
    return [
        other(run(out / "new", n, x)) if n in samples else run(out / "new", n, x)
        for n, x in made.items()
    ]


def verdicts(found: list[Finding]) -> dict[str, str]:
    return {f.change.row: f.verdict for f in found}


def test_the_same_samples_pass_without_a_test(accepted: Baseline, tmp_path: Path) -> None:
    found = judge(now(tmp_path), accepted, Rule())
    assert set(verdicts(found).values()) == {"identical"}
    assert not any(f.failed for f in found)
    assert {f.tests for f in found} == {0}


def test_a_shift_far_below_the_unpaired_error_is_caught(accepted: Baseline, tmp_path: Path) -> None:
    """+2 % in every seed: paired certainty, though each side's error is 0.5 %."""
    noise = 0.1 * np.random.default_rng(9).standard_normal(400)
    found = judge(now(tmp_path, b=draws(1) * 1.02 + noise), accepted, Rule())
    assert verdicts(found) == {"a": "identical", "b": "worse", "c": "identical"}
    (worse,) = [f for f in found if f.failed]
    assert worse.change.moved.correlation == pytest.approx(0.995, abs=0.003)
    assert worse.change.moved.error < 0.2 * worse.change.moved.before_error
    assert "worse beyond the noise, +0.2" in sentence(worse)
    assert sentence(worse).endswith("No setting changed, so the code did.")


def test_errors_are_those_of_each_side_and_of_the_paired_difference(
    accepted: Baseline, tmp_path: Path
) -> None:
    before_N, after_N = draws(1), 0.7 * draws(1) + 0.5 * draws(8)
    found = judge(now(tmp_path, b=after_N), accepted, Rule())
    (moved,) = [f.change.moved for f in found if f.change.row == "b"]
    errors = [float(np.std(x, ddof=1)) / 20 for x in (before_N, after_N, after_N - before_N)]
    assert [moved.before_error, moved.after_error, moved.error] == pytest.approx(errors, rel=1e-5)
    assert moved.change == pytest.approx(float(after_N.mean() - before_N.mean()))


def test_a_fall_is_better_and_passes(accepted: Baseline, tmp_path: Path) -> None:
    found = judge(now(tmp_path, b=draws(1) * 0.98), accepted, Rule())
    assert verdicts(found)["b"] == "better"
    assert not any(f.failed for f in found)


def test_surely_worse_but_surely_below_the_margin_passes(
    accepted: Baseline, tmp_path: Path
) -> None:
    found = judge(now(tmp_path, b=draws(1) * 1.002), accepted, Rule())
    assert verdicts(found)["b"] == "no worse"
    (finding,) = [f for f in found if f.change.row == "b"]
    assert "worse, but by less than the margin" in sentence(finding)
    assert verdicts(judge(now(tmp_path, b=draws(1) * 1.002), accepted, Rule(margin=0.001)))[
        "b"
    ] == "worse"  # fmt: skip


def test_other_seeds_luck_is_inconclusive_and_says_what_next(tmp_path: Path) -> None:
    """Three sets are planned; each look has its own seeds, and the second pair of sets helps."""
    sets = [run(tmp_path / "old" / str(i), "a", draws(i)) for i in range(2)]
    second = remade(sets[1], seeds=sets[1].record.seeds.model_copy(update={"first": 400}))
    baseline = write_baseline([sets[0], second], tmp_path / "baseline.json", "two sets")
    assert baseline.looks == 2
    rule = Rule(looks=2)
    new = other(run(tmp_path / "new", "a", draws(7)))
    found = judge([new], baseline, rule)
    assert verdicts(found) == {"a": "inconclusive"}
    assert next_look(found, baseline) == [
        "look again on the next seeds: guidebench run simple::a --num 400 --seeds 400"
    ]
    more = other(run(tmp_path / "more", "a", draws(5)))
    found = judge([new, remade(more, seeds=second.record.seeds)], baseline, rule)
    assert found[0].change.sets == 2
    assert found[0].change.num_images == 800
    (words,) = next_look(found, baseline)
    assert words.startswith("every planned look at simple::a is spent")


def test_a_failed_look_stands_whatever_comes_after() -> None:
    def change(harm: float) -> Change:
        moved = Moved(before=10, after=10 + harm, before_error=1, after_error=1, error=1.0)
        return Change(suite="s", row="r", runs_as="s::r", title="r", metric="m",
                      display=DISTANCE, moved=moved, num_images=2, sets=1,
                      margin=0.1, same_samples=False, differs=(),
                      spread=None, apart=None)  # fmt: skip

    looks = [[change(9.0)], [change(-9.0)]]
    (found,) = judged(lambda look: looks[look - 1], 2, Rule(looks=2))
    assert (found.verdict, found.change.harm) == ("worse", 9.0)


def test_level_is_spent_over_looks_and_rows() -> None:
    """z = 2.5 fails one test at 1 % and one look, not one of three looks."""
    moved = Moved(before=10, after=12.5, before_error=1, after_error=1, error=1.0)
    change = Change(suite="s", row="r", runs_as="s::r", title="r", metric="m",
                    display=DISTANCE, moved=moved, num_images=2, sets=1,
                    margin=0.1, same_samples=False, differs=(),
                    spread=None, apart=None)  # fmt: skip
    assert judged(lambda _: [change], 1, Rule())[0].verdict == "worse"
    assert judged(lambda _: [change], 1, Rule(looks=3))[0].verdict == "inconclusive"
    calm = dataclasses.replace(change, moved=dataclasses.replace(moved, after=10.0))
    assert judged(lambda _: [change] + [calm] * 20, 1, Rule())[0].verdict == "inconclusive"


def test_higher_is_better_turns_the_test_round(tmp_path: Path) -> None:
    shares = (np.random.default_rng(0).uniform(size=400) < 0.9).astype(float)
    baseline = write_baseline(
        [run(tmp_path / "old", "a", shares, display=RATE)], tmp_path / "baseline.json", "first"
    )
    worse = shares * (np.random.default_rng(1).uniform(size=400) < 0.9)
    (found,) = judge([other(run(tmp_path / "new", "a", worse, display=RATE))], baseline, Rule())
    assert found.verdict == "worse"
    assert "agreement: 87.5 %" in sentence(found)
    assert "a fall of agreement by" in sensitivity([found])[0]


def test_no_noise_means_any_harm_above_the_margin_is_real(
    accepted: Baseline, tmp_path: Path
) -> None:
    found = judge(now(tmp_path, b=draws(1) + 0.2), accepted, Rule())
    (exact,) = [f for f in found if f.change.row == "b"]
    assert exact.change.moved.error < 1e-6  # float32 rounding of the baseline
    assert exact.verdict == "worse"
    assert p_value(1e-9, 0.0) == 0.0
    assert p_value(0.0, 0.0) == 1.0


def test_equal_samples_with_another_number_are_the_measurement(
    accepted: Baseline, tmp_path: Path
) -> None:
    new = now(tmp_path)
    result = new[0].record.metrics["score"]
    moved = result.model_copy(update={"value": result.value + result.standard_error})
    found = judge([remade(new[0], metrics={"score": moved}), *new[1:]], accepted, Rule())
    assert verdicts(found)["a"] == "remeasured"
    assert [f.failed for f in found] == [True, False, False]
    assert "the measurement itself changed" in sentence(found[0])
    rounded = result.model_copy(update={"value": result.value + 1e-4 * result.standard_error})
    found = judge([remade(new[0], metrics={"score": rounded}), *new[1:]], accepted, Rule())
    assert verdicts(found)["a"] == "identical"


def test_missing_rows_name_the_command(accepted: Baseline, tmp_path: Path) -> None:
    with pytest.raises(RecordError, match=r"has simple::a, the records do not; run `guidebench r"):
        judge(now(tmp_path)[1:], accepted, Rule())


def changed(record: Record, field: str, value: object) -> dict[str, object]:
    """Fields of a record with one field of its metric, or its own, replaced."""
    if field in {"labels", "seeds", "cost"}:
        return {field: value}
    result = record.metrics["score"].model_copy(update={field: value})
    return {"metrics": {"score": result}}


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("num_images", 7, r"metrics\.score\.num_images is 7, there it is 400"),
        ("reference", None, r"metrics\.score\.reference\.sha256 is None, there it is [0-9a-f]{64}"),
        ("display", RATE, r"metrics\.score\.display\.better is higher, there it is lower"),
        ("labels", "balanced", r"labels is balanced, there it is uniform"),
    ],
)
def test_what_cannot_be_compared_is_refused_by_name(
    accepted: Baseline, tmp_path: Path, field: str, value: object, message: str
) -> None:
    new = now(tmp_path)
    new[0] = remade(new[0], **changed(new[0].record, field, value))
    with pytest.raises(RecordError, match=message):
        judge(new, accepted, Rule())


def test_another_device_and_other_seeds_are_refused(accepted: Baseline, tmp_path: Path) -> None:
    new = now(tmp_path)
    cost = new[0].record.cost.model_copy(update={"device": "cuda"})
    with pytest.raises(RecordError, match=r"cost\.device is cuda, there it is AMD"):
        judge([remade(new[0], cost=cost), *new[1:]], accepted, Rule())
    seeds = new[0].record.seeds.model_copy(update={"first": 9})
    with pytest.raises(RecordError, match=r"seeds is first=9 .* there it is first=0"):
        judge([remade(new[0], seeds=seeds), *new[1:]], accepted, Rule())
    with pytest.raises(RecordError, match=r"has no score, the baseline has it"):
        judge([remade(new[0], metrics={}), *new[1:]], accepted, Rule())


def test_a_record_of_the_accepted_seeds_is_preferred(accepted: Baseline, tmp_path: Path) -> None:
    new = now(tmp_path)
    later = new[0].record.environment | {"time": "2030-01-01T00:00:00+00:00"}
    seeds = new[0].record.seeds.model_copy(update={"first": 9})
    stray = remade(new[0], environment=later, seeds=seeds)
    assert set(verdicts(judge([stray, *new], accepted, Rule())).values()) == {"identical"}


def test_what_the_change_set_otherwise_is_told(accepted: Baseline, tmp_path: Path) -> None:
    new = now(tmp_path, b=draws(1) * 1.02)
    new[1] = remade(new[1], scheme={"name": "b", "w": 1.575}, sampler={"name": "heun", "steps": 16})
    (finding,) = [f for f in judge(new, accepted, Rule()) if f.failed]
    text = sentence(finding)
    assert "Settings that changed: " in text
    assert "sampler.steps 32 → 16" in text
    assert "scheme.w None → 1.575" in text
    assert changed_fields(new[0].record, new[0].record) == ()


def test_bad_rates_are_refused() -> None:
    with pytest.raises(UserError, match="false-alarm rate must be above 0"):
        Rule(alpha=0.0)
    with pytest.raises(UserError, match="margin is a share"):
        Rule(margin=1.0)


def test_holm_is_stepwise() -> None:
    assert holm([0.02, 0.01, 0.2], 0.03) == [False, True, False]
    assert holm([0.015, 0.01, 0.03], 0.03) == [True, True, True]
    assert holm([], 0.01) == []


def test_triangles_keep_the_matrix() -> None:
    a = np.random.default_rng(3).standard_normal((5, 9))
    np.testing.assert_allclose(unpacked(packed(a @ a.T), 5), a @ a.T, rtol=1e-6)
