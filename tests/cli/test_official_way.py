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
from tests.cli.conftest import Command, records

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
    images = np.random.default_rng(0).integers(0, 256, (48, 16, 16, 3), dtype=np.uint8)
    extractor = load_extractor("untrained:dinov2-vits14", None, device=torch.device("cpu"))
    features = extractor.extract(images).astype(np.float64)
    statistics = {"fd_dinov2": (features.mean(0), np.cov(features, rowvar=False))}
    write_reference_pickle(folder / "img64.pkl", 48, statistics)
    return folder


def test_fetch_convert_run_and_compare(command: Command, official: Path, tmp_path: Path) -> None:
    suite = Path(shutil.copy(SUITE, tmp_path / SUITE.name))
    out, environment = tmp_path / "out", {"GUIDEBENCH_CACHE": str(tmp_path / "cache")}

    with FileServer(official) as server:
        online = environment | {"GUIDEBENCH_MIRROR": server.url}
        bare = command("run", suite, "--out", out, **environment)
        assert (bare.returncode, "`guidebench reference import`" in bare.stderr) == (2, True)
        imported = command(
            "reference", "import", official / "img64.pkl", tmp_path / "img64.safetensors",
            "--extractor", "fd_dinov2=untrained:dinov2-vits14",
        )  # fmt: skip
        assert imported.returncode == 0, imported.stderr
        early = command("run", suite, "--out", out, **environment)
        assert (
            early.returncode,
            "checkpoint fetch edm2-img64-s-1073741-0.075" in early.stderr,
        ) == (2, True)
        fetched = command("checkpoint", "fetch", "--suite", suite, **online)
        assert fetched.returncode == 0, fetched.stderr
        assert "CC BY-NC-SA 4.0" in fetched.stdout + fetched.stderr

    inspected = command("checkpoint", "inspect", official / f"{next(iter(NETWORKS))}.pkl")
    assert inspected.returncode == 0, inspected.stderr

    ran = command("run", suite, "--out", out, **environment)
    assert ran.returncode == 0, ran.stderr
    found = records(out)
    assert {row: r["published"][METRIC]["value"] for row, r in found.items()} == (PUBLISHED)
    assert all(not r["metrics"][METRIC]["features"]["comparable"] for r in found.values())
    values = [r["metrics"][METRIC]["value"] for r in found.values()]
    assert len(set(values)) == len(values)
    assert found["cfg"]["cost"]["network_calls_per_image"] == {"main": 7, "unconditional": 7}
    for value in PUBLISHED.values():
        assert f"{value:g}" in ran.stdout
    assert "published" in ran.stdout

    assert command("run", suite, "--out", out, **environment).returncode == 0
    one = command("run", suite, "--out", tmp_path / "one", "--ranks", 1, **environment)
    assert one.returncode == 0
    again = records(tmp_path / "one")
    assert all(again[row]["samples_sha256"] == r["samples_sha256"] for row, r in found.items())
    converted = command("checkpoint", "convert", official / f"{next(iter(NETWORKS))}.pkl",
                        tmp_path / "same.safetensors")  # fmt: skip
    assert converted.returncode == 0, converted.stderr
    cached = next((tmp_path / "cache").rglob(f"{next(iter(NETWORKS))}.safetensors"))
    assert cached.read_bytes() == (tmp_path / "same.safetensors").read_bytes()
    assert json.loads(command("list", "networks", "--json", **environment).stdout)
