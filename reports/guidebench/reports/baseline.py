"""What the gate holds new records against: one JSON file of whole records and a reason."""

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

from pydantic import ValidationError

from guidebench.base import UserError, atomic_write
from guidebench.reports.record import Part, Record, RecordError
from guidebench.reports.store import StoredRecord


class Baseline(Part):
    """Accepted records, and why they were accepted."""

    FORMAT: ClassVar[int] = 1

    reason: str
    records: tuple[Record, ...]


def write_baseline(records: Sequence[StoredRecord], path: Path, reason: str) -> None:
    """Accept `records`: write them with `reason` into one file, whole or not at all.

    Raises:
        UserError: for no records, an empty reason, or two records of one row.
    """
    if not records:
        msg = f"no records to accept in {path}; name a folder that a run wrote"
        raise UserError(msg)
    if not reason.strip():
        msg = f"a baseline needs a reason, got none for {path}; say why these numbers are right"
        raise UserError(msg)
    twice = [name for name, n in Counter(r.name for r in records).items() if n > 1]
    if twice:
        paths = " and ".join(str(r.path) for r in records if r.name == twice[0])
        msg = f"{twice[0]} is in {paths}; a baseline holds each row once, name the one to accept"
        raise UserError(msg)
    fields = {
        "format": Baseline.FORMAT,
        "reason": reason,
        "records": [
            {"format": Record.FORMAT, **stored.record.model_dump(mode="json")}
            for stored in sorted(records, key=lambda r: r.name)
        ],
    }
    text = json.dumps(fields, indent=1, allow_nan=False, ensure_ascii=False)
    atomic_write(path, (text + "\n").encode())


def read_baseline(path: Path) -> Baseline:
    """Read what `write_baseline` wrote.

    Raises:
        RecordError: for a file that is cut, not a baseline, or of another format.
    """
    again = "make it again from accepted records"
    try:
        fields = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        msg = f"{path} is not readable as a baseline ({error}); {again}"
        raise RecordError(msg) from error
    _check_format(fields, Baseline.FORMAT, f"{path} has baseline")
    for place, record in enumerate(fields.get("records") or ()):
        _check_format(record, Record.FORMAT, f"{path}: records.{place} has record")
    try:
        return Baseline.model_validate(fields)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(p) for p in first["loc"])
        msg = f"{path}: {where}: {first['msg']}; {again}"
        raise RecordError(msg) from error


def _check_format(fields: object, expected: int, what: str) -> None:
    """Take the format out of `fields`, or say which one is there."""
    found = fields.pop("format", None) if isinstance(fields, dict) else None
    if found != expected:
        msg = (
            f"{what} format {found}, this version reads {expected}; "
            "use the version that wrote it, or make it again"
        )
        raise RecordError(msg)
