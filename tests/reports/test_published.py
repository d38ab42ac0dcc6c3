"""The column of published values, in every format."""

import csv
import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from guidebench.reports.groups import group_records
from guidebench.reports.published import LETTERS, origin_marks
from guidebench.reports.record import Display, FeatureSource, PublishedValue
from guidebench.reports.render import csv_text, html, latex, markdown, terminal_text
from guidebench.reports.store import StoredRecord, load_record
from guidebench.reports.tables import Table, build_tables

from .synthetic import Row, write_simple

PAPER, OTHER = "arXiv:2406.02507, Table 1", "arXiv:2312.02696, Table 2"
BEST_OF_3 = "best of 3"
RATE = Display(label="Rate", better="lower", percent=True)
SAMPLES_N = np.random.default_rng(0).standard_normal(400)
SAMPLES_N -= SAMPLES_N.mean()


def row(out: Path, name: str, mean: float, published: PublishedValue | None) -> StoredRecord:
    made = Row(row=name, title=f"Scheme {name}", order=ord(name), calls={"main": 63},
               published={"score": published} if published else {})  # fmt: skip
    return write_simple(out, made, mean + SAMPLES_N)


@pytest.fixture
def table(tmp_path: Path) -> Table:
    """Three rows: a value that agrees, one of another source that does not, and none."""
    rows = [
        row(tmp_path, "a", 1.36, PublishedValue(value=1.4, source=PAPER, note=BEST_OF_3)),
        row(tmp_path, "b", 2.56, PublishedValue(value=3.125, source=OTHER)),
        row(tmp_path, "c", 3.5, None),
    ]
    (made,) = build_tables(rows)
    return made


def test_the_column_follows_its_metric(table: Table) -> None:
    assert [c.heading for c in table.columns[:2]] == ["Score ↓", "Score published"]
    assert [c.published for c in table.columns] == [False, True, False, False, False]
    assert [line.cells[1].text for line in table.lines] == ["1.40ᵃ", "3.125ᵇ", "—"]
    assert not any(line.cells[1].best for line in table.lines)


def test_the_difference_is_ours_minus_published_with_our_interval(table: Table) -> None:
    stored = table.lines[1].stored
    assert stored is not None
    result = stored.record.metrics["score"]
    low, high = result.interval_95
    assert table.lines[1].cells[1].note == (
        f"−{3.125 - result.value:.3f} [−{3.125 - low:.3f}, −{3.125 - high:.3f}]"  # noqa: RUF001
    )
    assert table.lines[0].cells[1].note.startswith("−0.040 [")  # noqa: RUF001
    assert table.lines[2].cells[1].note == ""


def test_footnotes_name_sources_notes_and_dashes(table: Table) -> None:
    assert f"ᵃ Published: {PAPER}; {BEST_OF_3}." in table.footnotes
    assert f"ᵇ Published: {OTHER}." in table.footnotes
    assert any("nothing is published for that metric" in note for note in table.footnotes)
    assert any("the error of ours alone" in note for note in table.footnotes)


@pytest.mark.parametrize("write", [markdown, html, terminal_text])
def test_every_format_shows_value_difference_and_source(
    table: Table, write: Callable[[Table], str]
) -> None:
    text = write(table)
    cell = table.lines[0].cells[1]
    for words in ("1.40ᵃ", cell.note.split(" ")[0], "3.125ᵇ", "ᵃ Published"):
        assert words in text
    for part in PAPER.split():
        assert part in text


def test_latex_shows_it_in_ascii(table: Table) -> None:
    text = latex(table)
    assert text.isascii()
    assert r"1.40$^a$ ($-$0.040 [" in text
    assert rf"$^a$ Published: {PAPER}; {BEST_OF_3}.\par" in text
    (rows,) = {line.count("&") for line in text.splitlines() if line.endswith(r" \\")}
    assert rows == len(table.columns)


def test_csv_keeps_it_unrounded(table: Table) -> None:
    lines = list(csv.DictReader(io.StringIO(csv_text([table]))))
    found = [(x["row"], x["published"], x["published_source"], x["published_note"]) for x in lines]
    assert found == [("a", "1.4", PAPER, BEST_OF_3), ("b", "3.125", OTHER, ""), ("c", "", "", "")]


@pytest.mark.parametrize("width", [120, 80, 60, 45])
def test_terminal_keeps_the_pair_together_and_fits(table: Table, width: int) -> None:
    text = terminal_text(table, width)
    assert max(map(len, text.splitlines())) <= width
    first = next(line for line in text.splitlines() if line.startswith("Scheme a"))
    assert "1.40ᵃ" in first
    assert table.lines[0].cells[0].text in first


def test_without_published_values_there_is_no_column(tmp_path: Path) -> None:
    (table,) = build_tables([row(tmp_path, "a", 1.0, None)])
    assert not any(c.published for c in table.columns)
    assert not any("ublished" in note for note in table.footnotes)


def test_percentages_are_scaled_on_both_sides(tmp_path: Path) -> None:
    published = {"score": PublishedValue(value=0.07, source=PAPER)}
    made = Row(row="a", title="a", order=1, calls={"main": 1}, published=published)
    (table,) = build_tables([write_simple(tmp_path, made, 0.1 + SAMPLES_N / 100, display=RATE)])
    assert table.columns[1].heading == "Rate published, %"
    assert table.lines[0].cells[1].text == "7.00ᵃ"
    assert table.lines[0].cells[1].note.startswith("+3.000 percentage points [")


def test_untrained_features_are_named_and_not_held_against_the_paper(tmp_path: Path) -> None:
    features = FeatureSource(name="untrained:inception", weights_sha256="0" * 64, resize=None,
                             precision="fp32", tf32=False, comparable=False)  # fmt: skip
    published = {"score": PublishedValue(value=1.34, source=PAPER)}
    made = Row(row="a", title="a", order=1, calls={"main": 1}, published=published)
    (table,) = build_tables([write_simple(tmp_path, made, SAMPLES_N, features=features)])
    assert (table.lines[0].cells[1].text, table.lines[0].cells[1].note) == ("1.34ᵃ", "")
    (note,) = [n for n in table.footnotes if "untrained:inception" in n]
    assert note.startswith("Score is measured on features of")


def test_more_sources_than_letters_still_differ(tmp_path: Path) -> None:
    stored = row(tmp_path, "a", 1.0, None)
    count = len(LETTERS) + 2
    rows = []
    for index in range(count):
        published = {"score": PublishedValue(value=1.0, source=str(index))}
        update = {"row": str(index), "title": str(index), "published": published}
        rows.append(StoredRecord(path=stored.path, record=stored.record.model_copy(update=update)))
    marks = list(origin_marks(group_records(rows)[0]).values())
    assert len(set(marks)) == count


def test_published_values_survive_the_file(tmp_path: Path) -> None:
    value = PublishedValue(value=1.34, source=PAPER, note=BEST_OF_3)
    stored = row(tmp_path, "a", 1.0, value)
    assert load_record(stored.path).record.published == {"score": value}
