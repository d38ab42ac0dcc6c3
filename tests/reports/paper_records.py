"""Synthetic records in the rows of the papers' suites, as if they had been run."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from guidebench.reports.record import CurvePoint, Display, MetricResult
from guidebench.reports.store import StoredRecord
from guidebench.runs.catalog import load_suite

from .synthetic import Row, metric, write_run

LABELS = {"fid": "FID", "fd_dinov2": "FD_DINOv2"}


def write_rows(
    out: Path, suite: str, *, share: float = 1.0, repeats: int = 3, seed: int = 0
) -> None:
    """A record for the first `share` of a suite's rows: the published values and some luck."""
    rng = np.random.default_rng(seed)
    rows = load_suite(suite)
    for row in rows[: round(share * len(rows))]:
        found: dict[str, MetricResult] = {}
        influences = {}
        for name in row.spec.metrics:
            printed = row.spec.published.get(name)
            value = printed.value if printed else _between(row.spec.curves, name)
            sets = [value * (1 + 0.01 * abs(x)) for x in rng.standard_normal(repeats)]
            influence = 0.6 * value * rng.standard_normal(150)
            display = Display(label=LABELS[name], better="lower")
            made = metric(influence, float(np.mean(sets)), display, repeats=[*map(float, sets)])
            error = 0.004 * value
            interval = made.value - 1.96 * error, made.value + 1.96 * error
            found[name] = made.model_copy(
                update={"num_images": 50_000, "standard_error": error, "interval_95": interval}
            )
            influences[name] = influence
        described = Row(
            row=row.name, title=row.spec.title, order=row.order, role=row.spec.role,
            calls={"main": 63}, repeats=repeats,
            curves=tuple(CurvePoint.model_validate(c.model_dump()) for c in row.spec.curves),
        )  # fmt: skip
        write_run(out, (suite, row.suite_title), described, found, influences, None)


def _between(curves: Sequence[object], name: str) -> float:
    """A parabola over weights, for curves whose points no paper prints."""
    at = getattr(curves[0], "at", 2.0) if curves else 2.0
    return (1.4 if name == "fid" else 40.0) * (1 + 0.3 * (at - 2.0) ** 2)


def iid(records: Sequence[StoredRecord]) -> list[StoredRecord]:
    """The synthetic records call their labels uniform; the papers' rows are i.i.d. uniform."""
    return [
        StoredRecord(path=r.path, record=r.record.model_copy(update={"labels": "i.i.d. uniform"}))
        for r in records
    ]
