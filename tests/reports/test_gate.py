import json
from pathlib import Path

import numpy as np
import pytest

from guidebench.base import UserError
from guidebench.reports import RecordError
from guidebench.reports.gate import (
    ALPHA,
    Baseline,
    Finding,
    findings,
    holm,
    read_baseline,
    sensitivity,
    write_baseline,
)
from guidebench.reports.store import StoredRecord


def accepted(records: list[StoredRecord]) -> Baseline:
    return Baseline(reason="first", records=tuple(r.record for r in records))


def moved(stored: StoredRecord, shift: dict[str, float], *, samples: str = "other") -> StoredRecord:
    """The record with each named metric moved by so many of its standard errors."""
    metrics = {
        name: result.model_copy(
            update={"value": result.value + shift.get(name, 0.0) * result.standard_error}
        )
        for name, result in stored.record.metrics.items()
    }
    fields = {"metrics": metrics, "samples_sha256": samples}
    return StoredRecord(path=stored.path, record=stored.record.model_copy(update=fields))


def changed_metric(stored: StoredRecord, **fields: object) -> StoredRecord:
    metrics = {
        name: result.model_copy(update=fields) for name, result in stored.record.metrics.items()
    }
    record = stored.record.model_copy(update={"metrics": metrics})
    return StoredRecord(path=stored.path, record=record)


def verdicts(found: list[Finding]) -> dict[str, str]:
    return {f"{f.row}/{f.metric}": f.verdict for f in found if f.verdict != "unchanged"}


def test_same_samples_pass(digits: list[StoredRecord]) -> None:
    found = findings(digits, accepted(digits))
    assert {f.verdict for f in found} == {"identical"}
    assert len(found) == 2 * len(digits)
    assert "nearest_is_training" not in {f.metric for f in found}


def test_regression_fails_and_says_so(digits: list[StoredRecord]) -> None:
    new = [moved(r, {"fd_digits": 12.0} if r.record.row == "cfg" else {}) for r in digits]
    found = findings(new, accepted(digits))
    assert verdicts(found) == {"cfg/fd_digits": "worse"}
    (failed,) = [f for f in found if f.failed]
    assert failed.sentence.startswith("digits::cfg: FD (digits): 11.78 ± 0.41 before, 16.7")
    assert "worse beyond the noise" in failed.sentence


def test_higher_is_better_turns_the_test_round(digits: list[StoredRecord]) -> None:
    new = [moved(r, {"agreement": -12.0} if r.record.row == "cfg" else {}) for r in digits]
    assert verdicts(findings(new, accepted(digits))) == {"cfg/agreement": "worse"}


def test_improvement_is_told_but_passes(digits: list[StoredRecord]) -> None:
    new = [moved(r, {"fd_digits": -12.0} if r.record.row == "cfg" else {}) for r in digits]
    found = findings(new, accepted(digits))
    assert verdicts(found) == {"cfg/fd_digits": "better"}
    assert not any(f.failed for f in found)


def test_noise_passes(digits: list[StoredRecord]) -> None:
    new = [moved(r, {"fd_digits": 1.5, "agreement": -1.5}) for r in digits]
    assert verdicts(findings(new, accepted(digits))) == {}


def test_same_samples_with_another_number_is_the_measurement(digits: list[StoredRecord]) -> None:
    same = digits[0].record.samples_sha256
    new = [moved(digits[0], {"fd_digits": 0.5}, samples=same), *digits[1:]]
    (failed,) = [f for f in findings(new, accepted(digits)) if f.failed]
    assert failed.verdict == "remeasured"
    assert "the measurement itself changed" in failed.sentence


def test_rounding_of_another_machine_is_not_a_change(digits: list[StoredRecord]) -> None:
    same = digits[0].record.samples_sha256
    new = [moved(digits[0], {"fd_digits": 1e-4}, samples=same), *digits[1:]]
    assert not any(f.failed for f in findings(new, accepted(digits)))


def test_missing_row_names_the_command(digits: list[StoredRecord]) -> None:
    gone = digits[0].name
    with pytest.raises(RecordError, match=f"the baseline has {gone}, .*`guidebench run {gone}`"):
        findings(digits[1:], accepted(digits))


def test_new_rows_are_not_looked_at(digits: list[StoredRecord]) -> None:
    found = findings(digits, accepted(digits[:1]))
    assert {f.row for f in found} == {digits[0].record.row}


def test_record_of_the_baselines_seeds_is_preferred(digits: list[StoredRecord]) -> None:
    first = digits[0]
    seeds = first.record.seeds.model_copy(update={"first": 9})
    environment = first.record.environment | {"time": "2030-01-01T00:00:00+00:00"}
    fields = {"seeds": seeds, "environment": environment}
    later = StoredRecord(path=first.path, record=first.record.model_copy(update=fields))
    assert not any(f.failed for f in findings([later, first], accepted([first])))
    with pytest.raises(RecordError, match=r"seeds is first=9 .* there it is first=0"):
        findings([later], accepted([first]))


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"num_images": 7}, "num_images is 7, there it is 2048"),
        ({"reference": None}, "reference sha256 is None, there it is [0-9a-f]{64}"),
        ({"features": None}, "features weights_sha256 is None, there it is [0-9a-f]{64}"),
    ],
)
def test_what_cannot_be_compared_is_refused(
    digits: list[StoredRecord], fields: dict[str, object], message: str
) -> None:
    with pytest.raises(RecordError, match=message):
        findings([changed_metric(digits[0], **fields)], accepted(digits[:1]))


def test_missing_metric_is_refused(digits: list[StoredRecord]) -> None:
    metrics = {"agreement": digits[0].record.metrics["agreement"]}
    record = digits[0].record.model_copy(update={"metrics": metrics})
    new = StoredRecord(path=digits[0].path, record=record)
    with pytest.raises(RecordError, match="has no fd_digits, the baseline has it"):
        findings([new], accepted(digits[:1]))


def test_no_noise_means_any_harm_is_real(digits: list[StoredRecord]) -> None:
    exact = changed_metric(digits[0], standard_error=0.0, value=0.5)
    worse = moved(changed_metric(exact, value=0.500001), {})
    assert verdicts(findings([worse], accepted([exact]))) == {
        f"{exact.record.row}/fd_digits": "worse",
        f"{exact.record.row}/agreement": "better",
    }


def test_sensitivity_is_a_sentence_for_each_metric(digits: list[StoredRecord]) -> None:
    found = findings(digits, accepted(digits))
    sentences = sensitivity(found)
    assert len(sentences) == 2
    assert sentences[0].startswith("digits: a rise of FD (digits) by ")
    assert sentences[1].startswith("digits: a fall of label agreement by ")
    assert " % or more in any one row would have been caught" in sentences[1]


def simulate(
    records: list[StoredRecord], trials: int, harm: float, seed: int
) -> tuple[float, float]:
    """Share of gates with any alarm, and share that catch `harm` (in detectable units)."""
    rng = np.random.default_rng(seed)
    alarms = caught = 0
    baseline = accepted(records)
    unit = findings([moved(r, {}) for r in records], baseline)[0]
    shift = harm * unit.detectable / unit.before.standard_error
    for _ in range(trials):
        before = [moved(r, dict(zip(r.record.metrics, rng.normal(size=3), strict=True)))
                  for r in records]  # fmt: skip
        after = [moved(r, dict(zip(r.record.metrics, rng.normal(size=3), strict=True)), samples="x")
                 for r in records]  # fmt: skip
        after[0] = moved(after[0], {"fd_digits": shift}, samples="x")
        failed = {(f.row, f.metric) for f in findings(after, accepted(before)) if f.failed}
        alarms += bool(failed - ({(records[0].record.row, "fd_digits")} if harm else set()))
        caught += (records[0].record.row, "fd_digits") in failed
    return alarms / trials, caught / trials


def test_false_alarms_are_as_rare_as_promised(digits: list[StoredRecord]) -> None:
    """1,500 gates of 5 rows and 2 metrics where nothing changed; seed 11; 3 SE above 1 %."""
    alarms, _ = simulate(digits[:5], 1500, 0.0, seed=11)
    assert 0.002 < alarms < ALPHA + 3 * (ALPHA / 1500) ** 0.5


def test_detectable_harm_is_caught_nine_times_in_ten(digits: list[StoredRecord]) -> None:
    """400 gates in which one row is worse by what the gate says it detects; seed 12."""
    _, caught = simulate(digits[:5], 400, 1.0, seed=12)
    assert caught == pytest.approx(0.9, abs=0.045)


def test_holm_is_stepwise() -> None:
    assert holm([0.02, 0.01, 0.2], 0.03) == [False, True, False]
    assert holm([0.015, 0.01, 0.03], 0.03) == [True, True, True]
    assert holm([], 0.01) == []


def test_baseline_survives_the_file(digits: list[StoredRecord], tmp_path: Path) -> None:
    path = tmp_path / "baseline.json"
    write_baseline(digits, path, "accepted after review")
    found = read_baseline(path)
    assert found.reason == "accepted after review"
    assert {r.row: r for r in found.records} == {r.record.row: r.record for r in digits}
    assert json.loads(path.read_text(encoding="utf-8"))["format"] == 1


def test_baseline_needs_reason_records_and_single_rows(
    digits: list[StoredRecord], tmp_path: Path
) -> None:
    path = tmp_path / "baseline.json"
    with pytest.raises(UserError, match="needs a reason"):
        write_baseline(digits, path, "  ")
    with pytest.raises(UserError, match="no records to accept"):
        write_baseline([], path, "x")
    with pytest.raises(UserError, match="holds each row once"):
        write_baseline([digits[0], digits[0]], path, "x")
    assert not path.exists()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"format": 1, "reas', "is not readable as a baseline"),
        ("[]", "baseline format None, this version reads 1"),
        ('{"format": 2}', "baseline format 2, this version reads 1"),
        ('{"format": 1, "records": []}', "reason: Field required"),
        ('{"format": 1, "reason": "", "records": [{"format": 3}]}', "records.0 has record format"),
    ],
)
def test_broken_baselines(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "baseline.json"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(RecordError, match=message):
        read_baseline(path)
