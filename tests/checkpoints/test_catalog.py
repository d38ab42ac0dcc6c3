import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guidebench.base import UserError, cache_folder
from guidebench.checkpoints.cache import (
    entry_status,
    network_path,
    reference_path,
    status,
    weights_path,
)
from guidebench.checkpoints.catalog import (
    catalog_entries,
    find_entry,
    parse_network_name,
    reconstruction,
)

GOLDEN = Path(__file__).parents[1] / "golden"
PUBLISHED: dict[str, Any] = json.loads((GOLDEN / "edm2_presets.json").read_text())
NAMES = sorted(n for n, e in catalog_entries().items() if e.kind == "network")


def test_every_file_of_the_published_presets_is_listed() -> None:
    presets = PUBLISHED["presets"].values()
    networks = {f for p in presets for f in (p["net"], p["gnet"]) if f}
    urls = {f"{PUBLISHED['model_root']}/{file}" for file in networks}
    urls |= {f"{PUBLISHED['dataset_refs_root']}/{f}" for f in PUBLISHED["dataset_refs"].values()}
    found = {
        file.url
        for entry in catalog_entries().values()
        if entry.kind in {"network", "reference"}
        for file in entry.files
    }
    assert found == urls
    assert len(networks) == len(NAMES) == 51


@pytest.mark.parametrize("name", NAMES)
def test_names_say_what_they_are(name: str) -> None:
    parsed = parse_network_name(name)
    assert parsed.name == name
    assert parsed.run == name.rsplit("-", 2)[0]
    assert parsed.num_images % (1 << 23) == 0  # the paper's snapshots, App. C.2
    assert parsed.unconditional == ("uncond" in name)
    entry = find_entry(name)
    assert (entry.network, entry.listed, entry.licence.name) == (parsed, True, "CC BY-NC-SA 4.0")


def test_a_name_in_numbers() -> None:
    parsed = parse_network_name("edm2-img512-xxl-0939524-0.075")
    assert (parsed.size, parsed.resolution, parsed.ema) == ("xxl", 512, 0.075)
    assert parsed.num_images == 939_524_096
    assert parsed.parameters == 1_523_200_000
    assert find_entry(parsed.name).expected_bytes == 3_046_600_000
    assert parse_network_name("edm2-img512-s-2147483-0.130").num_images == 1 << 31
    small = parse_network_name("edm2-img64-xxs-uncond-0134217-0.050")
    assert (small.parameters, small.estimated_bytes, small.unconditional) == (None, None, True)


@given(batches=st.integers(1, 4_000_000), ema=st.integers(1, 288))
def test_any_training_time_survives_its_name(batches: int, ema: int) -> None:
    num_images = batches * 2048
    name = f"edm2-img512-s-{num_images // 1000:07d}-{ema / 1000:.3f}"
    parsed = parse_network_name(name)
    assert (parsed.num_images, parsed.ema, parsed.name) == (num_images, ema / 1000, name)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("edm2-img512-s-2147483-0.13", "is no network's name"),
        ("edm2-img256-s-2147483-0.130", "is no network's name"),
        ("../edm2-img512-s-2147483-0.130", "is no network's name"),
        ("edm2-img512-s-2147483-0.130\n", "is no network's name"),
        ("edm2-img512-s-0000000-0.130", "no batch of 2048 images ends at 0000000"),
        ("edm2-img512-s-0000001-0.130", "no batch of 2048 images ends at 0000001"),
        ("edm2-img512-s-2147483-0.000", "EMA lengths lie between 0 and 0.2886, got 0.000"),
        ("edm2-img512-s-2147483-0.300", "EMA lengths lie between 0 and 0.2886, got 0.300"),
    ],
)
def test_wrong_names(name: str, said: str) -> None:
    with pytest.raises(UserError, match=said):
        parse_network_name(name)


def test_what_is_not_listed_names_its_snapshots() -> None:
    entry = find_entry("edm2-img512-xs-2147483-0.050")
    assert not entry.listed
    assert entry.network is not None
    made = reconstruction(entry.network)
    root = "https://nvlabs-fi-cdn.nvidia.com/edm2/raw-snapshots/edm2-img512-xs/"
    assert made.folder_url == root
    assert made.urls[0] == f"{root}edm2-img512-xs-0033554-0.050.pkl"
    assert made.urls[-1] == f"{root}edm2-img512-xs-2147483-0.100.pkl"
    assert len(made.urls) == 128  # "128 files, 29.8 GB" for XS, arXiv:2312.02696
    assert made.estimated_bytes == pytest.approx(29.8 * 2**30, rel=0.003)
    assert "guidebench checkpoint ema" in made.command
    assert "0.050" in made.command


def test_unknown_names_are_told_the_nearest() -> None:
    with pytest.raises(UserError, match="unknown file dinov2-vitl; did you mean dinov2-vitl14"):
        find_entry("dinov2-vitl")
    with pytest.raises(UserError, match="unknown file zzz; see `guidebench list downloads`"):
        find_entry("zzz")


def test_the_cache_has_a_place_for_each_kind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GUIDEBENCH_CACHE", str(tmp_path))
    assert network_path("a-0.1") == tmp_path / "networks" / "a-0.1.safetensors"
    assert reference_path("img64") == tmp_path / "references" / "img64.safetensors"
    assert weights_path("sd-vae-ft-mse") == tmp_path / "weights" / "sd-vae-ft-mse"
    assert weights_path("inception").name == "weights-inception-2015-12-05-6726825d.pth"
    for bad in ("../x", "", ".hidden", "a\\b"):
        with pytest.raises(UserError, match="cannot name a file of the cache"):
            network_path(bad)
    monkeypatch.delenv("GUIDEBENCH_CACHE")
    assert cache_folder().name == "guidebench"


def test_status_looks_at_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GUIDEBENCH_CACHE", str(tmp_path))
    name = "edm2-img64-s-1073741-0.075"
    assert (status(name).state, status(name).bytes) == ("missing", 560_600_000)
    (tmp_path / "downloads").mkdir()
    (tmp_path / "downloads" / f"{name}.pkl").write_bytes(b"123")
    assert (status(name).state, status(name).bytes) == ("downloaded", 3)
    network_path(name).parent.mkdir()
    network_path(name).write_bytes(b"12")
    assert (status(name).state, status(name).bytes) == ("present", 2)
    vae = find_entry("sd-vae-ft-mse")
    weights_path(vae.name).mkdir(parents=True)
    (weights_path(vae.name) / "config.json").write_bytes(b"{}")
    assert entry_status(vae).state == "missing"  # one of two files
    (weights_path(vae.name) / "diffusion_pytorch_model.safetensors").write_bytes(b"1")
    assert (entry_status(vae).state, entry_status(vae).bytes) == ("present", 3)


def test_names_cost_no_heavy_imports() -> None:
    code = (
        "import sys; from guidebench.checkpoints.cache import status; status('img64');"
        "heavy = {'torch', 'numpy', 'requests', 'pooch', 'pydantic'};"
        "print(sorted(heavy & set(sys.modules)))"
    )
    ran = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert ran.stdout.strip() == "[]"
