"""What a reader does with the page: sort, flip, read charts, open sources, print, use keys."""

from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from .conftest import DESKTOP, PHONE, Visit

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

FRACTAL = "#fractal > .scroll table.sortable >> nth=0"


def column(page: "Page", index: int) -> list[str]:
    """Text of one column of the fractal's table, in the order shown."""
    cells = page.locator(f"{FRACTAL} >> tbody tr > :nth-child({index})")
    return [text.strip() for text in cells.all_inner_texts()]


def test_columns_sort_and_say_so(desktop: "Page") -> None:
    head = desktop.locator(f"{FRACTAL} >> thead th >> nth=1")
    assert head.get_attribute("aria-sort") == "none"
    before = column(desktop, 1)
    head.get_by_role("button").click()
    assert head.get_attribute("aria-sort") == "ascending"  # lower is better: best first
    rates = [float(text.split(" ")[0]) for text in column(desktop, 2)]
    assert column(desktop, 1)[0] == "Truth"  # real data stays on top
    assert rates[1:] == sorted(rates[1:])
    head.get_by_role("button").press("Enter")
    assert head.get_attribute("aria-sort") == "descending"
    rates = [float(text.split(" ")[0]) for text in column(desktop, 2)]
    assert rates[1:] == sorted(rates[1:], reverse=True)
    said = desktop.locator("#fractal > output").first.inner_text()
    assert said.startswith("Sorted descending by Outlier rate")
    head.get_by_role("button").click()
    assert head.get_attribute("aria-sort") == "none"
    assert column(desktop, 1) == before


def test_what_was_not_measured_sorts_last(desktop: "Page") -> None:
    table = desktop.locator("#digits > .scroll table.sortable").first
    heads = table.locator("thead th")
    texts = heads.all_inner_texts()
    place = next(i for i, text in enumerate(texts) if text.startswith("Label agreement"))
    for _ in range(2):
        heads.nth(place).get_by_role("button").click()
        texts = table.locator(f"tbody tr > :nth-child({place + 1})").all_inner_texts()
        assert [t.strip() for t in texts][-2:] == ["—", "—"]


def test_number_opens_its_source_and_escape_closes_it(desktop: "Page") -> None:
    number = desktop.locator(f"{FRACTAL} >> tbody tr:nth-child(3) td:nth-child(2) button")
    number.focus()
    desktop.keyboard.press("Enter")
    source = desktop.locator("#fractal-row-cfg")
    source.wait_for(state="visible")
    assert "guidebench run fractal::cfg --num 4096 --seeds 0" in source.inner_text()
    link = source.get_by_role("link", name="record.json").get_attribute("href")
    assert link is not None
    assert link.endswith("record.json")
    desktop.keyboard.press("Escape")
    source.wait_for(state="hidden")
    assert desktop.evaluate("document.activeElement.getAttribute('popovertarget')") == (
        "fractal-row-cfg"
    )


def shown(page: "Page", place: int) -> str:
    return page.locator("#digits .frames figure").nth(place).locator(".shown").inner_text()


def test_pictures_flip_by_pointer_click_and_keys(desktop: "Page") -> None:
    frames = desktop.locator("#digits button.frame")
    image, plain = frames.nth(2).locator("img"), frames.nth(1).locator("img")
    own, reference = image.get_attribute("src"), plain.get_attribute("src")
    assert own != reference
    frames.nth(2).hover()
    assert image.get_attribute("src") == reference
    assert shown(desktop, 2) == "now showing: No guidance"
    desktop.mouse.move(0, 0)
    assert image.get_attribute("src") == own
    frames.nth(2).focus()
    desktop.keyboard.press("Enter")
    assert frames.nth(2).get_attribute("aria-pressed") == "true"
    assert image.get_attribute("src") == reference
    desktop.keyboard.press("Enter")
    assert image.get_attribute("src") == own
    desktop.keyboard.press("ArrowRight")
    assert image.get_attribute("src") == frames.nth(3).locator("img").get_attribute("src")
    desktop.keyboard.press("ArrowLeft")
    assert image.get_attribute("src") == own
    desktop.locator("#digits [data-reference]").select_option("4")
    frames.nth(2).click()
    assert image.get_attribute("src") == frames.nth(4).locator("img").get_attribute("src")


def test_pointing_marks_the_same_seed_in_every_picture(desktop: "Page") -> None:
    frames = desktop.locator("#digits button.frame")
    frames.first.scroll_into_view_if_needed()
    box = frames.first.bounding_box()
    assert box is not None
    desktop.mouse.move(box["x"] + 0.35 * box["width"], box["y"] + 0.6 * box["height"])
    for place in range(frames.count()):
        cell = frames.nth(place).locator(".cell")
        at, size = cell.bounding_box(), frames.nth(place).bounding_box()
        assert at is not None
        assert size is not None
        assert (at["x"] - size["x"]) / size["width"] == pytest.approx(0.3, abs=0.02)
        assert (at["y"] - size["y"]) / size["height"] == pytest.approx(0.5, abs=0.02)


def test_series_can_be_hidden(desktop: "Page") -> None:
    lines = desktop.locator("#fractal [data-curve='0'] svg [aria-label='line'] path")
    assert lines.count() == 2
    button = desktop.locator("#fractal .legend button").first
    button.click()
    assert button.get_attribute("aria-pressed") == "false"
    assert lines.count() == 1
    button.click()
    assert lines.count() == 2


def test_log_scale_changes_the_axis(desktop: "Page") -> None:
    ticks = desktop.locator("#fractal [data-curve='2'] svg [aria-label='y-axis tick label'] text")
    before = ticks.all_inner_texts()
    desktop.locator("#fractal [data-log]").check()
    assert ticks.all_inner_texts() != before


def test_curves_are_read_by_keys(desktop: "Page") -> None:
    chart = desktop.locator("#fractal [data-curve='0']")
    chart.focus()
    desktop.keyboard.press("ArrowRight")
    said = chart.locator(".readout")
    first = said.inner_text()
    assert first.startswith("No guidance. guidance weight w: 1. Outlier rate: ")
    desktop.keyboard.press("End")
    assert said.inner_text().startswith("CFG, w = 5.")
    desktop.keyboard.press("Enter")
    source = desktop.locator("#fractal-row-cfg-w5")
    source.wait_for(state="visible")
    desktop.keyboard.press("Escape")
    source.wait_for(state="hidden")


def test_pointing_at_a_curve_shows_and_clicking_opens(desktop: "Page") -> None:
    chart = desktop.locator("#fractal [data-curve='0']")
    dot = chart.locator("svg [aria-label='dot'] path, svg [aria-label='dot'] circle").nth(4)
    dot.hover(force=True)
    assert "Outlier rate: " in (chart.locator("svg [aria-label='tip']").text_content() or "")
    dot.click(force=True)
    assert desktop.locator(".source:popover-open").count() == 1


def test_cost_chart_follows_its_choices(desktop: "Page") -> None:
    cost = desktop.locator("#fractal .cost")
    assert cost.locator("figcaption").inner_text().startswith("Outlier rate")
    assert "on the front" in cost.locator("[data-row='autoguidance']").inner_text()
    cost.locator("[data-metric]").select_option("sliced_wasserstein")
    cost.locator("[data-cost]").select_option("calls")
    assert cost.locator("figcaption").inner_text().startswith("Sliced Wasserstein")
    assert "network calls per sample" in (cost.locator("svg").text_content() or "")
    numbers = cost.locator("svg [aria-label='text'] text").all_text_contents()
    assert sorted(numbers) == ["1", "2", "3", "4", "5"]


def test_everything_is_reached_by_tab_in_reading_order(desktop: "Page") -> None:
    tops = []
    desktop.keyboard.press("Tab")
    assert desktop.evaluate("document.activeElement.className") == "skip"
    for _ in range(400):
        desktop.keyboard.press("Tab")
        place = desktop.evaluate(
            """() => { const e = document.activeElement; if (e === document.body) return null;
               const f = e.closest('.scroll, .beside, .panels, .sheet') ?? e;
               return f.getBoundingClientRect().top + scrollY; }"""
        )
        if place is None:
            break
        tops.append(place)
    else:
        pytest.fail("400 tabs did not reach the end of the page")
    assert len(tops) > 100
    assert tops == sorted(tops)


def test_names_and_roles_reach_a_screen_reader(desktop: "Page") -> None:
    unnamed = desktop.evaluate(
        """() => [...document.querySelectorAll(
            'button, select, input, img, a, [role], [tabindex="0"]')]
        .filter(e => !(e.textContent.trim() || e.getAttribute('aria-label') || e.alt
                       || e.labels?.length || e.getAttribute('aria-labelledby')))
        .map(e => e.outerHTML.slice(0, 120))"""
    )
    assert unnamed == []
    levels = desktop.evaluate(
        "[...document.querySelectorAll('main h1, main h2, main h3')].map(h => +h.tagName[1])"
    )
    assert levels[0] == 1
    assert all(b - a <= 1 for a, b in pairwise(levels))


def test_policy_refuses_what_the_page_did_not_bring(browser: "Browser", report: Path) -> None:
    """The same page under attack: eval, a foreign script and a request are all refused."""
    visit = Visit(browser, report, viewport=DESKTOP)
    page = visit.page
    refused = page.evaluate(
        """async () => {
          const said = [];
          addEventListener('securitypolicyviolation', e => said.push(e.effectiveDirective));
          const script = document.createElement('script');
          script.textContent = 'window.ran = true'; document.body.append(script);
          await fetch('http://127.0.0.1:9/').catch(() => {});
          const image = new Image(); image.src = 'http://127.0.0.1:9/x.png';
          await new Promise(done => setTimeout(done, 100));
          return [window.ran ?? false, said.sort()];
        }"""
    )
    assert refused == [False, ["connect-src", "img-src", "script-src-elem"]]
    visit.context.close()


@pytest.mark.parametrize("width", [320, 390, 768, 1280])
def test_page_never_scrolls_sideways(browser: "Browser", report: Path, width: int) -> None:
    visit = Visit(browser, report, viewport={"width": width, "height": 844})
    assert visit.page.evaluate("document.documentElement.scrollWidth") == width
    visit.context.close()
    assert visit.complaints == []


def test_tap_flips_on_a_phone(browser: "Browser", report: Path) -> None:
    visit = Visit(browser, report, viewport=PHONE, has_touch=True, is_mobile=True)
    frame = visit.page.locator("#digits button.frame").nth(2)
    own = frame.locator("img").get_attribute("src")
    frame.tap()
    assert frame.locator("img").get_attribute("src") != own
    frame.tap()
    assert frame.locator("img").get_attribute("src") == own
    visit.context.close()


def luminance(page: "Page", selector: str, what: str) -> float:
    """Relative luminance of a computed colour, WCAG 2."""
    text = page.evaluate(f"getComputedStyle(document.querySelector('{selector}')).{what}")
    parts = [float(v) / 255 for v in text.strip("rgba()").split(",")[:3]]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_has_contrast(browser: "Browser", report: Path, scheme: str) -> None:
    visit = Visit(browser, report, viewport=DESKTOP, color_scheme=scheme)
    back = luminance(visit.page, "body", "backgroundColor")
    assert (back < 0.05) == (scheme == "dark")
    for selector in ("body", ".quiet", ".notes", "thead th", "a", ".doubts h3", ".truth .open"):
        light, dark = sorted([back, luminance(visit.page, selector, "color")], reverse=True)
        assert (light + 0.05) / (dark + 0.05) >= 4.5, selector
    visit.context.close()


def test_prints_every_row_and_command(browser: "Browser", report: Path, screenshots: Path) -> None:
    visit = Visit(browser, report, viewport=DESKTOP, color_scheme="dark")
    target = screenshots / "print.pdf"
    visit.page.pdf(
        path=target,
        format="A4",
        margin={"top": "12mm", "bottom": "12mm", "left": "12mm", "right": "12mm"},
    )
    assert target.read_bytes().startswith(b"%PDF")
    visit.page.emulate_media(media="print")
    assert luminance(visit.page, "body", "backgroundColor") > 0.95  # white paper, dark theme or not
    for row in visit.page.locator(".origins tbody tr").all():
        assert "guidebench run" in row.inner_text()
    visit.context.close()


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("desktop", {"viewport": DESKTOP}),
        ("dark", {"viewport": DESKTOP, "color_scheme": "dark"}),
        ("phone", {"viewport": PHONE, "device_scale_factor": 2, "is_mobile": True}),
    ],
)
def test_screenshots(
    browser: "Browser", report: Path, screenshots: Path, name: str, options: dict[str, Any]
) -> None:
    """For people to look at; here only that the page was drawn in full."""
    visit = Visit(browser, report, **options)
    visit.page.screenshot(path=screenshots / f"{name}.png", full_page=True)
    drawn = visit.page.locator(".plot svg").count()
    assert drawn == visit.page.locator(".chart").count() > 4
    visit.context.close()
    assert visit.complaints == []
