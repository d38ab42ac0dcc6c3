"""One HTML file with everything: summary, tables, charts, pictures, and each number's source."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import final

from markupsafe import Markup

from guidebench.base import atomic_write
from guidebench.reports.groups import Group, group_records
from guidebench.reports.machines import machines, mixed_machines
from guidebench.reports.page_assets import json_block, policy, scripts
from guidebench.reports.page_charts import chart_data
from guidebench.reports.page_frames import Frame, frames
from guidebench.reports.page_rows import Source, environment_words, sources, unmeasured
from guidebench.reports.page_speed import SpeedTable, speed_table
from guidebench.reports.page_table import PageLine, page_lines
from guidebench.reports.plot_images import columns_are_labels
from guidebench.reports.plots import SavedPlot, save_plots
from guidebench.reports.published import comparable_notes
from guidebench.reports.record import RecordError
from guidebench.reports.render import environment
from guidebench.reports.store import StoredRecord
from guidebench.reports.summary import headline, summary
from guidebench.reports.tables import Table, build_table, mixed_measurements, timing_doubts

FILE_NAME = "report.html"
FIGURES = "figures"


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Section:
    """One group on the page; `reference` names the row that pictures flip to at first."""

    anchor: str
    title: str
    lead: str
    meaning: str
    summary: tuple[str, ...]
    table: Table
    lines: tuple[PageLine, ...]
    notes: tuple[str, ...]
    doubts: tuple[str, ...]
    charts: dict[str, object]
    chart_json: Markup
    frames: tuple[Frame, ...]
    label_columns: bool
    reference: str
    speed: SpeedTable
    sources: tuple[Source, ...]
    environment: dict[str, str]
    unmeasured: tuple[str, ...]
    figures: tuple[tuple[str, str, str], ...]


def write_report(records: Sequence[StoredRecord], out: Path, title: str) -> Path:
    """Write `OUT/report.html`, which needs no other file, and its figures to `OUT/figures`.

    Args:
        records: what to report, any mix of suites and machines; each group becomes a section.
        out: folder of the report; made where it is missing.
        title: heading of the page.

    Returns:
        The path of the page.

    Raises:
        RecordError: where there are no records, or an array beside one cannot be used.
    """
    if not records:
        msg = f"no records for a report in {out}; name a folder that a run wrote"
        raise RecordError(msg)
    groups = group_records(records)
    sections = [
        _section(group, anchor, out) for group, anchor in zip(groups, _anchors(groups), strict=True)
    ]
    code = scripts()
    page = (
        environment()
        .get_template("report.html.j2")
        .render(
            title=title,
            origin=_origin(groups),
            sections=sections,
            scripts=code,
            policy=policy(code),
        )
    )
    atomic_write(out / FILE_NAME, page.encode())
    return out / FILE_NAME


def _origin(groups: Iterable[Group]) -> str:
    """How much the page shows, where it was sampled, and when."""
    records = [row.record for group in groups for row in group.rows]
    names = list(machines(records)) or ["no machine"]
    where = f"on {len(names)} machines: {'; '.join(names)}" if len(names) > 1 else f"on {names[0]}"
    days = sorted({str(record.environment.get("time") or "")[:10] for record in records} - {""})
    when = f", {days[0]}" if len(days) == 1 else f", {days[0]} to {days[-1]}" if days else ""
    suites = ", ".join(dict.fromkeys(record.suite_title for record in records))
    return f"{suites}: {len(records)} rows, sampled {where}{when}"


def _anchors(groups: Iterable[Group]) -> list[str]:
    """A name for each section, unique on the page and fit for a file."""
    seen: Counter[str] = Counter()
    anchors = []
    for group in groups:
        stem = "".join(c if c.isalnum() or c in "-_" else "-" for c in group.setting.suite)
        seen[stem] += 1
        anchors.append(stem if seen[stem] == 1 else f"{stem}-{seen[stem]}")
    return anchors


def _section(group: Group, anchor: str, out: Path) -> Section:
    saved = save_plots(group, out / FIGURES, anchor)
    table, charts, pictures = build_table(group), chart_data(group), frames(group)
    doubts = tuple(_doubts(group))
    lead, meaning = (*headline(group), "", "")[:2]
    sentences = summary(group)
    rows = [frame.row for frame in pictures]
    return Section(
        anchor=anchor,
        title=group.title,
        lead=lead,
        meaning=meaning,
        summary=tuple(sentences),
        table=table,
        lines=page_lines(table),
        notes=tuple(note for note in table.footnotes if note not in doubts),
        doubts=doubts,
        charts=charts,
        chart_json=json_block(charts),
        frames=tuple(pictures),
        label_columns=columns_are_labels(group),
        reference="none" if "none" in rows else next(iter(rows), ""),
        speed=speed_table(group),
        sources=sources(group, out),
        environment=environment_words(group.rows),
        unmeasured=tuple(unmeasured(group.rows)),
        figures=tuple(_figure(plot, out) for plot in saved),
    )


def _figure(plot: SavedPlot, out: Path) -> tuple[str, str, str]:
    """Caption, PNG and SVG of a figure, as links from the page."""
    png, svg = (path.relative_to(out).as_posix() for path in (plot.png, plot.svg))
    return plot.caption, png, svg


def _doubts(group: Group) -> Iterable[str]:
    """Everything that should make a reader trust a number of this section less."""
    yield from mixed_measurements(group)
    yield from mixed_machines(row.record for row in group.table_rows)
    yield from comparable_notes(group)
    yield from timing_doubts(group)
