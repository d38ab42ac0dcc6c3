import base64
import hashlib
import html
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path

import pytest
from typing_extensions import override

from guidebench.base import UserError
from guidebench.reports import RecordError, page_assets
from guidebench.reports.page import write_report
from guidebench.reports.page_rows import repeat_command
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
        if tag not in {"meta", "img", "br", "link", "input"}:
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
    assert not page.all("link")
    assert not any("src" in script for script in page.all("script"))
    assert "@import" not in text
    assert "url(" not in written(text)
    assert not re.search(r"https?://", written(text))


def written(text: str) -> str:
    """The page without its scripts and pictures: what we wrote ourselves."""
    return re.sub(r"<script>.*?</script>|base64,[^\"]+", "", text, flags=re.DOTALL)


def test_policy_allows_exactly_the_scripts_of_the_page(text: str) -> None:
    (policy,) = [m for m in Page(text).all("meta") if "http-equiv" in m]
    content = str(policy["content"])
    scripts = re.findall(r"<script>(.*?)</script>", text, flags=re.DOTALL)
    for script in scripts:
        digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
        assert f"'sha256-{digest}'" in content
    assert content.count("sha256-") == len(scripts) == 5
    assert content.startswith("default-src 'none'; script-src 'sha256-")
    assert "unsafe-eval" not in content


def test_page_is_small(text: str) -> None:
    assert len(re.sub(r"base64,[^\"]+", "", text)) < 1_000_000


def test_licences_of_the_chart_library_travel_with_it(text: str) -> None:
    assert text.count("Permission to use, copy, modify, and/or distribute") == 2


def test_changed_library_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(page_assets.VENDORED, "d3-7.9.2.min.js", "0" * 64)
    with pytest.raises(UserError, match=r"d3-7.9.2.min.js has digest 912111098ea9, not 0000"):
        page_assets.scripts()


def test_json_cannot_end_its_element() -> None:
    assert "</script>" not in page_assets.json_block({"title": "</script><script>alert(1)"})


def test_links_lead_to_files(out: Path, text: str) -> None:
    links = [str(a["href"]) for a in Page(text).all("a")]
    # Once in the list of all rows, once in the source that a number opens.
    assert sum(link.endswith("record.json") for link in links) == 2 * len(find_records([out]))
    for link in links:
        assert link.startswith("#") or (out / link).is_file()


def test_anchors_and_sources_exist_once(text: str) -> None:
    ids = re.findall(r' id="([^"]+)"', written(text))
    assert len(set(ids)) == len(ids)
    assert {link[1:] for link in re.findall(r'href="(#[^"]+)"', text)} <= set(ids)
    opened = set(re.findall(r'popovertarget="([^"]+)"', text))
    assert {f"fractal-row-{row}" for row in ("truth", "cfg", "autoguidance")} <= opened <= set(ids)


def test_each_number_says_unrounded_what_it_is(out: Path, text: str) -> None:
    for stored in find_records([out]):
        start = text.index(f'id="{stored.record.suite}-row-{stored.record.row}"')
        source = text[start : text.index("data-copy", start)]
        shown = re.sub(r"</?(code|span)>", "", source)
        assert html.escape(repeat_command(stored.record)) in shown
        for result in stored.record.metrics.values():
            assert repr(result.value) in source


def test_can_be_read_without_eyes(text: str) -> None:
    page = Page(text)
    assert page.all("html") == [{"lang": "en"}]
    assert all(img["alt"] for img in page.all("img"))
    assert all(th.get("scope") in {"col", "row"} for th in page.all("th"))
    assert len(page.all("caption")) == len(page.all("table"))


def test_summary_comes_before_its_table(text: str) -> None:
    assert text.index('class="lead"') < text.index("<section")
    for section in text.split("<section")[1:]:
        assert section.index('class="summary"') < section.index("<table")


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
