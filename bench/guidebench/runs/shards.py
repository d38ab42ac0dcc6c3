"""Shards: the unit of finished work. One atomic file each, in seed order, with its own digest.

Shapes: n samples of one shard.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, final

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from guidebench.base import atomic_write, ordered_safetensors

Arrays = Mapping[str, NDArray[Any]]


@final
@dataclass(frozen=True, slots=True)
class Batch:
    """Timing of one sampled batch; `cold` marks the first of its kind in its process.

    `parts` has the seconds of its phases by name: sample, decode, features.
    """

    images: int
    seconds: float
    cold: bool
    parts: dict[str, float] = field(default_factory=dict)


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """Where, when and at what price a shard was made.

    `host` and `process` are digests and random digits, `world` the number of ranks that were
    started together. `began` and `ended` are seconds since the
    epoch. `peak_flops` is the matrix product rate of this process, in FLOP/s; `steal` the share
    of processor time that the host's hypervisor gave to others. `notes` say by field what was not
    measured and why; `doubts` are about the times.
    """

    host: str
    process: str
    device: str
    device_id: str
    device_name: str
    world: int
    began: float
    ended: float
    load_seconds: float
    peak_flops: float | None
    energy_joules: float | None
    idle_watts: float | None
    steal: float | None
    notes: dict[str, str]
    doubts: tuple[str, ...]
    environment: dict[str, str | int | float | bool | None]


@final
@dataclass(frozen=True, slots=True)
class Shard:
    """What one shard holds: arrays with one row per seed, digests, timings and peak memory.

    Shards of version 0.1's first months do not say who made them: `work` is None.
    """

    arrays: Arrays
    sha256: str
    batches: tuple[Batch, ...]
    network_calls: dict[str, int]
    memory: dict[str, int | None]
    work: Work | None = None
    reduced_batch_size: int | None = None


def digest(arrays: Arrays) -> str:
    """SHA-256 over names, types, shapes and bytes of all arrays, by name."""
    found = hashlib.sha256()
    for name in sorted(arrays):
        array = np.ascontiguousarray(arrays[name])
        found.update(f"{name}:{array.dtype.str}:{array.shape};".encode())
        found.update(array.tobytes())
    return found.hexdigest()


def shard_path(folder: Path, index: int) -> Path:
    """Where shard `index` of a run folder lies."""
    return folder / "shards" / f"{index:06d}.safetensors"


def write_shard(
    path: Path,
    *,
    spec_sha256: str,
    seeds: range,
    arrays: Arrays,
    batches: Sequence[Batch],
    network_calls: Mapping[str, int],
    memory: Mapping[str, int | None],
    reduced_batch_size: int | None = None,
    work: Work | None = None,
) -> None:
    """Write one finished shard, whole or not at all."""
    facts = {
        "spec_sha256": spec_sha256,
        "seeds": [seeds.start, seeds.stop],
        "sha256": digest(arrays),
        "batches": [asdict(b) for b in batches],
        "network_calls": dict(network_calls),
        "memory": dict(memory),
        "reduced_batch_size": reduced_batch_size,
        "work": asdict(work) if work else None,
    }
    contiguous = {name: np.ascontiguousarray(a) for name, a in arrays.items()}
    data = save(contiguous, {"shard": json.dumps(facts, allow_nan=False)})
    atomic_write(path, ordered_safetensors(data))


def read_shard(path: Path, *, spec_sha256: str, seeds: range) -> Shard | None:
    """The shard, or None where it is missing, cut, altered or another run's: then it is redone."""
    try:
        with safe_open(path, framework="np") as file:
            facts = json.loads((file.metadata() or {})["shard"])
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (OSError, SafetensorError, KeyError, ValueError):
        return None
    whole = (
        facts["spec_sha256"] == spec_sha256
        and facts["seeds"] == [seeds.start, seeds.stop]
        and facts["sha256"] == digest(arrays)
    )
    if not whole:
        return None
    return Shard(
        arrays=arrays,
        sha256=facts["sha256"],
        batches=tuple(Batch(**b) for b in facts["batches"]),
        network_calls=facts["network_calls"],
        memory=facts["memory"],
        reduced_batch_size=facts.get("reduced_batch_size"),
        work=_work(facts.get("work")),
    )


def _work(found: dict[str, Any] | None) -> Work | None:
    """None too where another version wrote other fields: costs are not worth a shard."""
    if found is None:
        return None
    try:
        known: dict[str, Any] = found | {"doubts": tuple(found["doubts"])}
        return Work(**known)
    except (KeyError, TypeError):
        return None
