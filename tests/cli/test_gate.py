"""The gate as a command: exit codes, files for other tools, races of two sources."""

import importlib
import json
import shutil
import xml.etree.ElementTree as ET
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from guidebench.base import UserError
from guidebench.reports.page_rows import repeat_command
from guidebench.reports.store import find_records
from guidebench.runs import race as race_module
from guidebench.runs.race import race

from .conftest import SUITE, Command, run_command

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def changed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny suite with two sampler steps instead of eight in one row, and w = 3.1 in another."""
    folder = tmp_path_factory.mktemp("changed")
    text = SUITE.read_text().replace("autoguidance(3.0)", "autoguidance(3.1)")
    text = text.replace(
        'title="autoguidance, w = 3",',
        'title="autoguidance, w = 3", sampler=deterministic_heun(8, sigma_max=5.0),',
    ).replace("sampler=deterministic_heun(8, sigma_max=5.0),\n        num",
              "sampler=deterministic_heun(2, sigma_max=5.0),\n        num")  # fmt: skip
    (folder / SUITE.name).write_text(text)
    ran = run_command("run", folder / SUITE.name, "--out", folder / "out")
    assert ran.returncode == 0, ran.stderr
    return folder / "out"


def accept(results: Path, inline: Command, *rows: str) -> Path:
    """A baseline of some rows, or of all."""
    baseline = results / "baseline.json"
    folders = [results / "suite_tiny" / row for row in rows] or [results]
    ran = inline("gate", *folders, "--baseline", baseline, "--update", "reviewed")
    assert ran.returncode == 0, ran.stderr
    return baseline


def test_a_run_passes_its_own_baseline(results: Path, inline: Command) -> None:
    baseline = accept(results, inline)
    ran = inline("gate", results, "--baseline", baseline)
    assert (ran.returncode, ran.stderr) == (0, "")
    assert "3 metrics compared: 3 identical" in ran.stdout.splitlines()[-1]
    assert "outliers by" in ran.stdout


def test_halved_batches_can_be_forbidden(results: Path, inline: Command) -> None:
    baseline = accept(results, inline)
    words = ("gate", results, "--baseline", baseline, "--forbid-reduced-batch")
    assert inline(*words).returncode == 0
    path = next(results.rglob("unguided/*/record.json"))
    record = json.loads(path.read_text())
    record["cost"]["reduced_batch_size"] = 4
    path.write_text(json.dumps(record))
    ran = inline(*words)
    assert ran.returncode == 2
    assert "cost.reduced_batch_size is 4" in ran.stderr
    assert ran.stderr.count("\n") == 1
    assert inline(*words[:-1]).returncode == 0


def test_memory_that_grew_is_1(results: Path, inline: Command) -> None:
    """On a GPU, by the bytes of the records: the samples are the accepted ones."""
    path = next(results.rglob("unguided/*/record.json"))
    record = json.loads(path.read_text())

    def allocated(num_bytes: int) -> None:
        record["cost"]["peak_memory_bytes"]["allocated"] = num_bytes
        path.write_text(json.dumps(record))

    allocated(2**30)
    words = ("gate", results, "--baseline", accept(results, inline))
    assert inline(*words).returncode == 0
    allocated(2**30 + 2**25)
    ran = inline(*words)
    assert ran.returncode == 1
    assert "suite_tiny::unguided: peak memory 1.00 GiB before, 1.03 GiB now: grew" in ran.stdout
    assert "memory grew 1 times" in ran.stdout.splitlines()[-1]


def test_worse_is_1_and_other_tools_can_read_it(
    results: Path, changed: Path, inline: Command, tmp_path: Path
) -> None:
    baseline = accept(results, inline)
    files = "--junit", tmp_path / "junit.xml", "--markdown", tmp_path / "gate.md"
    ran = inline("gate", changed, "--baseline", baseline, *files, "--github")
    assert ran.returncode == 1, ran.stdout + ran.stderr
    first = ran.stdout.splitlines()[0]
    assert first.startswith("suite_tiny::unguided: outliers: ")
    assert "worse beyond the noise" in first
    assert "sampler.num_steps 8 → 2" in first
    assert "::error title=suite_tiny%3A%3Aunguided outlier_rate worse::" in ran.stdout
    (suite,) = ET.parse(tmp_path / "junit.xml").getroot()
    assert suite.get("failures") == "1"
    assert "| suite_tiny::unguided | outliers |" in (tmp_path / "gate.md").read_text()


def test_what_cannot_be_told_is_3_and_says_what_to_run(
    results: Path, changed: Path, inline: Command
) -> None:
    baseline = accept(results, inline, "autoguidance-w3")
    ran = inline("gate", changed, "--baseline", baseline)
    assert ran.returncode == 3, ran.stdout + ran.stderr
    assert "neither surely worse nor surely within the margin" in ran.stdout
    assert "scheme.terms.0.schedule.weight 3.0 → 3.1" in ran.stdout
    assert "every planned look at suite_tiny::autoguidance-w3 is spent" in ran.stdout
    ran = inline("gate", changed, "--baseline", baseline, "--margin", "0.99")
    assert ran.returncode in {0, 3}


@pytest.mark.usefixtures("warm")
def test_the_second_look_is_run_as_the_gate_says_in_ones_own_suite(
    results: Path, changed: Path, inline: Command, tmp_path: Path
) -> None:
    """Two sets planned; the printed command, run as it stands, makes the second one."""
    row, mine = "autoguidance-w3", next(changed.parent.glob("*.py"))
    more = ("--num", 96, "--seeds", 96, "--ranks", 1)
    ran = inline("run", f"{SUITE}::{row}", *more, "--out", results)
    assert ran.returncode == 0, ran.stderr
    baseline = accept(results, inline, row)
    new = Path(shutil.copytree(changed / "suite_tiny" / row, tmp_path / "new" / "suite_tiny" / row))
    ran = inline("gate", new, "--baseline", baseline)
    assert ran.returncode == 3, ran.stdout + ran.stderr
    asked = "look again on the next seeds: guidebench "
    (again,) = [x for x in ran.stdout.splitlines() if x.startswith(asked)]
    assert again.removeprefix(asked) == f"run {mine}::{row} --num 96 --seeds 96"
    ran = inline(*again.removeprefix(asked).split(), "--out", tmp_path / "new")
    assert ran.returncode == 0, ran.stderr
    ran = inline("gate", tmp_path / "new", "--baseline", baseline)
    assert "look again" not in ran.stdout
    assert f"run {mine}::{row} --num 96" in repeat_command(
        find_records([tmp_path / "new"])[0].record
    )


def test_bad_questions_are_2(results: Path, changed: Path, inline: Command) -> None:
    baseline = accept(results, inline)
    ran = inline("gate", changed / "suite_tiny" / "unguided", "--baseline", baseline)
    assert ran.returncode == 2
    assert "the baseline has suite_tiny::truth, suite_tiny::autoguidance-w3" in ran.stderr
    ran = inline("gate", results, "--baseline", baseline, "--alpha", "2")
    assert ran.returncode == 2
    assert "false-alarm rate must be above 0 and below 0.5, got 2" in ran.stderr
    ran = inline("gate", results, "--baseline", results / "none.json")
    assert ran.returncode == 2
    assert ran.stderr == (f"guidebench gate: there is no baseline {results / 'none.json'}; accept "
                          "these records with --update REASON\n")  # fmt: skip
    baseline.write_text("{")
    ran = inline("gate", results, "--baseline", baseline)
    assert ran.returncode == 2
    assert len(ran.stderr.splitlines()) == 1


def test_a_race_needs_one_row_and_a_checkout(inline: Command, tmp_path: Path) -> None:
    ran = inline("gate", "--speed", "digits::none", "--baseline", tmp_path)
    assert ran.returncode == 2
    assert "is no checkout of guidebench; make one with `git worktree add" in ran.stderr
    for words, said in ((("--pairs", 5), "at least 6 pairs of processes, got 5"),
                        (("--alpha", 7), "false-alarm rate must be above 0 and below 0.5, got 7"),
                        (("--margin", "nan"), "margin is a share")):  # fmt: skip
        ran = inline("gate", "--speed", "digits::none", "--baseline", ROOT, *words)
        assert (ran.returncode, ran.stdout) == (2, "")
        assert said in ran.stderr
        assert "race" not in ran.stderr  # no process was started
    ran = inline("gate", "--speed", "a", "b", "--baseline", ROOT)
    assert ran.returncode == 2
    assert "--speed times one row, got 2" in ran.stderr


Fake = Callable[[str, Path | None, int | None], dict[str, Any]]


def faked(monkeypatch: pytest.MonkeyPatch, answer: Fake) -> None:
    monkeypatch.setattr(race_module, "_one", answer)


def test_a_race_alternates_and_takes_medians(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []

    def one(_: str, source: Path | None, __: int | None) -> dict[str, Any]:
        seen.append("new" if source is None else "old")
        return {"device": "cpu", "batch_seconds": [9.0, 1.0 + len(seen), 1.0]}

    faked(monkeypatch, one)
    old, new = race("x", ROOT, pairs=2, num=None, report=lambda *_: None)
    assert seen == ["old", "new", "new", "old"]
    assert (old, new) == ([2.0, 5.0], [3.0, 4.0])


def test_a_race_of_unlike_runs_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    faked(monkeypatch, lambda _, s, __: {
        "batch_size": 32 if s else 64, "batch_seconds": [1.0]
    })  # fmt: skip
    with pytest.raises(UserError, match="the two sides ran differently"):
        race("x", ROOT, pairs=1, num=None, report=lambda *_: None)


@pytest.mark.parametrize(("slowdown", "level"), [(1.2, "error"), (1.0, "notice"), (0.8, "notice")])
def test_a_race_ends_as_its_verdict_and_tells_other_tools(
    monkeypatch: pytest.MonkeyPatch, inline: Command, tmp_path: Path, slowdown: float, level: str
) -> None:
    luck = iter(0.002 * np.random.default_rng(0).standard_normal(24))
    faked(monkeypatch, lambda _, source, __: {
        "batch_seconds": [(slowdown if source is None else 1.0) * (1 + next(luck))]
    })  # fmt: skip
    words = ("gate", "--speed", "digits::none", "--baseline", ROOT, "--github")
    ran = inline(*words, "--junit", tmp_path / "junit.xml")
    slower = slowdown > 1
    assert ran.returncode == int(slower), ran.stderr
    assert f"::{level} title=speed::digits::none: " in ran.stdout
    assert "12 pairs of processes" in ran.stdout
    (suite,) = ET.parse(tmp_path / "junit.xml").getroot()
    (case,) = suite
    assert suite.get("failures") == str(int(slower))
    assert case.get("classname") == "digits::none"
    assert [child.tag for child in case] == ["failure" if slower else "system-out"]


def test_a_race_that_cannot_tell_is_3(
    monkeypatch: pytest.MonkeyPatch, inline: Command, tmp_path: Path
) -> None:
    luck = iter(0.3 * np.random.default_rng(0).standard_normal(24))
    faked(monkeypatch, lambda *_: {"batch_seconds": [abs(2 + next(luck))]})
    words = ("--speed", "digits::none", "--baseline", ROOT, "--junit", tmp_path / "junit.xml")
    assert inline("gate", *words).returncode == 3
    assert ET.parse(tmp_path / "junit.xml").getroot()[0].get("errors") == "1"


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_a_race_against_itself_is_no_slower(inline: Command, tmp_path: Path) -> None:
    """Fresh processes of this very source on both sides; a wide margin, since CI is noisy."""
    words = ("--speed", f"{SUITE}::unguided", "--baseline", ROOT, "--pairs", 6, "--margin", 0.9)
    ran = inline("gate", *words, "--markdown", tmp_path / "speed.md")
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "6 pairs of processes: no slower" in (tmp_path / "speed.md").read_text()


@pytest.fixture
def faults(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """docs/faults.py, as `nox -s faults` runs it."""
    monkeypatch.syspath_prepend(ROOT / "docs")
    return importlib.import_module("faults")


def test_every_fault_still_has_its_line(faults: ModuleType) -> None:
    for name, fault in faults.FAULTS.items():
        assert (ROOT / fault.file).read_text().count(fault.before) == 1, name


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_every_fault_is_caught_and_what_is_innocent_is_not(
    tmp_path: Path, faults: ModuleType
) -> None:
    baseline = faults.baseline(tmp_path)
    for name, fault in faults.FAULTS.items():
        found = faults.try_fault(fault, baseline, tmp_path / name)
        assert found.code == (1 if fault.caught else 0), f"{name}: {found.said}"
    found = faults.try_fault(None, baseline, tmp_path / "ranks", "--ranks", "1")
    assert found.code == 0, found.said
    assert json.loads(baseline.read_text())["reason"] == "unchanged"


def test_the_command_has_exit_codes_in_its_help(command: Command) -> None:
    ran = command("gate", "--help")
    assert "3 inconclusive" in " ".join(ran.stdout.split())
