"""Specs: whole, frozen, and named by everything that their numbers depend on."""

from typing import Any

import pytest
from pydantic import ValidationError

from guidebench.base import UserError
from guidebench.guidance.catalog import autoguidance
from guidebench.runs.catalog import select
from guidebench.runs.inputs import resolve, spec_sha256
from guidebench.runs.spec import Published, RunSpec
from guidebench.sampling import deterministic_heun

SPEC = select(["fractal::autoguidance-w3"])[0].spec
REPORT_ONLY = {"title", "role", "curves", "published", "engine_reason"}
OTHER: dict[str, Any] = {
    "title": "another",
    "role": "curve",
    "curves": (),
    "networks": {"main": SPEC.networks["main"], "guide": SPEC.networks["main"]},
    "scheme": autoguidance(2.0),
    "sampler": deterministic_heun(16, sigma_max=5.0),
    "num_images": 17,
    "first_seed": 5,
    "repeats": 2,
    "shard_size": 4096,
    "batch_size": 256,
    "metrics": ("outlier_rate",),
    "published": {"outlier_rate": Published(value=0.1, source="a paper")},
    "device": "cuda",
    "engine": "compiled",
    "engine_reason": "because",
    "streams": 2,
}
IMAGES = RunSpec.model_validate(
    SPEC.model_dump()
    | {
        "domain": "images",
        "networks": {
            "main": {"checkpoint": "edm2-img64-s-1073741-0.045"},
            "guide": {"checkpoint": "edm2-img64-xs-0134217-0.110"},
        },
        "reference": "img64",
        "metrics": ("fid",),
    }
)


def test_the_table_above_names_every_field() -> None:
    tied = {"domain", "source", "reference", "precision"}  # another value needs other fields too
    assert set(RunSpec.model_fields) == set(OTHER) | tied


@pytest.mark.parametrize("field", OTHER)
def test_every_field_that_changes_numbers_changes_the_digest(field: str) -> None:
    changed = SPEC.with_options(**{field: OTHER[field]})
    same = spec_sha256(resolve(changed, threads=1)) == spec_sha256(resolve(SPEC, threads=1))
    assert same == (field in REPORT_ONLY)


def test_threads_and_weights_are_in_the_digest() -> None:
    assert spec_sha256(resolve(SPEC, threads=1)) != spec_sha256(resolve(SPEC, threads=2))
    assert set(resolve(SPEC, threads=1)["files"]) == {"fractal-main", "fractal-guide"}


def test_no_field_that_changes_a_number_has_a_default() -> None:
    optional = {n for n, f in RunSpec.model_fields.items() if not f.is_required()}
    # None is reference's only value outside images; streams changes speed, in principle
    assert optional <= REPORT_ONLY | {"reference", "streams"}


def test_a_network_may_have_a_precision_of_its_own() -> None:
    main = IMAGES.networks["main"].model_copy(update={"precision": "bf16"})
    own = IMAGES.with_options(networks={**IMAGES.networks, "main": main}, precision="fp16")
    assert (own.precision_of("main"), own.precision_of("guide")) == ("bf16", "fp16")
    narrow = {"main": SPEC.networks["main"].model_copy(update={"precision": "fp16"})}
    with pytest.raises(UserError, match="the fractal runs in fp32, got fp16, fp32"):
        SPEC.with_options(networks={**SPEC.networks, **narrow})


def test_degraded_networks_run_eager_alone() -> None:
    main = IMAGES.networks["main"].model_dump()
    worse = {**main, "degradation": {"kind": "dropout", "amount": 0.1}}
    networks = {**IMAGES.networks, "main": worse}
    assert IMAGES.with_options(networks=networks).random_inside
    with pytest.raises(UserError, match="draw random numbers: they run eager, not compiled"):
        IMAGES.with_options(networks=networks, engine="compiled")


def test_json_round_trip() -> None:
    assert RunSpec.model_validate_json(SPEC.model_dump_json()) == SPEC


def test_frozen_and_closed() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        SPEC.num_images = 3  # type: ignore[misc]
    with pytest.raises(UserError, match="colour: Extra inputs"):
        SPEC.with_options(colour="blue")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"num_images": 1}, "greater than or equal to 2"),
        ({"shard_size": 1000}, "shard_size 1000 is no multiple of batch_size 512"),
        ({"networks": {}}, "networks and the scheme's roles differ in: guide, main"),
        ({"source": "data"}, "a row of real data has neither"),
        ({"precision": "fp8"}, "'fp32'"),
        ({"num_images": 10**20}, "there are 4,294,967,296 seeds, and 100,000,000"),
        ({"first_seed": 2**32 - 2, "num_images": 3, "repeats": 1}, "3 images x 1 from seed 4,294"),
    ],
)
def test_what_does_not_fit_is_said(options: dict[str, Any], said: str) -> None:
    with pytest.raises(UserError, match=said):
        SPEC.with_options(**options)


def test_the_last_seed_can_be_used() -> None:
    spec = SPEC.with_options(first_seed=2**32 - 2, num_images=2, repeats=1)
    assert spec.shard_seeds(0)[-1] == 2**32 - 1


def test_shards_cover_the_seeds_once() -> None:
    spec = SPEC.with_options(num_images=100, repeats=3, shard_size=64, batch_size=32, first_seed=7)
    seeds = [s for i in range(spec.num_shards) for s in spec.shard_seeds(i)]
    assert seeds == list(range(7, 307))


def test_a_changed_engine_changes_its_own_digests_only(monkeypatch: pytest.MonkeyPatch) -> None:
    specs = [SPEC, SPEC.with_options(engine="compiled")]
    before = [spec_sha256(resolve(spec, threads=1)) for spec in specs]
    monkeypatch.setattr("guidebench.runs.inputs._ENGINE_VERSIONS", {"compiled": 1_000})
    after = [spec_sha256(resolve(spec, threads=1)) for spec in specs]
    assert [a == b for a, b in zip(after, before, strict=True)] == [True, False]


def test_digests_of_earlier_versions_hold() -> None:
    """A new field that a row leaves empty is not in its digest."""
    fields = resolve(SPEC, threads=1)
    assert "reference" not in fields
    assert "published" not in fields
    assert fields["networks"]["main"] == {"name": "fractal-main", "iteration": 4096, "ema": 0.01}


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"networks": SPEC.networks}, "a row of images takes a CheckpointRef as main network"),
        ({"reference": None}, "rows of images name their reference statistics"),
        ({"published": {"is": Published(value=1.0, source="x")}}, "is is not"),
    ],
)
def test_rows_of_images_are_whole(options: dict[str, Any], match: str) -> None:
    with pytest.raises(UserError, match=match):
        IMAGES.with_options(**options)


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"networks": IMAGES.networks}, "a row of fractal takes a NetworkRef as main network"),
        ({"reference": "img64"}, "other rows have none"),
        ({"precision": "fp16"}, "the fractal runs in fp32, got fp16"),
    ],
)
def test_other_rows_take_built_in_networks(options: dict[str, Any], match: str) -> None:
    with pytest.raises(UserError, match=match):
        SPEC.with_options(**options)
