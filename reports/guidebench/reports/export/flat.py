"""A record as flat names and values: what trackers call parameters, metrics and tags."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import final

from guidebench.base import sha256_file
from guidebench.reports.machines import machine
from guidebench.reports.page_rows import repeat_command
from guidebench.reports.pareto import cost_of
from guidebench.reports.record import Record
from guidebench.reports.store import StoredRecord

Scalar = str | int | float | bool


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Flat:
    """One record: `digest` is that of its file, so that the same record is known again."""

    name: str
    digest: str
    params: dict[str, Scalar]
    metrics: dict[str, float]
    tags: dict[str, str]


def flatten(stored: StoredRecord) -> Flat:
    """Every choice as a parameter, every number as a metric, the rest as tags."""
    record = stored.record
    return Flat(
        name=stored.name,
        digest=sha256_file(stored.path),
        params=_params(record),
        metrics=dict(_metrics(record)),
        tags={
            "title": record.title,
            "role": record.role,
            "machine": machine(record),
            "spec_sha256": record.spec_sha256,
            "samples_sha256": record.samples_sha256,
            "command": repeat_command(record),
            "doubts": "; ".join(record.cost.doubts),
            **{f"environment.{k}": str(v) for k, v in record.environment.items() if v is not None},
        },
    )


def _params(record: Record) -> dict[str, Scalar]:
    cost = record.cost
    chosen: dict[str, object] = {
        "suite": record.suite,
        "row": record.row,
        "scheme": record.scheme,
        "sampler": record.sampler,
        "networks": {k: n.model_dump(mode="json") for k, n in record.networks.items()},
        "seeds": record.seeds.model_dump(mode="json"),
        "labels": record.labels,
        "curves": {f"{c.series}.{c.axis}": c.at for c in record.curves},
        "engine": cost.engine,
        "precision": cost.precision,
        "device": cost.device,
        "batch_size": cost.batch_size,
        "ranks": cost.ranks,
    }
    return dict(_leaves("", chosen))


def _leaves(prefix: str, value: object) -> Iterable[tuple[str, Scalar]]:
    """`{"a": {"b": [1]}}` becomes `a.b.0: 1`; what is None is left out."""
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _leaves(f"{prefix}.{key}" if prefix else str(key), inner)
    elif isinstance(value, list | tuple):
        for index, inner in enumerate(value):
            yield from _leaves(f"{prefix}.{index}", inner)
    elif isinstance(value, str | int | float | bool):
        yield prefix, value


def _metrics(record: Record) -> Iterable[tuple[str, float]]:
    for name, result in record.metrics.items():
        yield name, result.value
        yield f"{name}.standard_error", result.standard_error
        yield f"{name}.low_95", result.interval_95[0]
        yield f"{name}.high_95", result.interval_95[1]
        if result.noise_floor is not None:
            yield f"{name}.noise_floor", result.noise_floor
    cost = record.cost
    costs = {
        "images_per_second": cost.images_per_second,
        "images_per_second_per_device": cost.images_per_second_per_device,
        "flops_per_image": cost.flops_per_image,
        "network_calls_per_image": cost_of(record, "calls"),
        "energy_joules_per_image": cost.energy_joules_per_image,
        "fraction_of_peak": cost.fraction_of_peak,
        "first_call_seconds": cost.first_call_seconds,
        **{f"peak_memory_bytes.{k}": v for k, v in cost.peak_memory_bytes.model_dump().items()},
    }
    for name, value in costs.items():
        if value is not None and math.isfinite(value):
            yield f"cost.{name}", float(value)
