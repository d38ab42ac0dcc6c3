"""The page in the system's own Chromium: no browser is downloaded.

Pictures of the page go to the folder that GUIDEBENCH_SCREENSHOTS names, else to a temporary one.
"""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from guidebench.reports.page import write_report
from guidebench.reports.store import StoredRecord, find_records
from tests.reports.synthetic_suites import write_digits, write_fractal

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
ARGUMENTS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
]  # fmt: skip
DESKTOP = {"width": 1280, "height": 900}
PHONE = {"width": 390, "height": 844}


@pytest.fixture(scope="session")
def browser() -> Iterator["Browser"]:
    driver = pytest.importorskip(
        "playwright.sync_api", reason="Playwright is not installed: nox -s browser has it"
    )
    found = next((path for name in NAMES if (path := shutil.which(name))), None)
    if found is None:
        pytest.skip(f"no browser: none of {', '.join(NAMES)} is on the PATH")
    with driver.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=found, args=ARGUMENTS, headless=True)
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A page over both synthetic suites."""
    out = tmp_path_factory.mktemp("browser")
    write_fractal(out)
    write_digits(out)
    records = [without_agreement(r) for r in find_records([out])]
    return write_report(records, out, "Guidance compared")


def without_agreement(stored: StoredRecord) -> StoredRecord:
    """As a real run leaves it: unconditional rows have no label agreement."""
    if not stored.record.row.startswith("uncond"):
        return stored
    metrics = {k: m for k, m in stored.record.metrics.items() if k != "agreement"}
    return StoredRecord(
        path=stored.path, record=stored.record.model_copy(update={"metrics": metrics})
    )


@pytest.fixture(scope="session")
def screenshots(tmp_path_factory: pytest.TempPathFactory) -> Path:
    named = os.environ.get("GUIDEBENCH_SCREENSHOTS")
    folder = Path(named) if named else tmp_path_factory.mktemp("screenshots")
    folder.mkdir(parents=True, exist_ok=True)
    return folder


class Visit:
    """An open page, and everything it should not have done."""

    def __init__(self, browser: "Browser", report: Path, **options: Any) -> None:  # noqa: ANN401 - those of new_context
        self.context = browser.new_context(**options)
        self.page = self.context.new_page()
        self.complaints: list[str] = []
        self.requests: list[str] = []
        self.page.on("console", lambda m: self.complaints.append(f"{m.type}: {m.text}"))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("request", lambda r: self.requests.append(r.url))
        self.page.goto(report.as_uri())
        self.page.wait_for_selector(".plot svg")


@pytest.fixture
def desktop(browser: "Browser", report: Path) -> Iterator["Page"]:
    """The page on a desktop; a test fails where the page complained or asked for anything."""
    visit = Visit(browser, report, viewport=DESKTOP)
    yield visit.page
    asked = [url for url in visit.requests if not url.startswith("data:")]
    visit.context.close()
    assert visit.complaints == []
    assert asked == [report.as_uri()]
