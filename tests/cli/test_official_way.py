"""From official files on a server to a table beside the published values; no internet, no GPU."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from guidebench.metrics.features import load_extractor
from guidebench.networks import EDM2Denoiser
from tests.checkpoints.http_server import FileServer
from tests.checkpoints.legacy_pickle.official import write_network_pickle, write_reference_pickle
from tests.cli.conftest import Command, Ran, records

SUITE = Path(__file__).with_name("suite_official.py")
METRIC = "fd:untrained:dinov2-vits14"
PUBLISHED = {"none": 1.58, "cfg": 1.48, "autoguidance": 1.01}
NETWORKS = {
    "edm2-img64-s-1073741-0.075": ("S", 10),
    "edm2-img64-s-1073741-0.030": ("S", 10),
    "edm2-img64-s-1073741-0.045": ("S", 10),
    "edm2-img64-xs-0134217-0.110": ("XS", 10),
    "edm2-img64-xs-uncond-2147483-0.030": ("XS", 0),
}


def config(width: str, label_dim: int) -> dict[str, Any]:
    return {
        "img_resolution": 16, "img_channels": 3, "label_dim": label_dim,
        "model_channels": {"S": 16, "XS": 8}[width], "channel_mult": [1, 2], "num_blocks": 1,
        "attn_resolutions": [8], "channels_per_head": 8,
    }  # fmt: skip


def small_network(seed: int, arguments: dict[str, Any]) -> EDM2Denoiser:
    """A network whose every part matters: its gains are not the initial zeros."""
    torch.manual_seed(seed)
    network = EDM2Denoiser(**arguments)
    for name, parameter in network.named_parameters():
        if name.endswith("gain"):
            torch.nn.init.constant_(parameter, 0.5)
    return network


@pytest.fixture(scope="module")
def official(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A server's folder: networks under their published names, and reference statistics."""
    folder = tmp_path_factory.mktemp("official")
    for seed, (name, (width, label_dim)) in enumerate(NETWORKS.items()):
        arguments = config(width, label_dim)
        network = small_network(seed, arguments)
        write_network_pickle(folder / f"{name}.pkl", network, arguments)
    images = np.random.default_rng(0).integers(0, 256, (24, 16, 16, 3), dtype=np.uint8)
    extractor = load_extractor("untrained:dinov2-vits14", None, device=torch.device("cpu"))
    features = extractor.extract(images).astype(np.float64)
    statistics = {"fd_dinov2": (features.mean(0), np.cov(features, rowvar=False))}
    write_reference_pickle(folder / "img64.pkl", 24, statistics)
    return folder


def answer(ran: Ran) -> tuple[int, str]:
    return ran.returncode, ran.stdout + ran.stderr


def test_fetch_convert_run_and_compare(
    command: Command, inline: Command, official: Path, tmp_path: Path
) -> None:
    """What must go through the installed command is the run; its workers are processes anyway."""
    suite = Path(shutil.copy(SUITE, tmp_path / SUITE.name))
    out, cache, first = tmp_path / "out", tmp_path / "cache", next(iter(NETWORKS))
    environment = {"GUIDEBENCH_CACHE": str(cache)}

    with FileServer(official) as server:
        online = environment | {"GUIDEBENCH_MIRROR": server.url}
        code, said = answer(inline("run", suite, "--out", out, **environment))
        assert (code, "`guidebench reference import`" in said) == (2, True)
        code, said = answer(inline("checkpoint", "fetch", "img64", **online))
        assert code == 0, said
        imported = inline(
            "reference", "import", cache / "downloads" / "img64.pkl",
            tmp_path / "img64.safetensors", "--extractor", "fd_dinov2=untrained:dinov2-vits14",
        )  # fmt: skip
        assert imported.returncode == 0, imported.stderr
        code, said = answer(inline("run", suite, "--out", out, **environment))
        assert (code, f"checkpoint fetch {first}" in said) == (2, True)
        code, said = answer(inline("checkpoint", "fetch", "--suite", suite, **online))
        assert code == 0, said
        assert len(server.answers) == 1 + len(NETWORKS)
    assert "CC BY-NC-SA 4.0" in (cache / "licences-shown" / "cc-by-nc-sa-4.0").read_text()

    ran = command("run", suite, "--out", out, **environment)
    assert ran.returncode == 0, ran.stderr
    found = records(out)
    assert {row: r["published"][METRIC]["value"] for row, r in found.items()} == PUBLISHED
    assert all(not r["metrics"][METRIC]["features"]["comparable"] for r in found.values())
    values = [r["metrics"][METRIC]["value"] for r in found.values()]
    assert len(set(values)) == len(values)
    assert found["cfg"]["cost"]["network_calls_per_image"] == {"main": 7, "unconditional": 7}
    for value in PUBLISHED.values():
        assert f"{value:g}" in ran.stdout
    assert "published" in ran.stdout

    whole = {path: path.stat().st_mtime_ns for path in out.rglob("*.safetensors")}
    assert inline("run", suite, "--out", out, **environment).returncode == 0
    assert {path: path.stat().st_mtime_ns for path in out.rglob("*.safetensors")} == whole
    one = inline("run", f"{suite}::cfg", "--out", tmp_path / "one", "--ranks", 1, **environment)
    assert one.returncode == 0, one.stderr
    (again,) = records(tmp_path / "one").values()
    assert again["samples_sha256"] == found["cfg"]["samples_sha256"]


def test_a_file_converted_by_hand_is_the_fetched_one(
    inline: Command, official: Path, tmp_path: Path
) -> None:
    name, environment = next(iter(NETWORKS)), {"GUIDEBENCH_CACHE": str(tmp_path / "cache")}
    folder = environment | {"GUIDEBENCH_MIRROR": str(official)}
    assert inline("checkpoint", "fetch", name, **folder).returncode == 0
    made = tmp_path / "same.safetensors"
    assert inline("checkpoint", "convert", official / f"{name}.pkl", made).returncode == 0
    assert (tmp_path / "cache" / "networks" / made.with_stem(name).name).read_bytes() == (
        made.read_bytes()
    )
    words = json.loads(inline("checkpoint", "inspect", made, "--json").stdout)
    assert (words["ema"], words["num_images"]) == (0.075, 1 << 30)
