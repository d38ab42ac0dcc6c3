"""From finished shards to a record.

Shapes: N samples of a run over all repeats.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save

from guidebench.base import atomic_write, canonical_json, ordered_safetensors, sha256_bytes
from guidebench.checkpoints.network_file import read_network_header
from guidebench.measure.machine import Environment, environment
from guidebench.reports.record import (
    Attachment,
    CurvePoint,
    NetworkUse,
    PublishedValue,
    Record,
    Seeds,
)
from guidebench.runs.cost import cost_of
from guidebench.runs.domains import Measured
from guidebench.runs.folder import Job, LostShardsError
from guidebench.runs.inputs import checkpoint_path
from guidebench.runs.sample import Sampler, sampler_for
from guidebench.runs.shards import Shard
from guidebench.runs.spec import CheckpointRef, RunSpec

Arrays = dict[str, NDArray[Any]]


def load_shards(job: Job) -> list[Shard]:
    """All shards in seed order.

    Raises:
        LostShardsError: where some are missing or not whole.
    """
    found = {index: job.shard(index) for index in range(job.row.spec.num_shards)}
    if lost := {index for index, shard in found.items() if shard is None}:
        raise LostShardsError(lost)
    return [shard for shard in found.values() if shard is not None]


def make_record(job: Job, *, ranks: int = 1, threads: int) -> Record:
    """Measure a finished run and store its record, the last file to be written.

    Its bytes follow from the shards alone: it does not matter who makes it, nor when. `ranks`
    counts where the shards are too old to say who made them.

    Raises:
        LostShardsError: where some are missing or not whole.
    """
    spec, shards = job.row.spec, load_shards(job)
    arrays = {name: np.concatenate([s.arrays[name] for s in shards]) for name in shards[0].arrays}
    repeats = [
        {k: a[i * spec.num_images : (i + 1) * spec.num_images] for k, a in arrays.items()}
        for i in range(spec.repeats)
    ]
    sampler = sampler_for(spec)
    domain = sampler.domain
    measured = domain.measure(spec.metrics, repeats)
    influences = _influences(measured)
    kind, drawn = domain.preview(repeats[0], truth=spec.role == "truth")
    per_seed = _attach(job, "per_seed.safetensors", influences, None)
    moments = _moments(measured)
    preview = _attach(job, "preview.safetensors", drawn, {"kind": kind})
    cost, reasons = cost_of(spec, shards, sampler.flops_per_image(), ranks=ranks, threads=threads)
    record = Record(
        suite=job.row.suite,
        suite_title=job.row.suite_title,
        suite_file=job.row.suite_file,
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
        environment=_environment(spec, shards),
        reasons=reasons,
        per_seed=per_seed,
        preview=preview,
        moments=_attach(job, "moments.safetensors", moments, None) if moments else None,
    )
    record.save(job.record_path)
    return record


def _influences(measured: Mapping[str, Measured]) -> Arrays:
    """By metric, and by METRIC/TERM where a term has influences of its own."""
    found: Arrays = {}
    for name, metric in measured.items():
        pooled = metric.pooled()
        found[name] = pooled.influence_N
        found |= {f"{name}/{term}": a for term, a in pooled.term_influences.items()}
    return found


def _moments(measured: Mapping[str, Measured]) -> Arrays:
    found: Arrays = {}
    for name, metric in measured.items():
        if metric.moments is not None:
            found[f"{name}/mean"] = metric.moments.mean_D
            found[f"{name}/covariance"] = metric.moments.cov_DD
    return found


def _attach(job: Job, name: str, arrays: Arrays, header: dict[str, str] | None) -> Attachment:
    data = ordered_safetensors(
        save({k: np.ascontiguousarray(a) for k, a in arrays.items()}, header)
    )
    atomic_write(job.folder / name, data)
    return Attachment(file=name, sha256=sha256_bytes(data))


def _environment(spec: RunSpec, shards: list[Shard]) -> Environment:
    """Where and when the last shard was made."""
    works = [s.work for s in shards if s.work]
    return max(works, key=lambda w: w.ended).environment if works else environment(spec.device)


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
