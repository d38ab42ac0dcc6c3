"""Evaluation results as the `model-index` metadata of a Hugging Face model card."""

import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from guidebench.base import atomic_write
from guidebench.reports.export import require
from guidebench.reports.machines import machine
from guidebench.reports.page_rows import repeat_command
from guidebench.reports.store import StoredRecord

FILE = "model-index.yaml"
TASK = "unconditional-image-generation"  # the Hub has no task of its own for class labels


def write(records: Sequence[StoredRecord], out: Path, project: str) -> list[str]:
    """Write `model-index.yaml`, to be pasted between the `---` lines of a README.md.

    Each row is a result of its own; real data is left out, since no model made it.
    """
    hub, yaml = require("huggingface_hub", "model-index"), require("yaml", "model-index")
    results = [
        result
        for stored in records
        if stored.record.role != "truth"
        for result in _results(hub, stored)
    ]
    index = hub.repocard_data.eval_results_to_model_index(project, results)
    text = yaml.safe_dump({"model-index": index}, sort_keys=False, allow_unicode=True)
    atomic_write(out / FILE, text.encode())
    return [f"{out / FILE}: {len(results)} results of the model {project}"]


def _results(hub: Any, stored: StoredRecord) -> Iterable[Any]:  # noqa: ANN401 - a lazy import
    record = stored.record
    conditional = record.labels != "none"
    for name, result in record.metrics.items():
        reference = result.reference
        yield hub.EvalResult(
            task_type=TASK,
            task_name="Class-conditional image generation" if conditional else "Image generation",
            dataset_type=_slug(reference.name if reference else record.suite),
            dataset_name=record.suite_title,
            dataset_config=f"{record.row}-{record.spec_sha256[:12]}",
            metric_type=name,
            metric_name=f"{result.display.label}, {record.title}",
            metric_value=result.value,
            metric_config=record.title,
            metric_args={
                "standard_error": result.standard_error,
                "interval_95": list(result.interval_95),
                "num_images": result.num_images,
                "noise_floor": result.noise_floor,
                "reference_sha256": reference.sha256 if reference else None,
                "features": result.features.name if result.features else None,
                "comparable": result.features.comparable if result.features else None,
                "command": repeat_command(record),
                "machine": machine(record),
            },
        )


def _slug(text: str) -> str:
    """A name as the Hub wants identifiers.

    >>> _slug("exact density of class A")
    'exact-density-of-class-a'
    """
    return re.sub(r"[^a-z0-9._/-]+", "-", text.lower()).strip("-")
