"""TensorBoard event files: scalars of each record, and one HParams table over all."""

import shutil
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from guidebench.base import atomic_write
from guidebench.reports.export import require
from guidebench.reports.export.flat import Flat, flatten
from guidebench.reports.store import StoredRecord


def write(
    records: Sequence[StoredRecord],
    out: Path,
    project: str,  # noqa: ARG001 - all writers share one signature
) -> list[str]:
    """Write OUT/SUITE/ROW/SPEC for each record; what lay there is replaced."""
    require("tensorboard", "tensorboard")
    flats = [(stored, flatten(stored)) for stored in records]
    atomic_write(out / ".writable", b"")
    (out / ".writable").unlink()
    metrics = sorted({name for s, _ in flats for name in s.record.metrics})
    _events(out / "experiment", [_experiment(metrics)])
    for stored, flat in flats:
        record = stored.record
        folder = out / record.suite / record.row / record.spec_sha256[:12]
        _events(folder, [*_session(flat), _scalars(flat)])
    return [f"{out}: {len(flats)} runs; see them with tensorboard --logdir {out}"]


def _events(folder: Path, summaries: Sequence[Any]) -> None:
    """A fresh event file with these summaries at step 0, in place of any other."""
    events = require("tensorboard.compat.proto.event_pb2", "tensorboard")
    writers = require("tensorboard.summary.writer.event_file_writer", "tensorboard")
    fresh = folder.with_name(f".{folder.name}.partial")
    shutil.rmtree(fresh, ignore_errors=True)
    writer = writers.EventFileWriter(str(fresh))
    for summary in summaries:
        writer.add_event(events.Event(wall_time=time.time(), step=0, summary=summary))
    writer.close()
    shutil.rmtree(folder, ignore_errors=True)
    fresh.rename(folder)


def _scalars(flat: Flat) -> Any:  # noqa: ANN401 - protobuf of a lazy import
    proto = require("tensorboard.compat.proto.summary_pb2", "tensorboard")
    values = [proto.Summary.Value(tag=k, simple_value=v) for k, v in flat.metrics.items()]
    return proto.Summary(value=values)


def _session(flat: Flat) -> list[Any]:
    """The parameters of one record, and that it is done."""
    summary = require("tensorboard.plugins.hparams.summary", "tensorboard")
    status = require("tensorboard.plugins.hparams.api_pb2", "tensorboard").Status
    start = summary.session_start_pb(hparams=flat.params, group_name=flat.name)
    return [start, summary.session_end_pb(status.Value("STATUS_SUCCESS"))]


def _experiment(metrics: Sequence[str]) -> Any:  # noqa: ANN401 - protobuf of a lazy import
    """The metrics that the HParams table has as columns."""
    api = require("tensorboard.plugins.hparams.api_pb2", "tensorboard")
    summary = require("tensorboard.plugins.hparams.summary", "tensorboard")
    infos = [api.MetricInfo(name=api.MetricName(tag=name)) for name in metrics]
    return summary.experiment_pb(hparam_infos=[], metric_infos=infos)
