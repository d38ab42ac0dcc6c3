"""One HTML file with everything: summary, tables, figures, and how to repeat each number."""

import base64
import os
import shlex
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import final

from markupsafe import Markup

from guidebench.base import atomic_write
from guidebench.reports.groups import Group, group_records
from guidebench.reports.numbers import ABSENT, prefixed, significant
from guidebench.reports.plots import SavedPlot, save_plots
from guidebench.reports.record import Record, RecordError
from guidebench.reports.render import environment, html
from guidebench.reports.store import StoredRecord
from guidebench.reports.summary import summary
from guidebench.reports.tables import build_table, calls_per_sample, setting_words

FILE_NAME = "report.html"
FIGURES = "figures"
LARGEST_SVG = 150_000


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Picture:
    """A figure inside the page, with paths to its files beside the page."""

    source: str
    caption: str
    alt: str
    png: str
    svg: str


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Origin:
    """Where one row comes from and what it cost, as text."""

    title: str
    command: str
    link: str
    spec: str
    networks: str
    calls: str
    flops: str
    batch: str
    first_call: str


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Section:
    """One group on the page."""

    anchor: str
    title: str
    setting: str
    summary: tuple[str, ...]
    table: Markup
    pictures: tuple[Picture, ...]
    origins: tuple[Origin, ...]
    environment: dict[str, str]
    unmeasured: tuple[str, ...]


def write_report(records: Sequence[StoredRecord], out: Path, title: str) -> Path:
    """Write `OUT/report.html`, which needs no other file, and its figures to `OUT/figures`.

    Args:
        records: what to report, any mix of suites; each group becomes a section.
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
    page = environment().get_template("report.html.j2").render(title=title, sections=sections)
    atomic_write(out / FILE_NAME, page.encode())
    return out / FILE_NAME


def repeat_command(record: Record) -> str:
    """The command that makes this record again.

    Engine and precision are named, since the numbers depend on them; the device is not, since
    its name is not what a command takes.
    """
    seeds = record.seeds
    words = ["guidebench", "run", f"{record.suite}::{record.row}"]
    words += ["--num", str(seeds.num_per_repeat), "--seeds", str(seeds.first)]
    if seeds.repeats > 1:
        words += ["--repeats", str(seeds.repeats)]
    if record.role != "truth":
        words += ["--engine", record.cost.engine, "--precision", record.cost.precision]
    return shlex.join(words)


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
    rows = group.rows
    return Section(
        anchor=anchor,
        title=group.title,
        setting=setting_words(group),
        summary=tuple(summary(group)),
        table=Markup(html(build_table(group))),  # noqa: S704 - made by an escaping template
        pictures=tuple(_picture(plot, out) for plot in saved),
        origins=tuple(_origin(row, out) for row in rows),
        environment=_environment_words(rows),
        unmeasured=tuple(_unmeasured(rows)),
    )


def _picture(plot: SavedPlot, out: Path) -> Picture:
    """Small drawings as SVG, which stays sharp; large ones as PNG."""
    vector = plot.svg.stat().st_size <= LARGEST_SVG
    path, kind = (plot.svg, "image/svg+xml") if vector else (plot.png, "image/png")
    data = base64.b64encode(path.read_bytes()).decode()
    return Picture(
        source=f"data:{kind};base64,{data}",
        caption=plot.caption,
        alt=plot.alt,
        png=plot.png.relative_to(out).as_posix(),
        svg=plot.svg.relative_to(out).as_posix(),
    )


def _origin(stored: StoredRecord, out: Path) -> Origin:
    record, cost = stored.record, stored.record.cost
    flops = cost.flops_per_image
    first = cost.first_call_seconds
    networks = (f"{role}: {_network(record, role)}" for role in record.networks)
    return Origin(
        title=record.title,
        command=repeat_command(record),
        link=Path(os.path.relpath(stored.path.resolve(), out.resolve())).as_posix(),
        spec=record.spec_sha256[:12],
        networks="; ".join(networks) or ABSENT,
        calls=calls_per_sample(record),
        flops=ABSENT if flops is None else prefixed(flops),
        batch=str(cost.batch_size) if record.role != "truth" else ABSENT,
        first_call=ABSENT if first is None else f"{significant(first)} s",
    )


def _network(record: Record, role: str) -> str:
    network = record.networks[role]
    ema = "" if network.ema is None else f", EMA {network.ema:g}"
    return f"{network.name}{ema}, {network.parameters:,} parameters"


def _environment_words(rows: Sequence[StoredRecord]) -> dict[str, str]:
    """What each row ran on; where rows differ, every value that occurs."""
    found: dict[str, list[str]] = {}
    for row in rows:
        for key, value in row.record.environment.items():
            text = ABSENT if value is None else str(value)
            if text not in found.setdefault(key, []):
                found[key].append(text)
    if len(times := sorted(found.get("time", []))) > 1:
        found["time"] = [f"{times[0]} to {times[-1]}"]
    return {key: "; ".join(values) for key, values in found.items()}


def _unmeasured(rows: Sequence[StoredRecord]) -> Iterable[str]:
    """Each field that was not measured, with its reason, once."""
    reasons = {(k, w): None for row in rows for k, w in row.record.reasons.items()}
    return (f"{field}: {reason}." for field, reason in reasons)
