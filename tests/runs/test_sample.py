"""Sampling, shards and records, in this process."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.numpy import save

from guidebench.base import UserError
from guidebench.data.digits import load_digits
from guidebench.reports.record import Record
from guidebench.runs.catalog import select
from guidebench.runs.domains import DOMAINS
from guidebench.runs.folder import make_job
from guidebench.runs.sample import Sampler
from guidebench.runs.shards import Batch, read_shard, shard_path, write_shard
from guidebench.runs.spec import Row, RunSpec
from guidebench.runs.worker import measure_run, sample_shard
from guidebench.sampling import HeunSpec, deterministic_heun


def small(label: str, **options: object) -> Row:
    """A row of a built-in suite, cut to a few samples and steps."""
    (row,) = select([label])
    sigma_max = row.spec.sampler.sigma_max if row.spec.sampler else 1.0
    cut: dict[str, object] = {"num_images": 12, "shard_size": 8, "batch_size": 4}
    if row.spec.sampler is not None:
        cut["sampler"] = deterministic_heun(4, sigma_max=sigma_max)
    return row.model_copy(update={"spec": row.spec.with_options(**(cut | options))})


GUIDED = ["fractal::autoguidance-w3", "digits::autoguidance-w1-5", "digits::cfg-interval-w2"]


@pytest.mark.parametrize("label", GUIDED)
def test_a_sample_depends_on_its_seed_alone(label: str) -> None:
    """Up to rounding: another batch size may sum in another order."""
    key = "points" if label.startswith("fractal") else "features"
    spec = small(label).spec
    whole = Sampler(spec).sample(range(12)).arrays
    parts = Sampler(spec.with_options(batch_size=2)).sample(range(5, 9)).arrays
    np.testing.assert_allclose(parts[key], whole[key][5:9], rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("label", GUIDED)
def test_same_spec_same_bits(label: str) -> None:
    spec = small(label).spec
    first, second = (Sampler(spec).sample(range(8)).arrays for _ in range(2))
    for name, array in first.items():
        np.testing.assert_array_equal(array, second[name])


def test_guidance_changes_samples_and_equal_seeds_share_start_and_label() -> None:
    plain, guided = (
        Sampler(small(f"digits::{name}").spec).sample(range(12)).arrays
        for name in ("none", "autoguidance-w1-5")
    )
    np.testing.assert_array_equal(plain["labels"], guided["labels"])
    assert (plain["images"] != guided["images"]).any()


def test_churn_draws_noise_of_its_own_and_is_reproducible() -> None:
    churned = HeunSpec(
        num_steps=4, sigma_min=0.002, sigma_max=5.0, rho=7.0,
        s_churn=2.0, s_min=0.0, s_max=None, s_noise=1.0,
    )  # fmt: skip
    spec = small("fractal::none", sampler=churned).spec
    first, second = (Sampler(spec).sample(range(8)).arrays["points"] for _ in range(2))
    still = Sampler(small("fractal::none").spec).sample(range(8)).arrays["points"]
    np.testing.assert_array_equal(first, second)
    assert np.abs(first - still).max() > 1e-3


def test_flops_are_counted_per_call() -> None:
    """The 64-wide MLP: 4*64 + 4*64*64 multiply-adds forward, as many back, 2 FLOPs each."""
    sampler = Sampler(small("fractal::none").spec)
    assert sampler.flops_per_image() == 7 * 2 * 2 * (4 * 64 + 4 * 64 * 64)


def test_wrong_call_counts_are_never_stored(monkeypatch: pytest.MonkeyPatch) -> None:
    sampler = Sampler(small("digits::none").spec)
    assert sampler.plan is not None
    monkeypatch.setattr(type(sampler.plan), "network_calls", lambda _: {"main": 6})
    with pytest.raises(AssertionError, match=r"planned .*6.* made .*7"):
        sampler.sample(range(4))


def test_real_rows_are_real() -> None:
    images = DOMAINS["digits"].real(range(20))["images"]
    known = {i.tobytes() for i in load_digits().images_NHW}
    assert all(i.tobytes() in known for i in images)


@pytest.mark.parametrize("label", ["fractal::none", "digits::none", "digits::unconditional"])
def test_record_from_shards(tmp_path: Path, label: str) -> None:
    row = small(label, repeats=2)
    job = make_job(row, tmp_path, threads=1)
    job.prepare()
    assert job.finished() is None
    for index in reversed(range(row.spec.num_shards)):
        sample_shard(job, index)
    measure_run(job, 1, 1)
    record = Record.load(job.record_path)
    assert job.finished() == record
    renamed = row.model_copy(update={"spec": row.spec.with_options(title="another")})
    assert make_job(renamed, tmp_path, threads=1).finished() is None  # measured again, not sampled
    assert set(record.metrics) == set(row.spec.metrics)
    assert record.seeds.repeats == 2
    for result in record.metrics.values():
        assert len(result.repeats) == 2
        assert result.standard_error >= 0
    assert record.cost.network_calls_per_image == {"main": 7}
    assert record.cost.energy_joules_per_image is None
    assert "cost.energy_joules_per_image" in record.reasons
    assert record.cost.phases is not None
    assert record.cost.phases.sample > 0
    assert (record.cost.ranks, sum(r.images for r in record.cost.per_rank)) == (1, 24)
    assert record.cost.fraction_of_peak is not None
    assert 0 < record.cost.fraction_of_peak < 2
    assert record.networks["main"].parameters == sum(
        p.numel() for p in Sampler(row.spec).networks["main"].parameters()
    )


def test_records_and_shards_of_before_costs_were_measured_still_load(tmp_path: Path) -> None:
    row = small("fractal::none")
    job = make_job(row, tmp_path, threads=1)
    job.prepare()
    for index in range(2):
        sample_shard(job, index)
        path = shard_path(job.folder, index)
        with safe_open(path, framework="np") as file:
            facts = json.loads(file.metadata()["shard"])
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        del facts["work"]
        for batch in facts["batches"]:
            del batch["parts"]
        path.write_bytes(save(arrays, {"shard": json.dumps(facts)}))
    assert job.unfinished_shards() == set()
    measure_run(job, 2, 1)
    record = Record.load(job.record_path)
    assert (record.cost.ranks, record.cost.per_rank, record.cost.phases) == (2, (), None)
    assert "earlier version" in record.reasons["cost.fraction_of_peak"]
    fields = json.loads(job.record_path.read_text())
    for name in ("per_rank", "phases", "total_peak_memory_bytes", "peak_flops_per_second"):
        del fields["cost"][name]
    job.record_path.write_text(json.dumps(fields))
    assert Record.load(job.record_path) == record


def test_work_of_another_version_is_left_out_and_the_shard_kept(tmp_path: Path) -> None:
    row = small("fractal::none")
    job = make_job(row, tmp_path, threads=1)
    job.prepare()
    sample_shard(job, 0, 5)
    whole = job.shard(0)
    assert whole is not None
    assert whole.work is not None
    assert (whole.work.world, whole.work.device, whole.work.energy_joules) == (5, "cpu", None)
    assert whole.work.began <= whole.work.ended
    assert whole.batches[0].parts.keys() == {"sample", "decode"}
    path = shard_path(job.folder, 0)
    path.write_bytes(path.read_bytes().replace(b'\\"steal\\"', b'\\"stole\\"'))
    again = job.shard(0)
    assert again is not None
    assert (again.work, again.sha256) == (None, whole.sha256)


def test_agreement_is_not_claimed_without_labels() -> None:
    assert "agreement" not in small("digits::unconditional").spec.metrics
    assert "agreement" in small("digits::none").spec.metrics


def test_shards_refuse_what_is_not_theirs(tmp_path: Path) -> None:
    path, seeds = shard_path(tmp_path, 0), range(3, 5)
    write_shard(
        path,
        spec_sha256="a",
        seeds=seeds,
        arrays={"points": np.ones((2, 2), np.float32)},
        batches=[Batch(2, 0.5, cold=True)],
        network_calls={"main": 3},
        memory={"host": 1},
    )
    whole = read_shard(path, spec_sha256="a", seeds=seeds)
    assert whole is not None
    assert whole.batches == (Batch(2, 0.5, cold=True),)
    assert read_shard(path, spec_sha256="b", seeds=seeds) is None
    assert read_shard(path, spec_sha256="a", seeds=range(2)) is None
    assert read_shard(tmp_path / "none", spec_sha256="a", seeds=seeds) is None


def test_unknown_metric_is_refused() -> None:
    for domain in DOMAINS.values():
        with pytest.raises(UserError, match=r"no metric fid; (it has|they have) "):
            domain.measure(["fid"], [])


def test_batches_do_not_see_the_global_generator() -> None:
    spec: RunSpec = small("digits::none").spec
    torch.manual_seed(1)
    first = Sampler(spec).sample(range(4)).arrays["images"]
    torch.manual_seed(2)
    np.testing.assert_array_equal(first, Sampler(spec).sample(range(4)).arrays["images"])
