"""One run's folder, OUT/SUITE/ROW/SPEC_HASH: spec, shards, record. No torch.

spec.json is written first and record.json last; shards come in any order in between.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

from guidebench.base import atomic_write, disk_errors, sha256_file, sweep_partial
from guidebench.reports.record import Record, RecordError
from guidebench.runs.inputs import require_inputs, resolve, spec_sha256
from guidebench.runs.shards import Shard, read_shard, shard_path
from guidebench.runs.spec import Row

_HASH_DIGITS = 16


@final
class LostShardsError(Exception):
    """Shards that were there and are not, or no longer whole: they are made again."""

    def __init__(self, indices: set[int]) -> None:
        super().__init__(f"shards {sorted(indices)} are missing or not whole")
        self.indices = indices


@final
@dataclass(frozen=True, slots=True)
class Job:
    """A row with its resolved spec and its folder."""

    row: Row
    resolved: dict[str, Any]
    sha256: str
    folder: Path

    @property
    def record_path(self) -> Path:
        """Where the result lies."""
        return self.folder / "record.json"

    def claim_path(self, index: int | None) -> Path:
        """What a process holds while it works on a shard, or on the record for None."""
        return self.folder / "claims" / ("record" if index is None else f"{index:06d}")

    def shard(self, index: int) -> Shard | None:
        """One shard, or None where it is missing or not whole."""
        seeds = self.row.spec.shard_seeds(index)
        return read_shard(shard_path(self.folder, index), spec_sha256=self.sha256, seeds=seeds)

    def unfinished_shards(self) -> set[int]:
        """Indices of shards that are missing or not whole."""
        return {i for i in range(self.row.spec.num_shards) if self.shard(i) is None}

    def prepare(self) -> None:
        """Make the folder, sweep what killed writers left, and write the resolved spec."""
        with disk_errors(self.folder):
            (self.folder / "shards").mkdir(parents=True, exist_ok=True)
        self.sweep()
        text = json.dumps(self.resolved, indent=2, sort_keys=True, allow_nan=False)
        atomic_write(self.folder / "spec.json", (text + "\n").encode())

    def sweep(self) -> None:
        """Delete what killed writers left."""
        for folder in (self.folder, self.folder / "shards"):
            sweep_partial(folder)

    def finished(self) -> Record | None:
        """The stored record if it is whole and this run's, else None: then it is made again."""
        if not self.record_path.exists():
            return None
        try:
            record = Record.load(self.record_path)
        except RecordError:
            return None
        attached = [a for a in (record.per_seed, record.preview, record.moments) if a]
        whole = all(_is_whole(self.folder / a.file, a.sha256) for a in attached)
        same = record.spec_sha256 == self.sha256 and self._is_shown_by(record)
        return record if whole and same else None

    def _is_shown_by(self, record: Record) -> bool:
        """Titles, roles and curves are in no digest: where they changed, the record is remade."""
        row, spec = self.row, self.row.spec
        here = (row.suite_title, spec.title, spec.role, row.order)
        there = (record.suite_title, record.title, record.role, record.order)
        curves = [c.model_dump() for c in record.curves]
        published = {name: p.model_dump() for name, p in record.published.items()}
        return (
            here == there
            and curves == [c.model_dump() for c in spec.curves]
            and published == {name: p.model_dump() for name, p in spec.published.items()}
        )


def _is_whole(path: Path, sha256: str) -> bool:
    return path.is_file() and sha256_file(path) == sha256


def make_job(row: Row, out: Path, *, threads: int, measured: bool = True) -> Job:
    """Resolve a row: digests of everything that its numbers depend on give its folder's name.

    Without `measured` it may lack what only its metrics need.

    Raises:
        UserError: where a file that the row needs is missing.
    """
    require_inputs(row.spec, row.label, measured=measured)
    resolved = resolve(row.spec, threads=threads)
    sha256 = spec_sha256(resolved)
    return Job(row, resolved, sha256, out / row.suite / row.name / sha256[:_HASH_DIGITS])
