"""From finished shards to a record.

Shapes: N samples of a run over all repeats.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save

from guidebench.base import atomic_write, canonical_json, ordered_safetensors, sha256_bytes
from guidebench.checkpoints.network_file import read_network_header
from guidebench.measure.clock import throughput
from guidebench.measure.machine import environment
from guidebench.reports.record import (
    Attachment,
    Cost,
    CurvePoint,
    Memory,
    NetworkUse,
    PublishedValue,
    Record,
    Seeds,
)
from guidebench.runs.folder import Job
from guidebench.runs.inputs import checkpoint_path
from guidebench.runs.sample import Sampler, sampler_for
from guidebench.runs.shards import Shard, read_shard, shard_path
from guidebench.runs.spec import CheckpointRef, RunSpec

Arrays = dict[str, NDArray[Any]]
_ON_CPU = "not measured on a CPU"
_REASONS = {
    "cost.energy_joules_per_image": "no energy counter is read yet",
    "cost.fraction_of_peak": "the peak rate of this device is not known",
}


def load_shards(job: Job) -> list[Shard]:
    """All shards in seed order.

    Raises:
        AssertionError: where one is missing: the runner calls this only when all are there.
    """
    found = []
    for index in range(job.row.spec.num_shards):
        seeds = job.row.spec.shard_seeds(index)
        shard = read_shard(shard_path(job.folder, index), spec_sha256=job.sha256, seeds=seeds)
        assert shard is not None, f"shard {index} of {job.row.label} is missing"
        found.append(shard)
    return found


def make_record(job: Job, *, ranks: int, threads: int) -> Record:
    """Measure a finished run and store its record, the last file to be written."""
    spec, shards = job.row.spec, load_shards(job)
    arrays = {name: np.concatenate([s.arrays[name] for s in shards]) for name in shards[0].arrays}
    repeats = [
        {k: a[i * spec.num_images : (i + 1) * spec.num_images] for k, a in arrays.items()}
        for i in range(spec.repeats)
    ]
    sampler = sampler_for(spec)
    domain = sampler.domain
    measured = domain.measure(spec.metrics, repeats)
    influences = {name: m.pooled().influence_N for name, m in measured.items()}
    kind, drawn = domain.preview(repeats[0], truth=spec.role == "truth")
    per_seed = _attach(job, "per_seed.safetensors", influences, None)
    preview = _attach(job, "preview.safetensors", drawn, {"kind": kind})
    cost, reasons = _cost(spec, shards, sampler.flops_per_image(), ranks=ranks, threads=threads)
    record = Record(
        suite=job.row.suite,
        suite_title=job.row.suite_title,
        row=job.row.name,
        title=spec.title,
        role=spec.role,
        order=job.row.order,
        curves=tuple(CurvePoint.model_validate(c.model_dump()) for c in spec.curves),
        published={k: PublishedValue(**p.model_dump()) for k, p in spec.published.items()},
        spec_sha256=job.sha256,
        samples_sha256=sha256_bytes(canonical_json([s.sha256 for s in shards])),
        scheme=spec.scheme.model_dump(mode="json") if spec.scheme else {"name": "real data"},
        networks=_networks(spec, job, sampler),
        sampler=spec.sampler.model_dump(mode="json") if spec.sampler else None,
        seeds=Seeds(first=spec.first_seed, num_per_repeat=spec.num_images, repeats=spec.repeats),
        labels=_label_words(sampler),
        metrics={name: m.result() for name, m in measured.items()},
        cost=cost,
        environment=environment(spec.device),
        reasons=reasons,
        per_seed=per_seed,
        preview=preview,
    )
    record.save(job.record_path)
    return record


def _attach(job: Job, name: str, arrays: Arrays, header: dict[str, str] | None) -> Attachment:
    data = ordered_safetensors(
        save({k: np.ascontiguousarray(a) for k, a in arrays.items()}, header)
    )
    atomic_write(job.folder / name, data)
    return Attachment(file=name, sha256=sha256_bytes(data))


def _networks(spec: RunSpec, job: Job, sampler: Sampler) -> dict[str, NetworkUse]:
    files, found = job.resolved["files"], {}
    for role, ref in spec.networks.items():
        parameters = sampler.networks[role].num_parameters
        if isinstance(ref, CheckpointRef):
            header = read_network_header(checkpoint_path(ref.checkpoint))
            name, key, ema = _described(ref), ref.checkpoint, header.ema
        else:
            name, key, ema = f"{ref.name}@{ref.iteration}", ref.name, ref.ema
        found[role] = NetworkUse(name=name, ema=ema, sha256=files[key], parameters=parameters)
    return found


def _described(ref: CheckpointRef) -> str:
    worse = ref.degradation
    return ref.checkpoint + (f" with {worse.kind} {worse.amount:g}" if worse else "")


def _label_words(sampler: Sampler) -> str:
    main = sampler.networks.get("main")
    labelled = sampler.spec.domain == "digits" or (main is not None and main.label_dim > 0)
    return "i.i.d. uniform" if labelled else "none"


def _largest(shards: list[Shard], key: str) -> int | None:
    found = [v for s in shards if (v := s.memory[key]) is not None]
    return max(found, default=None)


def _cost(
    spec: RunSpec, shards: list[Shard], flops: float | None, *, ranks: int, threads: int
) -> tuple[Cost, dict[str, str]]:
    batches = [b for s in shards for b in s.batches]
    warm = [b for b in batches if not b.cold]
    speed = throughput([b.images for b in warm], [b.seconds for b in warm])
    each = speed.images_per_second
    doubts = speed.doubts if batches else ()
    if spec.device == "cpu" and ranks > 1 and batches:
        doubts += (f"{ranks} ranks shared one CPU: images/s is {ranks} times that of one rank",)
    reduced = [s.reduced_batch_size for s in shards if s.reduced_batch_size is not None]
    if reduced:
        few = f"as few as {min(reduced)} instead of {spec.batch_size}"
        doubts += (f"out of memory: {len(reduced)} of {len(shards)} shards in batches of {few}",)
    memory = {key: _largest(shards, key) for key in ("allocated", "reserved", "device", "host")}
    reasons = dict(_REASONS)
    if spec.engine_reason is not None:
        reasons["cost.engine"] = spec.engine_reason
    if not batches:
        reasons["cost.images_per_second"] = "real data is not sampled"
    elif each is None:
        reasons["cost.images_per_second"] = "no batch was timed after its warm-up"
    reasons |= {
        f"cost.peak_memory_bytes.{key}": _ON_CPU for key, value in memory.items() if value is None
    }
    cold = [b.seconds for b in batches if b.cold]
    return Cost(
        device=spec.device,
        engine=spec.engine,
        precision=spec.precision,
        batch_size=spec.batch_size,
        reduced_batch_size=min(reduced, default=None),
        ranks=ranks,
        threads_per_rank=threads,
        images_per_second=each * ranks if each else None,
        images_per_second_per_device=each,
        network_calls_per_image=shards[0].network_calls,
        flops_per_image=flops,
        fraction_of_peak=None,
        peak_memory_bytes=Memory(**memory),
        energy_joules_per_image=None,
        first_call_seconds=max(cold, default=None),
        batch_seconds=tuple(b.seconds for b in warm),
        doubts=doubts,
    ), reasons
