"""`guidebench tables` on a machine with and without records."""

from pathlib import Path

import pytest

from tests.reports.paper_records import write_rows

from .conftest import Command


def test_without_records_everything_is_printed_and_blank(
    inline: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    ran = inline("tables")
    assert (ran.returncode, ran.stderr) == (0, "")
    assert "table1-img512: 0 of 26 values measured" in ran.stdout
    made = {path.name for path in (tmp_path / "tables").iterdir()}
    names = ("table1-img512", "table1-img64", "edm2-table2", "edm2-img64", "interval")
    assert {
        f"{n}.{s}" for n in (*names, "degradation") for s in ("md", "csv", "tex", "html")
    } < made
    assert {"tables.tex", "tables.html", "paper-figure3.svg", "paper-figure7.png"} < made
    assert "1.34" in (tmp_path / "tables" / "table1-img512.md").read_text(encoding="utf-8")


def test_one_table_in_one_format(inline: Command, tmp_path: Path) -> None:
    out = tmp_path / "made"
    write_rows(tmp_path / "results", "interval-steps")
    words = ("--records", tmp_path / "results", "--format", "md", "--out", out)
    ran = inline("tables", "interval", *words)
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.splitlines()[0] == "interval: 4 of 16 values measured"
    assert [path.name for path in out.iterdir()] == ["interval.md"]


def test_bad_questions(inline: Command, tmp_path: Path) -> None:
    ran = inline("tables", "table1")
    assert ran.returncode == 2
    assert ran.stderr.startswith("guidebench tables: there is no table table1; did you mean table")
    ran = inline("tables", "--records", tmp_path / "nowhere")
    assert ran.returncode == 2
    assert "does not exist; name a folder that a run wrote" in ran.stderr
