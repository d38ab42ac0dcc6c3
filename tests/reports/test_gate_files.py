"""Baselines on disk, and the gate's findings as other tools read them."""

import json
import xml.etree.ElementTree as ET
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from guidebench.base import UserError
from guidebench.metrics import GaussianReference, frechet, frechet_distance, moments_of
from guidebench.reports import RecordError
from guidebench.reports.gate.baseline import read_baseline, write_baseline
from guidebench.reports.gate.judge import Finding, Rule, judge
from guidebench.reports.gate.memory import MemoryFinding, judge_memory
from guidebench.reports.gate.outputs import annotations, junit
from guidebench.reports.gate.speed import SpeedFinding, judge_speed, turns
from guidebench.reports.gate.words import HEADINGS, last_line, markdown, sentence
from guidebench.reports.record import Memory, Record
from guidebench.reports.store import StoredRecord, load_record

from .synthetic import SIMPLE, Row, attachment, metric, write_run
from .test_gate import draws, now, other, remade, run


@pytest.fixture
def rows(tmp_path: Path) -> list[StoredRecord]:
    return [run(tmp_path / "old", name, draws(i)) for i, name in enumerate("abc")]


def test_a_baseline_survives_the_file(rows: list[StoredRecord], tmp_path: Path) -> None:
    path = tmp_path / "ci" / "baseline.json"
    path.parent.mkdir()
    write_baseline(rows, path, "accepted after review")
    found = read_baseline(path)
    assert (found.reason, found.looks) == ("accepted after review", 1)
    for stored in rows:
        (kept,) = found.rows["simple", stored.record.row]
        assert kept.record.metrics == stored.record.metrics
        assert kept.record.cost.batch_seconds == ()
        np.testing.assert_allclose(
            kept.influence("score"), stored.influence("score"), rtol=1e-6, atol=1e-7
        )
    one_record_a_line = [x for x in path.read_text().splitlines() if x.startswith('  {"format"')]
    assert len(one_record_a_line) == len(rows)


def test_an_update_leaves_one_file_of_arrays(rows: list[StoredRecord], tmp_path: Path) -> None:
    path = tmp_path / "baseline.json"
    write_baseline(rows, path, "first")
    write_baseline(rows[:2], path, "second")
    (arrays,) = tmp_path.glob("baseline.*.safetensors")
    assert json.loads(path.read_text())["arrays"]["file"] == arrays.name
    assert len(read_baseline(path).rows) == 2


def test_a_baseline_needs_reason_records_and_seeds_once(
    rows: list[StoredRecord], tmp_path: Path
) -> None:
    path = tmp_path / "baseline.json"
    with pytest.raises(UserError, match="needs a reason"):
        write_baseline(rows, path, "  ")
    with pytest.raises(UserError, match="no records to accept"):
        write_baseline([], path, "x")
    with pytest.raises(UserError, match="holds each seed of a row once"):
        write_baseline([rows[0], rows[0]], path, "x")
    seeds = rows[0].record.seeds
    sets = [remade(rows[0], seeds=seeds.model_copy(update={"first": 400 * i})) for i in range(4)]
    with pytest.raises(UserError, match="has 4 sets of seeds; a gate has at most 3 looks"):
        write_baseline(sets, path, "x")
    half = seeds.model_copy(update={"first": 400, "num_per_repeat": 200})
    with pytest.raises(UserError, match="sets of different size"):
        write_baseline([rows[0], remade(rows[0], seeds=half)], path, "x")
    assert not path.exists()


def test_arrays_of_another_baseline_are_refused(rows: list[StoredRecord], tmp_path: Path) -> None:
    path = tmp_path / "baseline.json"
    write_baseline(rows, path, "x")
    (arrays,) = tmp_path.glob("baseline.*.safetensors")
    arrays.write_bytes(arrays.read_bytes()[:-1] + b"!")
    with pytest.raises(RecordError, match="has another digest than"):
        read_baseline(path)
    arrays.unlink()
    with pytest.raises(RecordError, match=r"is not readable .* restore it, or make it again"):
        read_baseline(path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"format": 2, "reas', "is not readable as a baseline"),
        ("[]", "baseline format None, this version reads 2"),
        ('{"format": 1}', "baseline format 1, this version reads 2; make it again with"),
        ('{"format": 2, "records": []}', "reason: Field required"),
        ('{"format": 2, "reason": "", "records": [{"format": 3}]}', "records.0 has record format"),
    ],
)
def test_broken_baselines(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "baseline.json"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(RecordError, match=message):
        read_baseline(path)


def found(rows: list[StoredRecord], tmp_path: Path) -> tuple[list[Finding], list[MemoryFinding]]:
    """A worse row, an inconclusive one and one with the same samples, whose memory grew."""
    kept = [*rows[:2], on_gpu(rows[2], 2**30)]
    baseline = write_baseline(kept, tmp_path / "baseline.json", "x")
    new = now(tmp_path, a=draws(0) * 1.02, b=draws(11))
    new[2] = on_gpu(new[2], 2**31)
    return judge(new, baseline, Rule()), judge_memory(new, baseline)


def test_junit_counts_failures_and_never_passes_what_is_open(
    rows: list[StoredRecord], tmp_path: Path
) -> None:
    root = ET.fromstring(junit(*found(rows, tmp_path)))
    (suite,) = root
    assert suite.attrib == {
        "name": "simple", "tests": "5", "failures": "2", "errors": "1", "skipped": "1",
    }  # fmt: skip
    kinds = {
        f"{case.get('classname')}/{case.get('name')}": [child.tag for child in case]
        for case in suite
    }
    assert kinds == {
        "simple::a/score": ["failure"],
        "simple::b/score": ["error"],
        "simple::c/score": ["system-out"],
        "simple::c/peak memory": ["failure"],
        "simple/peak memory": ["skipped"],
    }


def test_annotations_are_escaped_workflow_commands(
    rows: list[StoredRecord], tmp_path: Path
) -> None:
    lines = list(annotations(*found(rows, tmp_path)))
    assert [line.split(" ")[0] for line in lines] == ["::error", "::warning", "::error"]
    assert lines[0].startswith("::error title=simple%3A%3Aa score worse::simple::a: distance: ")
    assert all("%\n" not in line and "\n" not in line for line in lines)
    assert "(1.0 %25)" in lines[1]


def test_the_table_has_a_row_for_each_that_is_not_identical(
    rows: list[StoredRecord], tmp_path: Path
) -> None:
    findings, memory = found(rows, tmp_path)
    text = markdown(findings, memory, Rule())
    table = [line for line in text.splitlines() if line.startswith("| ")]
    assert len(table) == 2 + 2
    assert {line.count("|") for line in table} == {len(HEADINGS) + 1}
    assert last_line(findings, memory, Rule()) in text
    assert "1 worse, 1 inconclusive, 1 identical; memory grew 1 times" in text
    assert "1 metrics were measured on the very samples of the baseline" in text


def test_memory_needs_a_share_and_an_amount() -> None:
    def grown(before: int, after: int) -> bool:
        return MemoryFinding(name="x", before=before, after=after).failed

    mib = 2**20
    assert not grown(100 * mib, 116 * mib)
    assert grown(100 * mib, 116 * mib + 1)
    assert not grown(10_000 * mib, 10_100 * mib)
    assert grown(10_000 * mib, 10_101 * mib)
    assert not grown(10_000 * mib, 1)


def on_gpu(stored: StoredRecord, allocated: int, **environment: str) -> StoredRecord:
    peak = Memory(allocated=allocated, reserved=None, device=None, host=1)
    cost = stored.record.cost.model_copy(update={"peak_memory_bytes": peak})
    return remade(stored, cost=cost, environment=stored.record.environment | environment)


def test_a_cpus_memory_is_told_and_not_judged(rows: list[StoredRecord], tmp_path: Path) -> None:
    baseline = write_baseline(rows, tmp_path / "baseline.json", "x")
    (finding,) = judge_memory(rows, baseline)
    assert not finding.failed
    assert "384 MiB before, 384 MiB now: not judged, a CPU worker's" in finding.sentence


def test_a_gpus_memory_is_judged_row_by_row(rows: list[StoredRecord], tmp_path: Path) -> None:
    baseline = write_baseline([on_gpu(r, 2**32) for r in rows], tmp_path / "baseline.json", "x")
    new = [on_gpu(r, 2**32 + (2**26 if r is rows[1] else 0)) for r in rows]
    findings = judge_memory(new, baseline)
    assert [(f.name, f.failed) for f in findings] == [
        ("simple::a", False), ("simple::b", True), ("simple::c", False),
    ]  # fmt: skip


def test_memory_under_another_torch_is_not_judged(rows: list[StoredRecord], tmp_path: Path) -> None:
    baseline = write_baseline([on_gpu(r, 2**30) for r in rows], tmp_path / "baseline.json", "x")
    new = [on_gpu(r, 2**32, torch="9.9") for r in rows]
    findings = judge_memory(new, baseline)
    assert not any(f.failed for f in findings)
    assert "not judged, environment.torch is 9.9 now and was 2.14.1" in findings[0].sentence


def test_processes_take_turns() -> None:
    order = [side for _, side in turns(4)]
    assert order == ["old", "new", "new", "old", "old", "new", "new", "old"]
    assert [pair for pair, _ in turns(3)] == [0, 0, 1, 1, 2, 2]


def test_speed_is_judged_by_pairs_and_not_by_absolute_times() -> None:
    """A drift of 50 % over the race cancels in each pair."""
    drift = np.linspace(1, 1.5, 12)
    luck = 1 + 0.002 * np.random.default_rng(0).standard_normal(12)

    def race(ratios: np.ndarray) -> SpeedFinding:
        return judge_speed([*drift], [*(drift * ratios)])

    assert race(luck).verdict == "no slower"
    assert race(0.9 * luck).verdict == "faster"
    slower = race(1.05 * luck)
    assert slower.verdict == "slower"
    assert slower.p_wilcoxon < 0.01
    assert slower.sentence.startswith("1.050")
    wild = 1 + 0.2 * np.random.default_rng(1).standard_normal(12)
    assert race(wild).verdict == "inconclusive"
    with pytest.raises(UserError, match="at least 6 pairs of processes, got 3"):
        judge_speed([1, 1, 1], [1, 1, 1])


def test_a_surely_small_slowdown_passes() -> None:
    ratios = tuple(0.01 + 0.0001 * np.arange(12))
    assert SpeedFinding(log_ratios=ratios).verdict == "no slower"
    assert SpeedFinding(log_ratios=ratios, margin=0.005).verdict == "slower"


def with_features(out: Path, features_ND: np.ndarray, reference_ND: np.ndarray) -> StoredRecord:
    """A run whose metric is a Fréchet distance, with the influences of its spread and moments."""
    reference = GaussianReference.from_features(reference_ND, name="real")
    estimate = frechet(features_ND, reference)
    result = metric(estimate.influence_N, estimate.value, SIMPLE)
    result = result.model_copy(update={"terms": dict(estimate.terms)})
    influences = {"score": estimate.influence_N, "score/trace": estimate.term_influences["trace"]}
    row = Row(row="a", title="a", order=0, calls={"main": 1})
    path = write_run(out, ("simple", "Simple"), row, {"score": result}, influences, None)
    found = moments_of(features_ND)
    arrays = {"score/mean": found.mean_D, "score/covariance": found.cov_DD}
    save_file(arrays, path.parent / "moments.safetensors")
    kept = attachment(path.parent / "moments.safetensors")
    record = Record.load(path).model_copy(update={"moments": kept})
    record.save(path)
    return other(StoredRecord(path=path, record=record)) if out.name == "new" else load_record(path)


def test_diversity_and_distance_between_the_samples_stand_beside(tmp_path: Path) -> None:
    """Samples pulled 5 % towards their mean: narrower, told so, and as far apart as computed."""
    rng = np.random.default_rng(4)
    real, old = rng.standard_normal((2, 600, 6))
    old += 0.5
    new = old.mean(0) + 0.95 * (old - old.mean(0))
    baseline = write_baseline(
        [with_features(tmp_path / "old", old, real)], tmp_path / "baseline.json", "x"
    )
    (found,) = judge([with_features(tmp_path / "new", new, real)], baseline, Rule())
    spread = found.change.spread
    assert spread is not None
    unit = np.trace(np.cov(real.T))
    assert spread.before == pytest.approx(np.trace(np.cov(old.T)) / unit)
    assert spread.after == pytest.approx(0.95**2 * spread.before)
    assert found.spread_moved
    assert "The samples are narrower" in sentence(found)
    apart = frechet_distance(moments_of(old), moments_of(new))
    assert found.change.apart == pytest.approx(apart, rel=1e-3)  # float32 in the baseline
