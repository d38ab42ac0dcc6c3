"""The papers' tables and figures, taken from the suites that can run them. No torch."""

import re
from collections.abc import Callable, Iterable
from typing import Final

from guidebench.reports.papers.model import (
    Minimum,
    Panel,
    PaperFigure,
    PaperRow,
    PaperTable,
    PaperValue,
)
from guidebench.runs.catalog import load_suite
from guidebench.runs.spec import CheckpointRef, Row, RunSpec
from guidebench.runs.suites import interval_steps, table1_img64
from guidebench.runs.suites._edm2 import Unrunnable

_LABELS: Final = {"fid": "FID", "fd_dinov2": "FD_DINOv2"}
_SUFFIX: Final = re.compile(r"(, w = [\d.]+)? \((FID|FD_DINOv2) setting\)$")
_INTERVAL: Final = f"{interval_steps.INTERVAL_PAPER}, Table 1"
_DIT: Final = "another architecture (DiT) and sampler (250 iDDPM steps) than are read here"


def paper_tables() -> dict[str, PaperTable]:
    """Every table by name."""
    found = [
        _table("table1-img512", "Table 1 of arXiv:2406.02507, ImageNet-512", ["table1-img512"]),
        _table(
            "table1-img64", "Table 1 of arXiv:2406.02507, ImageNet-64", ["table1-img64"],
            first=table1_img64.UNRUNNABLE,
        ),
        _table(
            "edm2-table2", "Table 2 of arXiv:2312.02696, ImageNet-512", ["edm2-table2"],
        ),
        _table("edm2-img64", "Sizes of arXiv:2312.02696, ImageNet-64", ["edm2-img64"]),
        _interval_table(),
        _table("degradation", "Degradation study, Sec. 4 of arXiv:2406.02507", ["degradation"]),
    ]  # fmt: skip
    return {table.name: table for table in found}


def _table(
    name: str, title: str, suites: Iterable[str], *, first: Iterable[Unrunnable] = ()
) -> PaperTable:
    """Rows of the suites' tables; settings of one title share a line, a metric each."""
    rows = [row for suite in suites for row in load_suite(suite) if row.spec.role == "table"]
    return PaperTable(name=name, title=title, rows=(*map(_unrunnable, first), *_lines(rows)))


def _lines(
    rows: Iterable[Row], source: Callable[[str], str] = lambda source: source
) -> list[PaperRow]:
    lines: dict[str, list[PaperValue]] = {}
    for row in rows:
        values = lines.setdefault(_SUFFIX.sub("", row.spec.title), [])
        for metric in row.spec.published or row.spec.metrics:
            values.append(_value(row, metric, source))
    return [PaperRow(title=title, cells=tuple(values)) for title, values in lines.items()]


def _value(row: Row, metric: str, source: Callable[[str], str]) -> PaperValue:
    printed = row.spec.published.get(metric)
    return PaperValue(
        metric=metric,
        label=_LABELS.get(metric, metric),
        published=printed.value if printed else None,
        source=source(printed.source) if printed else "",
        note=printed.note if printed else None,
        setting=_setting(row.spec),
        row=row.label,
    )


def _unrunnable(row: Unrunnable) -> PaperRow:
    value = PaperValue(
        metric="fid",
        label=_LABELS["fid"],
        published=row.value,
        source=row.source,
        note=None,
        setting={"EMA": f"{row.ema:.3f}"} if row.ema else {},
        row=None,
        reason=row.reason,
    )
    return PaperRow(title=row.title, cells=(value,))


def _dit(title: str, *printed: tuple[float, str, str]) -> PaperRow:
    """A line of DiT: value, weight and interval for FID, then for FD_DINOv2."""
    values = tuple(
        PaperValue(
            metric=metric,
            label=label,
            published=value,
            source=_INTERVAL,
            note=None,
            setting={"w": w} | ({"interval": interval} if interval else {}),
            row=None,
            reason=_DIT,
        )
        for (metric, label), (value, w, interval) in zip(_LABELS.items(), printed, strict=True)
    )
    return PaperRow(title=title, cells=values)


def _setting(spec: RunSpec) -> dict[str, str]:
    """Weight, interval and EMA lengths, as papers print them."""
    found: dict[str, str] = {}
    for term in spec.scheme.terms if spec.scheme else ():
        found["w"] = f"{term.schedule.weight:.2f}"
        if term.schedule.kind == "interval":
            found["interval"] = f"({term.schedule.sigma_lo:.2f}, {term.schedule.sigma_hi:.2f}]"
    for role, ref in spec.networks.items():
        if isinstance(ref, CheckpointRef):
            found["EMA" if role == "main" else "guide EMA"] = ref.checkpoint.rpartition("-")[2]
    return found


def _interval_table() -> PaperTable:
    """Its EDM2 values at 32 steps are those that Table 1 of arXiv:2406.02507 repeats."""
    wanted = re.compile(r"edm2-(s|xxl)-cfg(-interval)?-(fid|fd-dinov2)$")
    rows = [row for row in load_suite("table1-img512") if wanted.match(row.name)]
    lines = _lines(rows, lambda source: f"{_INTERVAL}, repeated in {source}")
    return PaperTable(
        name="interval",
        title="Table 1 of arXiv:2404.07724, ImageNet-512",
        rows=(
            *lines,
            *_lines(load_suite("interval-steps")),
            _dit("DiT-XL/2 + CFG", (3.04, "1.50", ""), (51.97, "2.00", "")),
            _dit(
                "DiT-XL/2 + CFG in an interval",
                (2.40, "2.50", "(0.34, 1.02]"),
                (43.94, "4.00", "(0.45, 1.23]"),
            ),
        ),
        notes=("Intervals are levels of the 32-step schedule, rounded as the paper prints them.",),
    )


def paper_figures() -> dict[str, PaperFigure]:
    """Figures 3 and 7 by name; Figure 1 is drawn from the fractal's points."""
    return {"figure3": _figure3(), "figure7": _figure7()}


def _optima(suite: str, metric: str) -> list[Minimum]:
    """Printed minima of the curves, at the place of their row."""
    return [
        Minimum(series=curve.series, at=curve.at, value=row.spec.published[metric].value)
        for row in load_suite(suite)
        if row.spec.role == "table" and metric in row.spec.published
        for curve in row.spec.curves
        if curve.axis == "weight"
    ]


def _figure3() -> PaperFigure:
    """A guide's printed minimum is placed only where the paper prints its weight."""
    every = {m.series: m for m in _optima("fig3", "fid")}
    best = "guide XS, T/16"

    def over_weights(title: str, *names: str) -> Panel:
        series = tuple(f"guide {name}" for name in names)
        minima = tuple(
            every[s] if s == best else Minimum(series=s, at=None, value=every[s].value)
            for s in series
        )
        return Panel(
            title=title, metric="fid", label="FID", axis="weight", series=series, minima=minima
        )

    def over_lengths(title: str, axis: str, at: float) -> Panel:
        minimum = Minimum(series=best, at=at, value=every[best].value)
        return Panel(
            title=title, metric="fid", label="FID", axis=axis, series=(best,), minima=(minimum,)
        )

    return PaperFigure(
        name="figure3",
        title="Figure 3 of arXiv:2406.02507: EDM2-S, ImageNet-512",
        suite="fig3",
        panels=(
            over_weights("(a) training of the guide", "XS, T/32", "XS, T/16", "XS, T/8"),
            over_weights("(b) capacity of the guide", "XXS, T/16", "XS, T/16", "S, T/16"),
            over_lengths("(c) EMA of the main network", "ema_main", 0.070),
            over_lengths("(c) EMA of the guide", "ema_guide", 0.125),
        ),
    )


def _figure7() -> PaperFigure:
    panels = []
    for metric, label in _LABELS.items():
        minima = tuple(_optima("fig7", metric))
        series = tuple(m.series for m in minima)
        panels.append(
            Panel(
                title=label, metric=metric, label=label, axis="weight", series=series,
                minima=minima,
            )
        )  # fmt: skip
    return PaperFigure(
        name="figure7",
        title="Figure 7 of arXiv:2406.02507: EDM2-S, ImageNet-512",
        suite="fig7",
        panels=tuple(panels),
    )


FIGURE1_ROWS: Final = ("truth", "none", "cfg-w4", "naive-s1-4", "autoguidance-w3")
"""Rows of the suite `fractal` that are the panels of Figure 1."""
