"""The papers' tables: printed beside measured, blanks with reasons, four formats, two figures."""

import csv
import io
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path

import pytest
from typing_extensions import override

from guidebench.reports.papers import formats
from guidebench.reports.papers.figures import figure1, paper_figure, points_of
from guidebench.reports.papers.fill import Sheet, fill, sheet
from guidebench.reports.plots import save_plot
from guidebench.reports.record import FeatureSource
from guidebench.reports.store import StoredRecord, find_records
from guidebench.runs.papers import FIGURE1_ROWS, paper_figures, paper_tables

from .paper_records import iid, write_rows

TABLES = paper_tables()


@pytest.fixture(scope="module")
def records(tmp_path_factory: pytest.TempPathFactory) -> list[StoredRecord]:
    """Three repeats of the first half of Table 1, and all of both figures."""
    out = tmp_path_factory.mktemp("papers")
    write_rows(out, "table1-img512", share=0.5)
    write_rows(out, "fig3")
    write_rows(out, "fig7")
    return iid(find_records([out]))


@pytest.fixture
def table1(records: list[StoredRecord]) -> Sheet:
    return sheet(TABLES["table1-img512"], records)


def text_of(made: Sheet, row: str, *column: str) -> str:
    (found,) = made.text[made.text["", "row"] == row][tuple(column)]
    return str(found)


@pytest.mark.parametrize(
    ("name", "rows", "values"),
    [
        ("table1-img512", 13, 26),
        ("table1-img64", 4, 7),
        ("edm2-table2", 12, 24),
        ("edm2-img64", 4, 4),
        ("interval", 10, 16),
        ("degradation", 9, 9),
    ],
)
def test_every_printed_value_has_a_place(name: str, rows: int, values: int) -> None:
    made = sheet(TABLES[name], [])
    assert (len(made.text), len(made.numbers), made.num_measured) == (rows, values, 0)
    assert made.numbers["reason"].notna().all()
    printed = made.numbers["published"].notna() | (name == "degradation")
    assert printed.all()


def test_printed_values_are_the_papers() -> None:
    """Spot checks against the papers' own tables, typed here."""
    made = sheet(TABLES["table1-img512"], [])
    assert text_of(made, "EDM2-XXL + autoguidance", "FID", "published").startswith("1.25")
    assert text_of(made, "EDM2-XXL + autoguidance", "FD_DINOv2", "published").startswith("24.18")
    assert text_of(made, "EDM2-XXL + autoguidance", "FD_DINOv2", "guide EMA") == "0.205"
    assert text_of(made, "EDM2-S + CFG in an interval", "FID", "interval") == "(0.28, 2.90]"
    interval = sheet(TABLES["interval"], [])
    assert text_of(interval, "DiT-XL/2 + CFG in an interval", "FD_DINOv2", "published") == "43.94ᵍ"
    assert text_of(interval, "EDM2-S + CFG, 64 steps", "FID", "published").startswith("2.27")


def test_measured_stands_beside_printed_with_the_least_of_three(table1: Sheet) -> None:
    row = table1.numbers.iloc[0]
    assert row["repeats"] == 3
    assert row["difference"] == pytest.approx(row["measured"] - row["published"])
    assert row["difference_low"] < row["difference"] < row["difference_high"]
    shown = text_of(table1, "EDM2-S", "FID", "measured")
    assert f"(min of 3: {row['least_repeat']:.3f})" in shown
    assert "; min +" in text_of(table1, "EDM2-S", "FID", "difference")


def test_blanks_name_the_command(table1: Sheet) -> None:
    blank = text_of(table1, "EDM2-XXL + autoguidance", "FID", "measured")
    assert blank.startswith("—")
    (note,) = [n for n in table1.footnotes if n.startswith(blank[1:])]
    assert "Not measured: no record here; `guidebench run table1-img512::ROW` makes one" in note
    rin = sheet(TABLES["table1-img64"], [])
    assert any("another architecture" in n for n in rin.footnotes)


def test_footnotes_tell_labels_and_best_of_three(table1: Sheet) -> None:
    text = "\n".join(table1.footnotes)
    assert "the papers draw them i.i.d. uniform for each seed" in text
    assert "expect 0.85 standard deviations more" in text
    assert "which evaluated it once" in text


def changed(records: list[StoredRecord], **fields: object) -> list[StoredRecord]:
    return [StoredRecord(path=r.path, record=r.record.model_copy(update=fields)) for r in records]


def test_balanced_labels_and_other_counts_are_marked(records: list[StoredRecord]) -> None:
    made = sheet(TABLES["table1-img512"], changed(records, labels="balanced"))
    assert any("Labels of this run are balanced" in n for n in made.footnotes)
    few = []
    for stored in records:
        metrics = {
            k: m.model_copy(update={"num_images": 1000}) for k, m in stored.record.metrics.items()
        }
        few += changed([stored], metrics=metrics)
    made = sheet(TABLES["table1-img512"], few)
    assert any("1,000 images, the papers take 50,000" in n for n in made.footnotes)


def test_features_of_another_network_give_no_difference(records: list[StoredRecord]) -> None:
    features = FeatureSource(name="untrained:inception", weights_sha256="0" * 64, resize=None,
                             precision="fp32", tf32=False, comparable=False)  # fmt: skip
    other = []
    for stored in records:
        metrics = {
            k: m.model_copy(update={"features": features}) for k, m in stored.record.metrics.items()
        }
        other += changed([stored], metrics=metrics)
    made = sheet(TABLES["table1-img512"], other)
    assert text_of(made, "EDM2-S", "FID", "difference").startswith("—")
    assert made.numbers["difference"].isna().all()
    assert any("Features of untrained:inception are not those" in n for n in made.footnotes)


def test_markdown_has_equal_rows(table1: Sheet) -> None:
    lines = [x for x in formats.markdown(table1).splitlines() if x.startswith("|")]
    assert len(lines) == 2 + len(table1.text)
    assert len({line.count("|") for line in lines}) == 1


def test_csv_is_unrounded(table1: Sheet, records: list[StoredRecord]) -> None:
    lines = list(csv.DictReader(io.StringIO(formats.csv(table1))))
    first = fill(TABLES["table1-img512"], records)[0][0].result
    assert first is not None
    assert float(lines[0]["measured"]) == first.value
    assert lines[0]["suite_row"] == "table1-img512::edm2-s-none-fid"
    assert lines[-1]["measured"] == ""
    assert lines[-1]["reason"]


class Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.rows = 0

    @override
    def handle_starttag(self, tag: str, attrs: object) -> None:
        if tag not in {"meta", "br"}:
            self.open.append(tag)
        self.rows += tag == "tr"

    @override
    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_html_is_well_formed_and_escaped(table1: Sheet) -> None:
    parser = Tags()
    parser.feed(formats.html_page([table1]))
    assert parser.open == ["html"] or not parser.open
    assert parser.rows == len(table1.text) + 2
    assert "http" not in formats.html_page([table1])
    assert "<code>guidebench run table1-img512::ROW</code>" in formats.html_page([table1])


def test_latex_is_ascii_booktabs(table1: Sheet) -> None:
    text = formats.latex_document([table1])
    assert text.isascii()
    for word in (r"\toprule", r"\midrule", r"\bottomrule", r"\multicolumn{7}{c}{FID}"):
        assert word in text
    assert "-{}-suite" in text
    assert r"\texttt{guidebench run table1-img512::ROW}" in text
    assert "`" not in text


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="pdflatex is not installed")
def test_latex_compiles(records: list[StoredRecord], tmp_path: Path) -> None:
    sheets = [sheet(table, records) for table in TABLES.values()]
    (tmp_path / "tables.tex").write_text(formats.latex_document(sheets))
    words = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "tables.tex"]
    ran = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stdout[-2000:]
    assert "Overfull" not in ran.stdout
    assert (tmp_path / "tables.pdf").stat().st_size > 10_000


def test_curves_take_each_place_once(records: list[StoredRecord]) -> None:
    paper = paper_figures()["figure7"]
    fid, _ = paper.panels
    own = [r for r in records if r.record.suite == "fig7"]
    places = [at for at, _ in points_of(fid, "CFG", [*own, *own])]
    assert places == sorted({1.0, 1.25, 1.4, 1.5, 1.75, 2.0, 2.25, 2.5, 2.75, 3.0})
    assert [m.value for m in fid.minima] == [2.23, 1.68, 1.34]


@pytest.mark.parametrize("name", ["figure3", "figure7"])
@pytest.mark.parametrize("measured", [True, False])
def test_figures_are_drawn_with_and_without_records(
    records: list[StoredRecord], tmp_path: Path, name: str, measured: bool
) -> None:
    plot = paper_figure(paper_figures()[name], records if measured else [])
    texts = [t.get_text() for axes in plot.figure.axes for t in axes.texts]
    assert any("not measured" in t for t in texts) is not measured
    assert "1.34" in texts
    saved = save_plot(plot, tmp_path, "paper")
    assert saved.png.stat().st_size > 10_000


def test_figure_1_takes_the_papers_panels(fractal: list[StoredRecord]) -> None:
    assert figure1([], FIGURE1_ROWS) is None
    names = [r.record.row for r in fractal if r.record.role != "curve"][:3]
    plot = figure1(fractal, names)
    assert plot is not None
    titled = [axes.get_title(loc="left") for axes in plot.figure.axes]
    assert sum(bool(t) for t in titled) == 3
