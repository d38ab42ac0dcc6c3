"""Images that somebody else made, measured as our own are: one pass, one record.

Shapes: N images, M real images, D features.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, final

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.numpy import save

from guidebench.base import (
    UserError,
    atomic_write,
    canonical_json,
    ordered_safetensors,
    sha256_bytes,
)
from guidebench.measure.machine import environment
from guidebench.metrics import Estimate, NoiseFloor, frechet_noise_floor
from guidebench.metrics.bias import Corrected, pooled_jackknife
from guidebench.metrics.build import Passed, features_of
from guidebench.metrics.features import Extractor
from guidebench.metrics.images import ImageSource
from guidebench.metrics.kernel import cmmd, kid
from guidebench.metrics.names import ALONE, COVERS, ImageMetric
from guidebench.metrics.neighbours import copies, manifold
from guidebench.metrics.reference import require_same_size
from guidebench.reports.record import (
    AT_THIS_NUMBER,
    Attachment,
    Better,
    Cost,
    Display,
    Memory,
    MetricResult,
    Record,
    Seeds,
    StatisticsSource,
)
from guidebench.runs.against import RECORD, Against, Progress, named, require_free, require_real
from guidebench.runs.domains._base import stored_correction
from guidebench.runs.extractors import alone, feature_source

_NOT_SAMPLED: Final = "these images were not sampled here"
_K: Final = {"precision_recall": 3, "density_coverage": 5}  # as their papers have it


def measure_images(
    source: ImageSource,
    against: Against,
    metrics: Sequence[ImageMetric],
    extractors: Mapping[str, Extractor],
    out: Path,
    *,
    workers: int,
    progress: Progress,
) -> Record:
    """Take features of all images in one pass, measure, and store a record in `out`.

    Raises:
        UserError: for an image that cannot be used, by name, metrics that need real images, or a
            folder that holds a record: before any work, and nothing is replaced.
    """
    require_free(out)
    for metric in metrics:
        require_real(metric, against)
    height, width, _ = source.read(0).shape
    require_same_size(against.name, against.resolution, (height, width))
    passed = features_of(
        source, extractors, workers=workers, sampled=True, progress=named(progress, "images")
    )
    if len(source) > 1 and all((f == f[0]).all() for f in passed.features.values()):
        msg = (
            f"all {len(source):,} images of {source.path} have the same features, as copies of one "
            "picture have, which a network makes that has collapsed; name another set"
        )
        raise UserError(msg)
    results: dict[str, MetricResult] = {}
    influences: dict[str, NDArray[np.float64]] = {}
    for metric in metrics:
        features_ND = passed.features[metric.extractor]
        extractor = extractors[metric.extractor]
        for name, found in _estimates(metric, features_ND, against, extractor).items():
            influences[name] = found.estimate.influence_N
            results[name] = _result(found, extractor, against, len(source))
    record = _record(
        source, passed, against, extractors, results=results, per_seed=_save(out, influences)
    )
    record.save(out / RECORD)
    return record


@final
@dataclass(frozen=True, slots=True, eq=False)
class _Found:
    estimate: Estimate
    label: str
    better: Better
    percent: bool = False
    floor: NoiseFloor | None = None
    corrected: Corrected | None = None
    covers: str = AT_THIS_NUMBER


def _estimates(
    metric: ImageMetric,
    features_ND: NDArray[np.float32],
    against: Against,
    extractor: Extractor,
) -> dict[str, _Found]:
    name = metric.extractor
    if metric.kind in ALONE:
        reference = against.gaussian[name]
        estimate = alone(metric.kind, features_ND, reference, extractor)
        better: Better = "higher" if metric.kind == "is" else "lower"
        if metric.kind != "fd":
            covers = COVERS.get(metric.kind, AT_THIS_NUMBER)
            return {metric.name: _Found(estimate, metric.label, better, covers=covers)}
        floor = frechet_noise_floor(reference.cov_DD, len(features_ND))
        corrected = pooled_jackknife([features_ND], reference)
        found = _Found(estimate, metric.label, better, floor=floor, corrected=corrected)
        return {metric.name: found}
    real_MD = against.features[name]
    if metric.kind in {"kid", "cmmd"}:
        estimate = (kid if metric.kind == "kid" else cmmd)(features_ND, real_MD)
        return {metric.name: _Found(estimate, metric.label, "lower")}
    if metric.kind == "copies":
        share = copies(features_ND, real_MD).share
        return {metric.name: _Found(share, metric.label, "lower", percent=True)}
    return _neighbours(metric, features_ND, real_MD)


def _neighbours(
    metric: ImageMetric, features_ND: NDArray[np.float32], real_MD: NDArray[np.float32]
) -> dict[str, _Found]:
    """Two metrics by one pass, each under its own name."""
    found = manifold(features_ND, real_MD, k=_K[metric.kind])
    parts = {"precision": found.precision, "recall": found.recall}
    if metric.kind == "density_coverage":
        parts = {"density": found.density, "coverage": found.coverage}
    suffix = metric.name.removeprefix(metric.kind)
    return {
        f"{part}{suffix}": _Found(
            estimate,
            f"{part} {metric.label}".strip(),
            "higher",
            percent=part != "density",
            covers=COVERS.get(part, AT_THIS_NUMBER),
        )
        for part, estimate in parts.items()
    }


def _result(found: _Found, extractor: Extractor, against: Against, num: int) -> MetricResult:
    estimate = found.estimate
    return MetricResult(
        value=estimate.value,
        standard_error=estimate.standard_error,
        interval_95=estimate.interval_95,
        num_images=num,  # recall has an influence for each real image
        noise_floor=found.floor and found.floor.value,
        noise_floor_standard_error=found.floor and found.floor.standard_error,
        noise_floor_method=found.floor and found.floor.method,
        repeats=(estimate.value,),
        display=Display(label=found.label, better=found.better, percent=found.percent),
        reference=StatisticsSource(
            name=against.name, sha256=against.sha256, num_images=against.num_images
        ),
        features=feature_source(extractor),
        terms=dict(estimate.terms),
        corrected=stored_correction(found.corrected),
        interval_covers=found.covers,
    )


def _save(out: Path, influences: Mapping[str, NDArray[np.float64]]) -> Attachment:
    data = ordered_safetensors(save({k: np.ascontiguousarray(v) for k, v in influences.items()}))
    atomic_write(out / "per_seed.safetensors", data)
    return Attachment(file="per_seed.safetensors", sha256=sha256_bytes(data))


def _record(
    source: ImageSource,
    passed: Passed,
    against: Against,
    extractors: Mapping[str, Extractor],
    *,
    results: dict[str, MetricResult],
    per_seed: Attachment,
) -> Record:
    ids = sorted(extractor.id for extractor in extractors.values())
    asked: list[Any] = [passed.digest, against.sha256, ids, sorted(results)]
    devices = {extractor.device.type for extractor in extractors.values()}
    device = min(devices)
    nothing = Memory(allocated=None, reserved=None, device=None, host=None)
    reasons = dict.fromkeys(
        [f"cost.{n}" for n in ("images_per_second", "flops_per_image", "fraction_of_peak",
                               "energy_joules_per_image", "first_call_seconds")]
        + [f"cost.peak_memory_bytes.{n}" for n in ("allocated", "reserved", "device", "host")],
        _NOT_SAMPLED,
    )  # fmt: skip
    return Record(
        suite=f"against {against.name}",
        suite_title=f"Images against {against.name}",
        row=source.path.name,
        title=source.path.name,
        role="table",
        order=0,
        curves=(),
        spec_sha256=sha256_bytes(canonical_json(asked)),
        samples_sha256=passed.digest,
        scheme={"name": "given images"},
        networks={},
        sampler=None,
        seeds=Seeds(first=0, num_per_repeat=len(source), repeats=1),
        labels="not known",
        metrics=results,
        cost=Cost(
            device=device, engine="none", precision="fp32", batch_size=0, ranks=1,
            threads_per_rank=torch.get_num_threads(), images_per_second=None,
            images_per_second_per_device=None, network_calls_per_image={}, flops_per_image=None,
            fraction_of_peak=None, peak_memory_bytes=nothing, energy_joules_per_image=None,
            first_call_seconds=None, batch_seconds=(), doubts=(),
        ),
        environment=environment(device),
        reasons=reasons,
        per_seed=per_seed,
        preview=None,
    )  # fmt: skip
