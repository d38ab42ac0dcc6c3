"""What the gate holds new records against: accepted records, a reason, one float per seed.

Two files: BASELINE.json, which a reviewer reads, and BASELINE.<digest>.safetensors beside it
with the influence of every seed and the moments of the features, in float32. The arrays are
written first under a name of their own, so that the pair is never half of each.

Shapes: N seeds, D features, P = D (D + 1) / 2 entries of a triangle.
"""

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import ClassVar, Final, Protocol, final

import numpy as np
from pydantic import ValidationError
from safetensors import SafetensorError
from safetensors.numpy import load, save

from guidebench.base import UserError, atomic_write, ordered_safetensors, sha256_bytes
from guidebench.reports.record import Attachment, Part, Record, RecordError, Seeds
from guidebench.reports.store import FloatArray, StoredRecord

MOST_LOOKS: Final = 3
_AGAIN: Final = "make it again with `guidebench gate RECORDS --baseline FILE --update REASON`"


class BaselineFile(Part):
    """The JSON. Rows may have up to three sets of seeds; their number plans the looks."""

    FORMAT: ClassVar[int] = 2

    reason: str
    arrays: Attachment
    records: tuple[Record, ...]


class Measured(Protocol):
    """A record with its influences and moments: a stored one, or an accepted one."""

    @property
    def record(self) -> Record:
        """The record."""
        ...

    def influence(self, metric: str) -> FloatArray:
        """Influence of each seed on a metric or a METRIC/TERM, [N]."""
        ...

    def has_influence(self, metric: str) -> bool:
        """Whether `influence` has this metric or METRIC/TERM."""
        ...

    def moments(self, metric: str) -> tuple[FloatArray, FloatArray] | None:
        """Mean [D] and covariance [D, D] of a metric's features, if kept."""
        ...


@final
@dataclass(frozen=True, eq=False)
class Accepted:
    """One record of a baseline; arrays by name, METRIC or METRIC/TERM, in float32."""

    record: Record
    arrays: Mapping[str, np.ndarray]

    def influence(self, metric: str) -> FloatArray:
        """Influence of each seed, [N].

        Raises:
            RecordError: where the baseline has none for the metric.
        """
        if metric not in self.arrays:
            name = f"{self.record.suite}::{self.record.row}"
            msg = f"the baseline has no influences of {metric} for {name}; {_AGAIN}"
            raise RecordError(msg)
        return self.arrays[metric].astype(np.float64)

    def has_influence(self, metric: str) -> bool:
        """Whether `influence` has this metric or METRIC/TERM."""
        return metric in self.arrays

    def moments(self, metric: str) -> tuple[FloatArray, FloatArray] | None:
        """Mean [D] and covariance [D, D] of the features, if kept."""
        mean_D = self.arrays.get(f"{metric}/mean")
        if mean_D is None:
            return None
        return mean_D.astype(np.float64), unpacked(self.arrays[f"{metric}/covariance"], len(mean_D))


@final
@dataclass(frozen=True, eq=False)
class Baseline:
    """Accepted sets of each row, in the order in which the gate looks at them."""

    reason: str
    rows: Mapping[tuple[str, str], tuple[Accepted, ...]]

    @property
    def looks(self) -> int:
        """How many looks were planned when the baseline was made: sets of its longest row."""
        return max(len(sets) for sets in self.rows.values())


def packed(cov_DD: FloatArray) -> np.ndarray:
    """Upper triangle of a symmetric matrix, [P], in float32."""
    return cov_DD[np.triu_indices(len(cov_DD))].astype(np.float32)


def unpacked(triangle_P: np.ndarray, dim: int) -> FloatArray:
    """The symmetric matrix [D, D] of a triangle."""
    cov_DD = np.zeros((dim, dim))
    cov_DD[np.triu_indices(dim)] = triangle_P
    return cov_DD + np.triu(cov_DD, 1).T


def write_baseline(records: Sequence[StoredRecord], path: Path, reason: str) -> Baseline:
    """Accept `records`: both files, whole or not at all; arrays of the last baseline go last.

    Raises:
        UserError: for no records, an empty reason, a seed that a row has twice, sets of
            different size, or more sets than looks.
    """
    if not records:
        msg = f"no records to accept in {path}; name a folder that a run wrote"
        raise UserError(msg)
    if not reason.strip():
        msg = f"a baseline needs a reason, got none for {path}; say why these numbers are right"
        raise UserError(msg)
    kept = sorted(records, key=lambda r: (r.record.suite, r.record.order, r.name, _first(r)))
    _check_sets(kept)
    arrays = {
        f"{place:04d}/{name}": array
        for place, stored in enumerate(kept)
        for name, array in _arrays(stored).items()
    }
    data = ordered_safetensors(save(arrays))
    digest = sha256_bytes(data)
    beside = path.with_name(f"{path.stem}.{digest[:12]}.safetensors")
    file = BaselineFile(
        reason=reason,
        arrays=Attachment(file=beside.name, sha256=digest),
        records=tuple(_lean(r.record) for r in kept),
    )
    atomic_write(beside, data)
    atomic_write(path, _text(file).encode())
    for old in path.parent.glob(f"{path.stem}.{'[0-9a-f]' * 12}.safetensors"):
        if old != beside:
            old.unlink()
    return read_baseline(path)


def _first(stored: StoredRecord) -> int:
    return stored.record.seeds.first


def _lean(record: Record) -> Record:
    """Without the timings and pictures, which no gate looks at."""
    cost = record.cost.model_copy(update={"batch_seconds": ()})
    return record.model_copy(update={"cost": cost, "preview": None})


def _text(file: BaselineFile) -> str:
    """One record a line, so that a diff shows which rows moved."""

    def line(value: object) -> str:
        return json.dumps(value, allow_nan=False, ensure_ascii=False)

    records = [
        line({"format": Record.FORMAT, **record.model_dump(mode="json", by_alias=False)})
        for record in file.records
    ]
    return (
        f'{{"format": {file.FORMAT},\n "reason": {line(file.reason)},\n'
        f' "arrays": {line(file.arrays.model_dump())},\n "records": [\n  '
        + ",\n  ".join(records)
        + "\n ]}\n"
    )


def _arrays(stored: StoredRecord) -> dict[str, np.ndarray]:
    found: dict[str, np.ndarray] = {}
    for name, result in stored.record.metrics.items():
        if result.display.better == "neither":
            continue
        found[name] = stored.influence(name).astype(np.float32)
        if stored.has_influence(f"{name}/trace"):
            found[f"{name}/trace"] = stored.influence(f"{name}/trace").astype(np.float32)
        if moments := stored.moments(name):
            found[f"{name}/mean"] = moments[0].astype(np.float32)
            found[f"{name}/covariance"] = packed(moments[1])
    return found


def _check_sets(records: Sequence[StoredRecord]) -> None:
    """Sets of one row: at most as many as looks, of one size, no seed twice."""
    rows: dict[str, list[StoredRecord]] = defaultdict(list)
    for stored in records:
        rows[stored.name].append(stored)
    for name, sets in rows.items():
        if len(sets) > MOST_LOOKS:
            msg = f"{name} has {len(sets)} sets of seeds; a gate has at most {MOST_LOOKS} looks"
            raise UserError(msg)
        for one, two in pairwise(sets):
            a, b = one.record.seeds, two.record.seeds
            if (a.num_per_repeat, a.repeats) != (b.num_per_repeat, b.repeats):
                msg = f"{name} has sets of different size, {one.path} and {two.path}; name one"
                raise UserError(msg)
            if b.first < after(a):
                msg = (
                    f"{name} is in {one.path} and {two.path} with the same seeds; a baseline "
                    "holds each seed of a row once, name the record to accept"
                )
                raise UserError(msg)


def after(seeds: Seeds) -> int:
    """The first seed behind a set."""
    return seeds.first + seeds.num_per_repeat * seeds.repeats


def read_baseline(path: Path) -> Baseline:
    """Read what `write_baseline` wrote.

    Raises:
        RecordError: for a file that is cut, not a baseline, of another format, or whose arrays
            are missing or another baseline's.
    """
    try:
        fields = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        msg = f"{path} is not readable as a baseline ({error}); {_AGAIN}"
        raise RecordError(msg) from error
    _check_format(fields, BaselineFile.FORMAT, f"{path} has baseline")
    for place, record in enumerate(fields.get("records") or ()):
        _check_format(record, Record.FORMAT, f"{path}: records.{place} has record")
    try:
        file = BaselineFile.model_validate(fields)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(p) for p in first["loc"])
        msg = f"{path}: {where}: {first['msg']}; {_AGAIN}"
        raise RecordError(msg) from error
    arrays = _read_arrays(path.parent / file.arrays.file, file.arrays.sha256, path)
    rows: dict[tuple[str, str], list[Accepted]] = defaultdict(list)
    for place, record in enumerate(file.records):
        mark = f"{place:04d}/"
        own = {k.removeprefix(mark): a for k, a in arrays.items() if k.startswith(mark)}
        rows[record.suite, record.row].append(Accepted(record, own))
    if not rows:
        msg = f"{path} holds no records; {_AGAIN}"
        raise RecordError(msg)
    return Baseline(file.reason, {key: tuple(sets) for key, sets in rows.items()})


def _read_arrays(path: Path, sha256: str, json_path: Path) -> dict[str, np.ndarray]:
    try:
        data = path.read_bytes()
        if sha256_bytes(data) != sha256:
            msg = f"{path} has another digest than {json_path} says; restore both, or {_AGAIN}"
            raise RecordError(msg)
        return load(data)
    except (OSError, SafetensorError) as error:
        msg = f"{path}, which {json_path} names, is not readable ({error}); restore it, or {_AGAIN}"
        raise RecordError(msg) from error


def _check_format(fields: object, expected: int, what: str) -> None:
    """Take the format out of `fields`, or say which one is there."""
    found = fields.pop("format", None) if isinstance(fields, dict) else None
    if found != expected:
        msg = f"{what} format {found}, this version reads {expected}; {_AGAIN}"
        raise RecordError(msg)
