import csv
import io
import re
from pathlib import Path

import numpy as np
import pytest

from guidebench.base import UserError
from guidebench.reports.groups import group_records
from guidebench.reports.render import (
    Format,
    escape_latex,
    render_tables,
    terminal_text,
    write_tables,
)
from guidebench.reports.store import StoredRecord
from guidebench.reports.tables import FLOOR_TITLE, STAR, build_table, build_tables

from .synthetic import Row, write_simple

NASTY = r"50% & more_of #1 {$x^2$} ~ \end | <b>"


def simple(out: Path, row: str, mean: float, **fields: object) -> StoredRecord:
    rng = np.random.default_rng(len(row))
    made = Row(row=row, title=str(fields.pop("title", row)), order=1, calls={"main": 63})
    return write_simple(out, made, mean + rng.standard_normal(100))


def test_rows_are_truth_and_schemes_in_suite_order(fractal: list[StoredRecord]) -> None:
    (table,) = build_tables(fractal)
    titles = [line.title for line in table.lines]
    assert titles[0] == "Truth"
    assert titles[-1] == "Autoguidance, w = 3"
    assert len(titles) == 6


def test_cells_say_what_the_record_says(fractal: list[StoredRecord]) -> None:
    (table,) = build_tables(fractal)
    line = next(x for x in table.lines if x.title == "CFG, w = 4")
    assert line.stored is not None
    result = line.stored.record.metrics["outlier_rate"]
    expected = f"{100 * result.value:.2f} ± {100 * result.standard_error:.2f}"
    assert line.cells[0].text == expected
    assert [cell.text for cell in line.cells[-3:]] == ["63 main + 63 guide", "381", "384 MiB"]


def test_headings_have_unit_and_direction(fractal: list[StoredRecord]) -> None:
    (table,) = build_tables(fractal)
    headings = [c.heading for c in table.columns]
    assert headings[:2] == ["Outlier rate, % ↓", "Mean log-density"]
    assert headings[-2:] == ["Samples/s ↑", "Peak memory ↓"]


def test_best_is_marked_only_where_separable(
    fractal: list[StoredRecord], digits: list[StoredRecord]
) -> None:
    marked = [x.title for t in build_tables(fractal) for x in t.lines if x.cells[0].best]
    assert marked == ["Autoguidance, w = 3"]
    (table,) = build_tables(digits)
    assert not any(cell.best for line in table.lines for cell in line.cells)
    assert any("No scheme is separably the best on FD (digits)" in n for n in table.footnotes)


def test_floor_is_the_last_row(fractal: list[StoredRecord]) -> None:
    (table,) = build_tables(fractal)
    assert table.floor is not None
    assert table.floor.title == FLOOR_TITLE
    assert [c.text for c in table.floor.cells[:3]] == ["1.000 ± 0.030", "—", "0.03100 ± 0.00093"]


def test_no_floor_without_floors(tmp_path: Path) -> None:
    (table,) = build_tables([simple(tmp_path, "a", 0.0)])
    assert table.floor is None
    assert not any(FLOOR_TITLE in note for note in table.footnotes)


def test_best_repeat_is_named(digits: list[StoredRecord]) -> None:
    (table,) = build_tables(digits)
    none = next(x for x in table.lines if x.title == "No guidance")
    assert [c.note for c in none.cells[:3]] == ["min of 2: 16.93", "max of 2: 90.40", ""]


def test_footnotes_say_what_is_left_out_and_doubted(fractal: list[StoredRecord]) -> None:
    (group,) = group_records([*fractal, *fractal[:2]])
    notes = " ".join(build_table(group).footnotes)
    assert "2 older records of rows above were left out" in notes
    assert "Autoguidance, w = 3: only 3 repeats." in notes
    assert "paired by seed" in notes


def test_mixed_references_are_named(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    rows = [
        write_simple(tmp_path, Row(row=n, title=n, order=1, calls={"main": 1}), rng.normal(size=9),
                     reference=n)
        for n in "ab"
    ]  # fmt: skip
    (table,) = build_tables(rows)
    assert any("not comparable on Score: reference" in note for note in table.footnotes)


def test_zero_error_is_explained(tmp_path: Path) -> None:
    row = Row(row="a", title="a", order=1, calls={"main": 1})
    (table,) = build_tables([write_simple(tmp_path, row, np.ones(9))])
    assert table.lines[0].cells[0].text == "1.00 ± 0"
    assert any("error of 0" in note for note in table.footnotes)


@pytest.mark.parametrize("width", [200, 100, 80, 60, 45])
def test_terminal_fits_and_cuts_no_number(
    fractal: list[StoredRecord], digits: list[StoredRecord], width: int
) -> None:
    for table in build_tables([*fractal, *digits]):
        text = terminal_text(table, width)
        assert max(map(len, text.splitlines())) <= width
        for line in table.lines:
            for cell in line.cells:
                for word in re.split(r" \+ ", cell.text):
                    assert word in text


def test_terminal_keeps_costs_together(fractal: list[StoredRecord]) -> None:
    (table,) = build_tables(fractal)
    pieces = terminal_text(table, 100).split("─\n")
    assert len(pieces) == 3
    assert "384 MiB" not in pieces[1]


def test_markdown_is_one_table(fractal: list[StoredRecord]) -> None:
    text = render_tables(fractal, "md")
    rows = [line for line in text.splitlines() if line.startswith("|")]
    assert len({row.count("|") for row in rows}) == 1
    assert f"**3.30 ± 0.28 {STAR}**" in text


def test_csv_is_unrounded(fractal: list[StoredRecord], tmp_path: Path) -> None:
    path = write_tables(fractal, "csv", tmp_path / "table.csv")
    lines = list(csv.DictReader(io.StringIO(path.read_text(encoding="utf-8"))))
    stored = {r.record.row: r.record for r in fractal if r.record.role != "curve"}
    assert len(lines) == 6 * 4
    for line in lines:
        record = stored[line["row"]]
        result = record.metrics[line["metric"]]
        assert float(line["value"]) == result.value
        assert float(line["standard_error"]) == result.standard_error
        assert (float(line["low"]), float(line["high"])) == result.interval_95
        assert line["noise_floor"] == str(result.noise_floor or "")
        assert line["images_per_second"] == str(record.cost.images_per_second or "")


def test_latex_escapes(tmp_path: Path) -> None:
    text = render_tables([simple(tmp_path, "a", 0.0, title=NASTY)], "latex")
    assert r"50\% \& more\_of \#1 \{\$x\textasciicircum{}2\$\} \textasciitilde{}" in text
    assert r"\textbackslash{}end" in text
    assert text.count(r"\begin{tabular}") == text.count(r"\end{tabular}") == 1


def test_latex_leaves_no_symbol_that_needs_a_font(
    fractal: list[StoredRecord], digits: list[StoredRecord]
) -> None:
    text = render_tables([*fractal, *digits], "latex")
    assert text.isascii()
    assert escape_latex("±") == r"$\pm$"


def test_html_escapes_and_names_its_headers(tmp_path: Path) -> None:
    text = render_tables([simple(tmp_path, "a", 0.0, title=NASTY)], "html")
    assert "&lt;b&gt;" in text
    assert "<b>" not in text
    assert text.count('scope="col"') == 5
    assert text.count('scope="row"') == 1


def test_markdown_escapes_pipes(tmp_path: Path) -> None:
    assert r"\| <b>" in render_tables([simple(tmp_path, "a", 0.0, title=NASTY)], "md")


def test_unknown_format(fractal: list[StoredRecord]) -> None:
    wrong: Format = "xlsx"  # type: ignore[assignment]  # pyright: ignore[reportAssignmentType]
    with pytest.raises(UserError, match="md, csv, latex or html, not as xlsx"):
        render_tables(fractal, wrong)


def test_missing_metric_is_a_dash(fractal: list[StoredRecord]) -> None:
    schemes = [r for r in fractal if r.record.role == "table"]
    first, *others = sorted(schemes, key=lambda r: r.record.order)
    metrics = {k: v for k, v in first.record.metrics.items() if k != "outlier_rate"}
    record = first.record.model_copy(update={"metrics": metrics})
    (table,) = build_tables([StoredRecord(path=first.path, record=record), *others])
    column = [c.metric for c in table.columns].index("outlier_rate")
    assert table.lines[0].cells[column].text == "—"
    assert not table.lines[0].cells[column].best
    assert sum(line.cells[column].best for line in table.lines) == 1  # among those that have it
