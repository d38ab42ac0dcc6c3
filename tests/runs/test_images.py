"""Rows of images: networks and references from files, and everything that depends on them."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from guidebench.base import UserError
from guidebench.checkpoints.network_file import EncoderInfo, NetworkFile, NetworkHeader
from guidebench.guidance.catalog import autoguidance, none
from guidebench.guidance.scheme import Scheme
from guidebench.metrics.features import load_extractor
from guidebench.metrics.reference import ReferenceFile, Statistics
from guidebench.networks import EDM2Denoiser
from guidebench.reports.record import Record
from guidebench.runs.domains.images import ImagesDomain
from guidebench.runs.folder import Job, make_job
from guidebench.runs.inputs import inputs_of, resolve, spec_sha256
from guidebench.runs.measure import make_record
from guidebench.runs.sample import Sampler
from guidebench.runs.shards import shard_path, write_shard
from guidebench.runs.spec import CheckpointRef, Degradation, Row, RunSpec
from guidebench.sampling import deterministic_heun

EXTRACTOR = "untrained:dinov2-vits14"
Makes = Callable[[torch.Tensor], np.ndarray]
METRIC = f"fd:{EXTRACTOR}"


def write_network(path: Path, *, label_dim: int, seed: int, side: int = 8) -> None:
    torch.manual_seed(seed)
    config: dict[str, Any] = {
        "img_resolution": side, "img_channels": 3, "label_dim": label_dim, "model_channels": 8,
        "channel_mult": [1, 2], "num_blocks": 1, "attn_resolutions": [4], "channels_per_head": 8,
    }  # fmt: skip
    network = EDM2Denoiser(**config)
    for name, parameter in network.named_parameters():
        if name.endswith("gain"):
            torch.nn.init.constant_(parameter, 0.5)
    header = NetworkHeader(
        architecture="edm2",
        config=config,
        encoder=EncoderInfo(kind="rgb"),
        ema=0.05,
        num_images=1000,
        sources=(),
    )
    NetworkFile(header, {n: t.half() for n, t in network.state_dict().items()}).save(path)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("files")
    write_network(folder / "main.safetensors", label_dim=10, seed=0)
    write_network(folder / "guide.safetensors", label_dim=10, seed=1)
    write_network(folder / "uncond.safetensors", label_dim=0, seed=2)
    write_network(folder / "large.safetensors", label_dim=10, seed=3, side=16)
    images = np.random.default_rng(0).integers(0, 256, (40, 8, 8, 3), dtype=np.uint8)
    extractor = load_extractor(EXTRACTOR, None, device=torch.device("cpu"))
    features = extractor.extract(images).astype(np.float64)
    found = Statistics(features.mean(0), np.cov(features, rowvar=False), EXTRACTOR)
    ReferenceFile("noise", 40, "noise.pkl", "0" * 64, {"fd_dinov2": found}).save(
        folder / "reference.safetensors"
    )
    return folder


def row(files: Path, scheme: Scheme, **roles: CheckpointRef | str) -> RunSpec:
    refs = {
        role: ref if isinstance(ref, CheckpointRef) else CheckpointRef(checkpoint=str(files / ref))
        for role, ref in roles.items()
    }
    return RunSpec(
        title="tiny", role="table", domain="images", source="sampler", networks=refs,
        reference=str(files / "reference.safetensors"), scheme=scheme,
        sampler=deterministic_heun(3, sigma_max=80.0), num_images=6, first_seed=0, repeats=1,
        shard_size=4, batch_size=2, metrics=(METRIC,), engine="eager", precision="fp32",
        device="cpu",
    )  # fmt: skip


def guided(files: Path) -> RunSpec:
    return row(files, autoguidance(2.0), main="main.safetensors", guide="guide.safetensors")


def finished(spec: RunSpec, out: Path) -> tuple[Job, Record]:
    """Sample all shards in this process and make the record."""
    job = make_job(Row(suite="s", suite_title="s", name="r", order=0, spec=spec), out, threads=1)
    job.prepare()
    sampler = Sampler(spec)
    for index in range(spec.num_shards):
        seeds = spec.shard_seeds(index)
        sampled = sampler.sample(seeds)
        write_shard(
            shard_path(job.folder, index),
            spec_sha256=job.sha256,
            seeds=seeds,
            arrays=sampled.arrays,
            batches=sampled.batches,
            network_calls=sampled.network_calls,
            memory=dict.fromkeys(("allocated", "reserved", "device", "host")),
        )
    return job, make_record(job, ranks=1, threads=1)


def test_a_run_from_files_to_a_record(files: Path, tmp_path: Path) -> None:
    job, record = finished(guided(files), tmp_path)
    metric = record.metrics[METRIC]
    assert metric.value > 0
    assert metric.reference is not None
    assert (metric.reference.name, metric.reference.num_images) == ("noise", 40)
    assert metric.features is not None
    assert not metric.features.comparable
    assert record.networks["main"].ema == 0.05
    assert record.networks["main"].parameters > 1000
    assert record.labels == "i.i.d. uniform"
    assert record.cost.network_calls_per_image == {"main": 5, "guide": 5}
    assert set(job.resolved["files"]) == {i.name for i in inputs_of(job.row.spec)}
    assert job.finished() == record


def test_samples_depend_on_the_seed_alone(files: Path) -> None:
    spec = guided(files)
    sampler = Sampler(spec)
    whole, alone = sampler.sample(range(4)), sampler.sample(range(2, 3))
    assert whole.arrays["labels"][2] == alone.arrays["labels"][0]
    close = whole.arrays[f"features/{EXTRACTOR}"][2] - alone.arrays[f"features/{EXTRACTOR}"][0]
    assert np.abs(close).max() < 0.05
    assert len(set(whole.arrays["image_digests"].tolist())) == 4
    assert whole.arrays["thumbnails"].shape == (4, 8, 8, 3)


def test_thumbnails_are_kept_for_the_first_seeds_alone(files: Path) -> None:
    sampler = Sampler(guided(files).with_options(num_images=80, shard_size=2))
    assert len(sampler.sample(range(63, 66)).arrays["thumbnails"]) == 1
    assert len(sampler.sample(range(70, 72)).arrays["thumbnails"]) == 0


def test_an_unconditional_network_draws_no_labels(files: Path) -> None:
    sampled = Sampler(row(files, none(), main="uncond.safetensors")).sample(range(2))
    assert sampled.arrays["labels"].tolist() == [-1, -1]


@pytest.mark.parametrize("kind", ["dropout", "input-noise"])
def test_degraded_networks_sample_something_else_each_seed_the_same(files: Path, kind: str) -> None:
    plain = row(files, none(), main="main.safetensors")
    worse = Degradation.model_validate({"kind": kind, "amount": 0.2})
    ref = CheckpointRef(checkpoint=str(files / "main.safetensors"), degradation=worse)
    spec = row(files, none(), main=ref)
    first, again = (Sampler(spec).sample(range(2)) for _ in range(2))
    digests = first.arrays["image_digests"].tolist()
    assert digests == again.arrays["image_digests"].tolist()
    assert digests != Sampler(plain).sample(range(2)).arrays["image_digests"].tolist()
    assert spec_sha256(resolve(spec, threads=1)) != spec_sha256(resolve(plain, threads=1))


def test_half_precision_is_another_run_near_the_first(files: Path) -> None:
    spec = row(files, none(), main="main.safetensors")
    half = spec.with_options(precision="fp16")
    assert spec_sha256(resolve(spec, threads=1)) != spec_sha256(resolve(half, threads=1))
    full, low = (Sampler(s).sample(range(2)).arrays["thumbnails"].astype(int) for s in (spec, half))
    assert 0 < np.abs(full - low).max() < 64
    assert np.abs(full - low).mean() < 3


def test_networks_of_two_shapes_are_refused(files: Path) -> None:
    spec = row(files, autoguidance(2.0), main="main.safetensors", guide="large.safetensors")
    with pytest.raises(UserError, match=r"main samples \(3, 8, 8\), guide \(3, 16, 16\)"):
        Sampler(spec)


def test_missing_files_are_named_with_the_way_to_get_them(
    files: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GUIDEBENCH_CACHE", str(tmp_path))
    named = guided(files).with_options(
        networks={
            "main": CheckpointRef(checkpoint="edm2-img64-s-1073741-0.045"),
            "guide": CheckpointRef(checkpoint="edm2-img64-xs-0134217-0.110"),
        },
        reference="img64",
    )
    job_row = Row(suite="t", suite_title="t", name="r", order=0, spec=named)
    expected = (
        r"t::r needs 3 files that the cache does not have; fetch by `guidebench checkpoint fetch "
        r"edm2-img64-s-1073741-0.045 edm2-img64-xs-0134217-0.110 img64`"
    )
    with pytest.raises(UserError, match=expected):
        make_job(job_row, tmp_path / "out", threads=1)
    own = row(files, none(), main=CheckpointRef(checkpoint=str(tmp_path / "no.safetensors")))
    with pytest.raises(UserError, match=r"names .*no\.safetensors, which is not there"):
        make_job(job_row.model_copy(update={"spec": own}), tmp_path / "out", threads=1)
    assert not (tmp_path / "out").exists()


def test_latents_need_the_vae(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, files: Path) -> None:
    monkeypatch.setenv("GUIDEBENCH_CACHE", str(tmp_path))
    ref = CheckpointRef(checkpoint="edm2-img512-s-2147483-0.130")
    spec = row(files, none(), main=ref).with_options(metrics=("fid", "fd_dinov2"))
    kinds = {i.name: i.kind for i in inputs_of(spec)}
    assert kinds["sd-vae-ft-mse"] == "vae"
    assert kinds["inception"] == kinds["dinov2-vitl14"] == "features"


def test_another_features_reference_is_refused(files: Path, tmp_path: Path) -> None:
    spec = row(files, none(), main="main.safetensors").with_options(
        metrics=("fd:untrained:dinov2-vitl14",)
    )
    job_row = Row(suite="t", suite_title="t", name="r", order=0, spec=spec)
    with pytest.raises(UserError, match=f"holds statistics of {EXTRACTOR}, the metric needs"):
        make_job(job_row, tmp_path, threads=1)


@pytest.mark.parametrize(
    ("makes", "sentence"),
    [
        (lambda _: np.full((8, 8, 3), 7, np.uint8), "the sample of seed 0 is one flat colour"),
        (
            lambda _: np.arange(192, dtype=np.uint8).reshape(8, 8, 3),
            "seeds 0 to 1 are all the same",
        ),
    ],
)
def test_samples_that_show_nothing_are_refused_as_in_measure(
    files: Path, monkeypatch: pytest.MonkeyPatch, makes: Makes, sentence: str
) -> None:
    def collapsed(_: object, x: torch.Tensor) -> np.ndarray:
        return np.stack([makes(image) for image in x])

    monkeypatch.setattr(ImagesDomain, "decode", collapsed)
    with pytest.raises(UserError, match=sentence):
        Sampler(guided(files)).sample(range(2))
