"""`guidebench report` and `guidebench export` over several folders and machines."""

import json
from pathlib import Path

import numpy as np
import pytest

from tests.reports.synthetic import Row, write_simple

from .conftest import Command


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    """One suite as two machines sampled it."""
    places = tmp_path / "first", tmp_path / "second"
    for seed, place in enumerate(places):
        rng = np.random.default_rng(seed)
        for order, row in enumerate(("none", "cfg")):
            calls = {"main": 63, "guide": 63 * order}
            described = Row(row=row, title=row, order=order, calls=calls)
            stored = write_simple(place, described, rng.standard_normal(64))
            fields = json.loads(stored.path.read_text())
            fields["environment"]["gpu"] = f"GPU of {place.name}"
            stored.path.write_text(json.dumps(fields))
    return places


def test_page_over_two_machines_keeps_them_apart(
    folders: tuple[Path, Path], tmp_path: Path, inline: Command
) -> None:
    ran = inline("report", *folders, "--out", tmp_path / "both")
    assert (ran.returncode, ran.stderr) == (0, "")
    page = (tmp_path / "both" / "report.html").read_text(encoding="utf-8")
    for name in ("first", "second"):
        assert f"(GPU of {name}), engine" in page
        assert f'href="../{name}/simple/cfg/' in page
    assert "sampled on 2 machines: GPU of first; GPU of second" in page


def test_export_says_what_it_wrote(
    folders: tuple[Path, Path], tmp_path: Path, inline: Command
) -> None:
    parquet = pytest.importorskip("pyarrow.parquet", reason="pyarrow: nox -s exports has it")
    ran = inline("export", *folders, "--to", "parquet", "--out", tmp_path / "out")
    assert (ran.returncode, ran.stderr) == (0, "")
    assert f"{tmp_path / 'out' / 'metrics.parquet'}: 4 metrics of 4 records" in ran.stdout
    machines = parquet.read_table(tmp_path / "out" / "metrics.parquet")["machine"].to_pylist()
    assert sorted(set(machines)) == ["GPU of first", "GPU of second"]


def test_export_refuses_in_one_sentence(tmp_path: Path, inline: Command) -> None:
    missing = inline("export", tmp_path / "no", "--to", "parquet")
    assert missing.returncode == 2
    assert missing.stderr == (
        f"guidebench export: there is no folder {tmp_path / 'no'}; "
        "name one that `guidebench run` wrote\n"
    )
    assert inline("export", tmp_path, "--to", "excel").returncode == 2
    nothing = inline("export", tmp_path, "--to", "parquet")
    assert nothing.returncode == 2
    assert "no record.json in" in nothing.stderr
