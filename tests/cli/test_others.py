"""The other commands, through the installed entry point."""

import csv
import io
import json
import os
import shutil
import signal
import subprocess
from importlib.metadata import version
from pathlib import Path

import pytest

from guidebench.checkpoints.builtin import FOLDER
from guidebench.cli import COMMANDS
from tests.cli.conftest import Command, entry_point, records


def test_help_names_every_command_without_heavy_imports(command: Command) -> None:
    ran = command("--help", PYTHONPROFILEIMPORTTIME="1")
    assert ran.returncode == 0
    for name in COMMANDS:
        assert f"  {name} " in ran.stdout
    imported = {line.rsplit("|", 1)[-1].strip() for line in ran.stderr.splitlines()}
    assert "guidebench.cli" in imported
    assert not imported & {"torch", "numpy", "pydantic", "rich", "matplotlib"}


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help(command: Command, name: str) -> None:
    ran = command(name, "--help")
    assert (ran.returncode, ran.stderr) == (0, "")
    assert f"guidebench {name}" in ran.stdout


@pytest.mark.parametrize(
    ("what", "known"),
    [
        ("suites", "fractal"),
        ("rows", "digits::reduce-training-only"),
        ("schemes", "autoguidance"),
        ("networks", "digits-main"),
        ("metrics", "fd_digits"),
        ("features", "dinov2-vitb14-reg4"),
    ],
)
def test_list(inline: Command, what: str, known: str) -> None:
    plain, machine = inline("list", what), inline("list", what, "--json")
    names = [entry["name"] for entry in json.loads(machine.stdout)]
    assert known in names
    assert [line.split()[0] for line in plain.stdout.splitlines()] == names


def test_report_in_every_format(results: Path, command: Command, tmp_path: Path) -> None:
    table = command("report", results, "--format", "csv")
    rows = list(csv.DictReader(io.StringIO(table.stdout)))
    stored = records(results)["unguided"]["metrics"]["outlier_rate"]
    (found,) = [r for r in rows if (r["row"], r["metric"]) == ("unguided", "outlier_rate")]
    assert float(found["value"]) == stored["value"]
    assert float(found["standard_error"]) == stored["standard_error"]
    assert "| no guidance |" in command("report", results, "--format", "md").stdout
    latex = tmp_path / "table.tex"
    assert command("report", results, "--format", "latex", "--out", latex).returncode == 0
    assert r"\toprule" in latex.read_text()
    page = command("report", results, "--out", tmp_path / "page")
    assert page.stdout.strip() == str(tmp_path / "page" / "report.html")
    assert "autoguidance, w = 3" in (tmp_path / "page" / "report.html").read_text()


def test_a_record_of_another_format_is_named(results: Path, command: Command) -> None:
    (path,) = results.glob("suite_tiny/unguided/*/record.json")
    path.write_text(path.read_text().replace('"format": 1', '"format": 9'))
    ran = command("report", results)
    assert ran.returncode == 2
    assert ran.stderr.startswith(f"guidebench report: {path} has record format 9")
    assert len(ran.stderr.splitlines()) == 1


def test_finished_trainings_are_not_repeated(command: Command, tmp_path: Path) -> None:
    networks = shutil.copytree(FOLDER, tmp_path / "networks")
    ran = command("train", "digits", "--out", networks)
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.count("already trained") == 5


def test_the_version_is_told(command: Command) -> None:
    ran = command("--version")
    assert (ran.returncode, ran.stdout) == (0, f"guidebench {version('guidebench')}\n")


def test_an_interrupted_training_goes_on(tmp_path: Path) -> None:
    words = [entry_point(), "train", "digits", "--out", str(tmp_path)]

    def begin() -> "subprocess.Popen[str]":
        return subprocess.Popen(words, stderr=subprocess.PIPE, text=True, start_new_session=True)

    def next_count(process: "subprocess.Popen[str]") -> int:
        assert process.stderr is not None
        while not (line := process.stderr.readline()).startswith("train "):
            assert line, "it ended without a word"
        return int(line.split()[1].split("/")[0])

    process = begin()
    seen = 0
    while seen < 2:
        seen = next_count(process)
    os.killpg(process.pid, signal.SIGINT)
    _, rest = process.communicate(timeout=60)
    assert process.returncode == 130, rest
    assert rest.splitlines()[-1].startswith("guidebench train: stopped")
    (state,) = (tmp_path / ".state").glob("digits-main.*")
    assert state.stat().st_size > 0
    again = begin()
    assert next_count(again) >= seen
    os.killpg(again.pid, signal.SIGKILL)
    again.communicate()
