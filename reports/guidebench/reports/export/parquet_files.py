"""Two Parquet files: a line for each metric of each record, and one for each seed of each metric.

Shapes: N seeds.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from guidebench.base import atomic_file
from guidebench.reports.export import require
from guidebench.reports.machines import machine
from guidebench.reports.record import Record
from guidebench.reports.store import StoredRecord

METRICS, PER_SEED = "metrics.parquet", "per_seed.parquet"
KEYS = ("suite", "row", "spec_sha256", "machine")


def write(
    records: Sequence[StoredRecord],
    out: Path,
    project: str,  # noqa: ARG001 - all writers share one signature
) -> list[str]:
    """Write both files, whole or neither; numbers as stored, what was not measured as null.

    `per_seed.parquet` has the influence of each seed on each metric: the value of a metric is
    that of `metrics.parquet`, its standard error is sd(influence) / sqrt(N), and the difference
    of two rows with the same seeds has the error of the paired influences.
    """
    arrow, parquet = require("pyarrow", "parquet"), require("pyarrow.parquet", "parquet")
    lines = [line for stored in records for line in _metric_lines(stored)]
    count = 0
    with (
        atomic_file(out / METRICS) as metrics,
        atomic_file(out / PER_SEED) as seeds,
        parquet.ParquetWriter(seeds, _seed_schema(arrow), compression="zstd") as writer,
    ):
        parquet.write_table(arrow.Table.from_pylist(lines, _schema(arrow)), metrics)
        for stored in records:
            for table in _seed_tables(arrow, stored):  # never all in memory
                writer.write_table(table)
                count += table.num_rows
    return [
        f"{out / METRICS}: {len(lines)} metrics of {len(records)} records",
        f"{out / PER_SEED}: {count} influences",
    ]


def _keys(record: Record) -> dict[str, str]:
    return {
        "suite": record.suite,
        "row": record.row,
        "spec_sha256": record.spec_sha256,
        "machine": machine(record),
    }


def _metric_lines(stored: StoredRecord) -> Iterable[dict[str, object]]:
    record, cost = stored.record, stored.record.cost
    for name, result in record.metrics.items():
        published = record.published.get(name)
        yield {
            **_keys(record),
            "title": record.title,
            "role": record.role,
            "metric": name,
            "better": result.display.better,
            "value": result.value,
            "standard_error": result.standard_error,
            "low_95": result.interval_95[0],
            "high_95": result.interval_95[1],
            "noise_floor": result.noise_floor,
            "published": published.value if published else None,
            "num_images": result.num_images,
            "repeats": list(result.repeats),
            "first_seed": record.seeds.first,
            "device": cost.device,
            "engine": cost.engine,
            "precision": cost.precision,
            "ranks": cost.ranks,
            "network_calls_per_image": sum(cost.network_calls_per_image.values()),
            "flops_per_image": cost.flops_per_image,
            "images_per_second_per_device": cost.images_per_second_per_device,
            "peak_memory_allocated_bytes": cost.peak_memory_bytes.allocated,
            "peak_memory_host_bytes": cost.peak_memory_bytes.host,
            "time": str(record.environment.get("time") or "") or None,
            "record": str(stored.path),
        }


def _schema(arrow: Any) -> Any:  # noqa: ANN401 - pyarrow has no types
    text, number, count = arrow.string(), arrow.float64(), arrow.int64()
    kinds = {
        **dict.fromkeys((*KEYS, "title", "role", "metric", "better"), text),
        **dict.fromkeys(("value", "standard_error", "low_95", "high_95"), number),
        **dict.fromkeys(("noise_floor", "published"), number),
        "num_images": count,
        "repeats": arrow.list_(number),
        "first_seed": count,
        **dict.fromkeys(("device", "engine", "precision"), text),
        **dict.fromkeys(("ranks", "network_calls_per_image"), count),
        **dict.fromkeys(("flops_per_image", "images_per_second_per_device"), number),
        **dict.fromkeys(("peak_memory_allocated_bytes", "peak_memory_host_bytes"), count),
        **dict.fromkeys(("time", "record"), text),
    }
    return arrow.schema(list(kinds.items()))


def _seed_schema(arrow: Any) -> Any:  # noqa: ANN401 - pyarrow has no types
    coded = arrow.dictionary(arrow.int32(), arrow.string())
    fields = [*((key, coded) for key in (*KEYS, "metric")), ("seed", arrow.int64())]
    return arrow.schema([*fields, ("influence", arrow.float64())])


def _seed_tables(arrow: Any, stored: StoredRecord) -> Iterable[Any]:  # noqa: ANN401
    """One table for each metric: the seeds in order, and the influence of each."""
    schema, record = _seed_schema(arrow), stored.record
    for name in record.metrics:
        influence_N = stored.influence(name)
        count = len(influence_N)
        seed_N = record.seeds.first + np.arange(count)
        texts = [*_keys(record).values(), name]
        coded = [
            arrow.DictionaryArray.from_arrays(arrow.array(np.zeros(count, np.int32)), [text])
            for text in texts
        ]
        columns = [*coded, arrow.array(seed_N), arrow.array(influence_N)]
        yield arrow.Table.from_arrays(columns, schema=schema)
