"""Run folders made of synthetic numbers.

Shapes: N seeds.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt
from safetensors.numpy import save_file

from guidebench.base import sha256_file
from guidebench.reports.record import (
    Attachment,
    Cost,
    CurvePoint,
    Display,
    FeatureSource,
    Memory,
    MetricResult,
    NetworkUse,
    PublishedValue,
    Record,
    Seeds,
    StatisticsSource,
)
from guidebench.reports.store import StoredRecord, load_record

Floats = npt.NDArray[np.float64]
SIMPLE = Display(label="Score", better="lower")


@dataclass(frozen=True, kw_only=True)
class Row:
    """What `write_run` needs to know of one row."""

    row: str
    title: str
    order: int
    role: Literal["truth", "table", "curve"] = "table"
    calls: Mapping[str, int] | None = None
    curves: tuple[CurvePoint, ...] = ()
    repeats: int = 1
    time: str = "2026-11-22T10:00:00+00:00"
    doubts: tuple[str, ...] = ()
    published: Mapping[str, PublishedValue] = field(default_factory=dict)


def digest(*parts: object) -> str:
    return hashlib.sha256(repr(parts).encode()).hexdigest()


def metric(
    influence: Floats,
    value: float,
    display: Display,
    *,
    floor: float | None = None,
    repeats: Sequence[float] | None = None,
    features: bool = False,
) -> MetricResult:
    error = float(influence.std(ddof=1)) / float(np.sqrt(len(influence)))
    return MetricResult(
        value=value,
        standard_error=error,
        interval_95=(value - 1.96 * error, value + 1.96 * error),
        num_images=len(influence),
        noise_floor=floor,
        noise_floor_standard_error=None if floor is None else 0.03 * floor,
        repeats=tuple(repeats or (value,)),
        display=display,
        reference=StatisticsSource(name="reference", sha256=digest("reference"), num_images=8192),
        features=FeatureSource(
            name="digits", weights_sha256=digest("w"), resize=None, precision="fp32", tf32=False
        )
        if features
        else None,
    )


def write_run(  # noqa: PLR0917
    out: Path,
    suite: tuple[str, str],
    row: Row,
    metrics: Mapping[str, MetricResult],
    influences: Mapping[str, Floats],
    preview: tuple[str, Mapping[str, np.ndarray]] | None,
) -> Path:
    """One run folder; returns the path of its record."""
    spec = digest(suite, row.row, row.time, len(next(iter(influences.values()))))
    folder = out / suite[0] / row.row / spec[:12]
    folder.mkdir(parents=True, exist_ok=True)
    save_file(dict(influences), folder / "per_seed.safetensors")
    attached = None
    if preview is not None:
        kind, arrays = preview
        save_file(dict(arrays), folder / "preview.safetensors", metadata={"kind": kind})
        attached = attachment(folder / "preview.safetensors")
    count = len(next(iter(influences.values())))
    Record(
        suite=suite[0],
        suite_title=suite[1],
        row=row.row,
        title=row.title,
        role=row.role,
        order=row.order,
        curves=row.curves,
        spec_sha256=spec,
        samples_sha256=digest(spec, "samples"),
        scheme={"name": row.row},
        networks={
            "main": NetworkUse(name="main", ema=0.01, sha256=digest("main"), parameters=16641)
        },
        sampler=None if row.role == "truth" else {"name": "heun", "steps": 32},
        seeds=Seeds(first=0, num_per_repeat=count // row.repeats, repeats=row.repeats),
        labels="uniform",
        metrics=dict(metrics),
        cost=cost(row),
        environment=environment(row.time),
        reasons={"energy_joules_per_image": "this CPU has no energy counter"},
        per_seed=attachment(folder / "per_seed.safetensors"),
        preview=attached,
        published=dict(row.published),
    ).save(folder / "record.json")
    return folder / "record.json"


def attachment(path: Path) -> Attachment:
    return Attachment(file=path.name, sha256=sha256_file(path))


def cost(row: Row) -> Cost:
    calls = dict(row.calls or {})
    truth = row.role == "truth"
    rate = None if truth else 48_000.0 / sum(calls.values())
    return Cost(
        device="AMD EPYC 7B13",
        engine="eager",
        precision="fp32",
        batch_size=1024,
        ranks=1,
        threads_per_rank=2,
        images_per_second=rate,
        images_per_second_per_device=rate,
        network_calls_per_image=calls,
        flops_per_image=None if truth else 2.1e6 * sum(calls.values()),
        fraction_of_peak=None,
        peak_memory_bytes=Memory(
            allocated=None, reserved=None, device=None, host=None if truth else 402_653_184
        ),
        energy_joules_per_image=None,
        first_call_seconds=None if truth else 0.8,
        batch_seconds=() if truth else (0.5, 0.51, 0.52),
        doubts=row.doubts,
    )


def environment(time: str) -> dict[str, str | int | float | bool | None]:
    return {
        "commit": "f4fe5d5", "python": "3.12.3", "torch": "2.14.1+cpu", "cuda": None,
        "cpu": "AMD EPYC 7B13", "gpu": None, "threads": 2, "time": time,
    }  # fmt: skip


def write_simple(
    out: Path,
    row: Row,
    samples_N: Floats,
    *,
    display: Display = SIMPLE,
    suite: str = "simple",
    reference: str = "reference",
    preview: tuple[str, Mapping[str, np.ndarray]] | None = None,
    features: FeatureSource | None = None,
) -> StoredRecord:
    """A run with one metric, `score`, which is the mean of `samples_N`."""
    value = float(samples_N.mean())
    result = metric(samples_N - value, value, display)
    source = StatisticsSource(name="reference", sha256=digest(reference), num_images=8192)
    result = result.model_copy(update={"reference": source, "features": features})
    influences = {"score": np.ascontiguousarray(samples_N - value)}
    path = write_run(out, (suite, suite.title()), row, {"score": result}, influences, preview)
    return load_record(path)
