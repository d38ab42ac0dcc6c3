"""TensorBoard event files: scalars of each record, and one HParams table over all."""

import io
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from guidebench.base import atomic_write, make_folder
from guidebench.reports.export import require
from guidebench.reports.export.flat import Flat, flatten
from guidebench.reports.store import StoredRecord


def write(
    records: Sequence[StoredRecord],
    out: Path,
    project: str,  # noqa: ARG001 - all writers share one signature
) -> list[str]:
    """Write OUT/SUITE/ROW/SPEC for each record; what lay there is replaced."""
    flats = [(stored, flatten(stored)) for stored in records]
    make_folder(out)
    hparams = require(
        "tensorboard.plugins.hparams.summary_v2", "tensorboard"
    )  # its api needs TensorFlow
    metrics = sorted({name for s, _ in flats for name in s.record.metrics})
    choices = sorted({name for _, flat in flats for name in flat.params})
    table = hparams.hparams_config_pb(
        hparams=[hparams.HParam(name) for name in choices],
        metrics=[hparams.Metric(name) for name in metrics],
    )
    _events(out / "experiment", [table])
    for stored, flat in flats:
        record = stored.record
        folder = out / record.suite / record.row / record.spec_sha256[:12]
        chosen = hparams.hparams_pb(flat.params, trial_id=flat.name)
        _events(folder, [chosen, _scalars(flat)])
    return [f"{out}: {len(flats)} runs; see them with tensorboard --logdir {out}"]


def _events(folder: Path, summaries: Sequence[Any]) -> None:
    """A fresh event file with these summaries at step 0, in place of any other.

    TensorBoard's own writer of files works in a thread, whose errors nobody can catch.
    """
    events = require("tensorboard.compat.proto.event_pb2", "tensorboard")
    records = require("tensorboard.summary.writer.record_writer", "tensorboard")
    data, now = io.BytesIO(), time.time()
    writer = records.RecordWriter(data)
    writer.write(events.Event(wall_time=now, file_version="brain.Event:2").SerializeToString())
    for summary in summaries:
        writer.write(events.Event(wall_time=now, step=0, summary=summary).SerializeToString())
    fresh = folder / f"events.out.tfevents.{int(1e6 * now)}.guidebench"
    atomic_write(fresh, data.getvalue())
    for old in folder.glob("events.out.tfevents.*"):
        if old != fresh:
            old.unlink(missing_ok=True)


def _scalars(flat: Flat) -> Any:  # noqa: ANN401 - protobuf of a lazy import
    proto = require("tensorboard.compat.proto.summary_pb2", "tensorboard")
    values = [proto.Summary.Value(tag=k, simple_value=v) for k, v in flat.metrics.items()]
    return proto.Summary(value=values)
