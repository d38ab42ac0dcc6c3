"""Where each number of a page comes from: its record, its spec and the command that repeats it."""

import os
import re
import shlex
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import final

from guidebench.reports.groups import Group
from guidebench.reports.machines import machine
from guidebench.reports.numbers import ABSENT
from guidebench.reports.record import MetricResult, Record
from guidebench.reports.store import StoredRecord

SHOWN = 12  # digits of a digest or a commit
_PAIRS = {  # metrics that `guidebench measure` takes two at a time
    "precision": "precision_recall",
    "recall": "precision_recall",
    "density": "density_coverage",
    "coverage": "density_coverage",
}


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Number:
    """One metric of a row, unrounded, and what it was measured against.

    `corrected` is the value without its bias at this number of images, empty where unknown.
    """

    label: str
    value: str
    error: str
    interval: str
    floor: str
    against: str
    covers: str
    corrected: str


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Source:
    """One row: files relative to the page (`spec` is empty where none lies there), and words."""

    row: str
    title: str
    role: str
    command: str
    record: str
    spec: str
    spec_sha256: str
    networks: str
    machine: str
    software: str
    time: str
    numbers: tuple[Number, ...]


def row_id(row: str) -> str:
    """A row's name as a part of an element's id: a folder of images may have any name.

    >>> row_id("my images")
    'my-images'
    """
    return re.sub(r"[^\w.-]+", "-", row)


def sources(group: Group, out: Path) -> tuple[Source, ...]:
    """A source for each row of a group, curve rows too; `out` is the page's folder."""
    return tuple(_source(row, out) for row in group.rows)


def repeat_command(record: Record) -> str:
    """The command that makes this record again.

    Engine and precision are named, since the numbers depend on them; the device is not, since
    its name is not what a command takes. Of given images a record knows the name alone, and of
    their reference: the command wants both in reach. It names another folder than the first
    measurement's, since `measure` replaces no record.
    """
    if record.scheme.get("name") == "given images":
        names = [m.reference.name for m in record.metrics.values() if m.reference] or ["REFERENCE"]
        words = ["guidebench", "measure", record.row, "--reference", names[0]]
        words += ["--metrics", ",".join(dict.fromkeys(map(_asked_for, record.metrics)))]
        return shlex.join([*words, "--out", f"results/measured-again/{record.row}"])
    seeds = record.seeds
    words = ["guidebench", "run", record.runs_as]
    words += ["--num", str(seeds.num_per_repeat), "--seeds", str(seeds.first)]
    if seeds.repeats > 1:
        words += ["--repeats", str(seeds.repeats)]
    if record.role != "truth":
        words += ["--engine", record.cost.engine, "--precision", record.cost.precision]
    return shlex.join(words)


def _asked_for(metric: str) -> str:
    """The name by which `guidebench measure` takes a metric.

    >>> _asked_for("recall:inception"), _asked_for("fd_dinov2")
    ('precision_recall:inception', 'fd_dinov2')
    """
    kind, colon, extractor = metric.partition(":")
    return f"{_PAIRS.get(kind, kind)}{colon}{extractor}"


def environment_words(rows: Sequence[StoredRecord]) -> dict[str, str]:
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


def unmeasured(rows: Sequence[StoredRecord]) -> Iterable[str]:
    """Each field that was not measured, with its reason, once."""
    reasons = {(k, w): None for row in rows for k, w in row.record.reasons.items()}
    return (f"{field}: {reason}." for field, reason in reasons)


def _source(stored: StoredRecord, out: Path) -> Source:
    record, environment = stored.record, stored.record.environment
    spec = stored.path.with_name("spec.json")
    software = (
        f"{key} {str(environment[key])[:SHOWN]}"
        for key in ("guidebench", "commit", "torch", "python", "cuda", "driver")
        if environment.get(key)
    )
    return Source(
        row=row_id(record.row),
        title=record.title,
        role=record.role,
        command=repeat_command(record),
        record=_link(stored.path, out),
        spec=_link(spec, out) if spec.is_file() else "",
        spec_sha256=record.spec_sha256,
        networks="; ".join(f"{role}: {_network(record, role)}" for role in record.networks)
        or ABSENT,
        machine=machine(record),
        software=", ".join(software),
        time=str(environment.get("time") or ABSENT),
        numbers=tuple(_number(result) for result in record.metrics.values()),
    )


def _link(path: Path, out: Path) -> str:
    """A relative link, so that the folder may move; across drives there is only the absolute."""
    try:
        return Path(os.path.relpath(path.resolve(), out.resolve())).as_posix()
    except ValueError:
        return path.resolve().as_uri()


def _number(result: MetricResult) -> Number:
    low, high = result.interval_95
    against = []
    if result.reference is not None:
        against.append(f"{result.reference.name} ({result.reference.sha256[:SHOWN]})")
    if result.features is not None:
        against.append(
            f"features {result.features.name} ({result.features.weights_sha256[:SHOWN]})"
        )
    return Number(
        label=result.display.label,
        value=repr(result.value),
        error=f"{result.standard_error:.6g}",
        interval=f"{low:.6g} to {high:.6g}",
        floor=ABSENT if result.noise_floor is None else f"{result.noise_floor:.6g}",
        against="; ".join(against) or ABSENT,
        covers=result.interval_covers,
        corrected=_corrected(result),
    )


def _corrected(result: MetricResult) -> str:
    found = result.corrected
    if found is None:
        return ""
    low, high = found.interval_95
    return f"{found.value:.6g}, 95 %: {low:.6g} to {high:.6g}"


def _network(record: Record, role: str) -> str:
    network = record.networks[role]
    ema = "" if network.ema is None else f", EMA {network.ema:g}"
    return f"{network.name}{ema}, {network.parameters:,} parameters"
