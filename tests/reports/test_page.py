import re
import shutil
from html.parser import HTMLParser
from pathlib import Path

import pytest
from typing_extensions import override

from guidebench.reports import RecordError
from guidebench.reports.page import repeat_command, write_report
from guidebench.reports.store import StoredRecord, find_records

Attributes = list[tuple[str, str | None]]


class Page(HTMLParser):
    """Tags with their attributes, and whether each was closed."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.feed(text)

    @override
    def handle_starttag(self, tag: str, attrs: Attributes) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in {"meta", "img", "br", "link"}:
            self.open.append(tag)

    @override
    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


@pytest.fixture(scope="module")
def out(runs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("page") / "runs"
    shutil.copytree(runs, folder)
    write_report(find_records([folder]), folder, "Guidance <compared>")
    return folder


@pytest.fixture(scope="module")
def text(out: Path) -> str:
    return (out / "report.html").read_text(encoding="utf-8")


def test_needs_no_other_file(text: str) -> None:
    page = Page(text)
    assert page.open == []
    assert all(str(i["src"]).startswith("data:image/") for i in page.all("img"))
    assert not page.all("link") + page.all("script")
    assert "@import" not in text
    assert "url(" not in text
    assert not re.search(r"https?://", re.sub(r"base64,[^\"]+", "", text))


def test_links_lead_to_files(out: Path, text: str) -> None:
    links = [str(a["href"]) for a in Page(text).all("a")]
    assert sum(link.endswith("record.json") for link in links) == len(find_records([out]))
    for link in links:
        assert link.startswith("#") or (out / link).is_file()


def test_anchors_exist(text: str) -> None:
    ids = set(re.findall(r'id="([^"]+)"', text))
    assert {link[1:] for link in re.findall(r'href="(#[^"]+)"', text)} <= ids


def test_can_be_read_without_eyes(text: str) -> None:
    page = Page(text)
    assert page.all("html") == [{"lang": "en"}]
    assert all(img["alt"] for img in page.all("img"))
    assert all(th.get("scope") in {"col", "row"} for th in page.all("th"))
    assert len(page.all("caption")) == len(page.all("table"))


def test_summary_comes_before_its_table(text: str) -> None:
    for section in text.split("<section")[1:]:
        assert section.index('class="lead"') < section.index("<table")


def test_title_is_escaped(text: str) -> None:
    assert "<title>Guidance &lt;compared&gt;</title>" in text


def test_follows_light_dark_and_print(text: str) -> None:
    assert "prefers-color-scheme: dark" in text
    assert "@media print" in text


def test_rewriting_gives_equal_bytes(digits: list[StoredRecord], tmp_path: Path) -> None:
    rows = [r for r in digits if r.record.row in {"none", "cfg"}]
    first = write_report(rows, tmp_path, "x").read_bytes()
    assert write_report(rows, tmp_path, "x").read_bytes() == first


def test_same_suite_twice_gets_two_anchors(fractal: list[StoredRecord], tmp_path: Path) -> None:
    rows = [r for r in fractal if r.record.row in {"none", "naive"}]
    fast = [
        StoredRecord(
            path=r.path,
            record=r.record.model_copy(
                update={"cost": r.record.cost.model_copy(update={"engine": "compiled"})}
            ),
        )
        for r in rows
    ]
    page = write_report([*rows, *fast], tmp_path, "x").read_text(encoding="utf-8")
    assert 'id="fractal"' in page
    assert 'id="fractal-2"' in page


def test_no_records(tmp_path: Path) -> None:
    with pytest.raises(RecordError, match="no records for a report"):
        write_report([], tmp_path, "x")


def test_command_repeats_what_the_number_depends_on(digits: list[StoredRecord]) -> None:
    row = next(r for r in digits if r.record.row == "cfg")
    assert repeat_command(row.record) == (
        "guidebench run digits::cfg --num 1024 --seeds 0 --repeats 2 --engine eager "
        "--precision fp32"
    )
