"""guidebench checkpoint convert, checkpoint inspect and reference import, as installed."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from guidebench.base import sha256_file
from guidebench.checkpoints.network_file import NetworkFile
from guidebench.metrics.reference import ReferenceFile
from tests.checkpoints.legacy_pickle import corpus, official
from tests.cli.conftest import Command

NAME = "edm2-img64-xs-0134217-0.110"


@pytest.fixture
def pickled(tmp_path: Path) -> Path:
    path = tmp_path / f"{NAME}.pkl"
    path.write_bytes(corpus.good())
    return path


def test_a_network_becomes_safetensors_bit_for_bit(
    command: Command, inline: Command, pickled: Path
) -> None:
    ran = command("checkpoint", "convert", pickled)
    assert ran.returncode == 0, ran.stderr
    assert "edm2, EMA 0.11 at 134,217,728 images" in ran.stdout
    made = pickled.with_suffix(".safetensors")
    file = NetworkFile.load(made)
    truth = official.state_of(official.half(corpus.small_network()))
    assert file.tensors.keys() == truth.keys()
    assert all(torch.equal(file.tensors[name], value) for name, value in truth.items())
    assert file.header.sources[0].sha256 == sha256_file(pickled)

    before = made.read_bytes()
    again = inline("checkpoint", "convert", pickled)
    assert (again.returncode, "is this network already" in again.stdout) == (0, True)
    assert made.read_bytes() == before


def test_another_file_in_the_way_is_kept(inline: Command, pickled: Path) -> None:
    made = pickled.with_suffix(".safetensors")
    made.write_bytes(b"mine")
    refused = inline("checkpoint", "convert", pickled)
    assert refused.returncode == 2
    assert "--force replaces it" in refused.stderr
    assert made.read_bytes() == b"mine"
    assert inline("checkpoint", "convert", pickled, "--force").returncode == 0
    assert NetworkFile.load(made).header.ema == 0.11


def test_a_folder_is_converted_file_by_file(inline: Command, pickled: Path, tmp_path: Path) -> None:
    (tmp_path / "edm2-img64-xs-0134217-0.050.pkl").write_bytes(corpus.good())
    ran = inline("checkpoint", "convert", tmp_path, tmp_path / "out")
    assert ran.returncode == 0, ran.stderr
    made = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert made == [f"edm2-img64-xs-0134217-{ema}.safetensors" for ema in ("0.050", "0.110")]
    empty = inline("checkpoint", "convert", tmp_path / "out")
    assert (empty.returncode, "holds no .pkl files" in empty.stderr) == (2, True)
    one = inline("checkpoint", "convert", tmp_path, tmp_path / "one.safetensors")
    assert (one.returncode, "name a folder for the results" in one.stderr) == (2, True)
    assert pickled.is_file()


def test_inspect_says_the_same_before_and_after(inline: Command, pickled: Path) -> None:
    before = json.loads(inline("checkpoint", "inspect", pickled, "--json").stdout)
    assert before["config"]["model_channels"] == corpus.CONFIG["model_channels"]
    assert before["ema"] == 0.11
    assert before["encoder"] == "rgb"
    assert "embedded source" in before["holds"]["loss_fn"]
    assert inline("checkpoint", "convert", pickled).returncode == 0
    made = pickled.with_suffix(".safetensors")
    after = json.loads(inline("checkpoint", "inspect", made, "--json").stdout)
    shared = before.keys() & after.keys() - {"sha256"}
    assert {k: before[k] for k in shared} == {k: after[k] for k in shared}
    assert after["sha256"] == sha256_file(made)
    assert "config" in inline("checkpoint", "inspect", made).stdout


@pytest.mark.parametrize("action", ["convert", "inspect"])
def test_hostile_files_are_one_sentence(inline: Command, tmp_path: Path, action: str) -> None:
    path = tmp_path / "bad.pkl"
    path.write_bytes(corpus.armed()["reduce to os.system"])
    marker = tmp_path / "marker"
    ran = inline("checkpoint", action, path, GUIDEBENCH_MARKER=str(marker))
    assert ran.returncode == 2
    assert ran.stderr.count("\n") == 1
    assert "is refused" in ran.stderr
    assert [p.name for p in tmp_path.iterdir()] == ["bad.pkl"]


def test_networks_of_another_shape_are_refused(inline: Command, tmp_path: Path) -> None:
    path = tmp_path / "wide.pkl"
    wide = corpus.CONFIG | {"num_blocks": 2}
    path.write_bytes(official.network_bytes(corpus.small_network(), wide))
    ran = inline("checkpoint", "convert", path)
    assert ran.returncode == 2
    assert "of its tensors are not the network's" in ran.stderr
    assert not path.with_suffix(".safetensors").exists()


def test_statistics_of_another_networks_size_are_refused(inline: Command, tmp_path: Path) -> None:
    path, cache = tmp_path / "mine.pkl", str(tmp_path / "cache")
    official.write_reference_pickle(path, 9, {"fd_dinov2": (np.zeros(5), np.eye(5))})
    ran = inline("reference", "import", path, GUIDEBENCH_CACHE=cache)
    assert ran.returncode == 2
    assert "fd_dinov2 has 5 features, dinov2-vitl14 has 1024; say which" in ran.stderr
    assert not (tmp_path / "cache" / "references").exists()


def test_reference_statistics_are_imported(inline: Command, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    found = {m: (rng.normal(size=d), np.eye(d)) for m, d in (("fid", 2048), ("fd_dinov2", 1024))}
    path = tmp_path / "mine.pkl"
    official.write_reference_pickle(path, 1234, found)
    ran = inline("reference", "import", path, GUIDEBENCH_CACHE=str(tmp_path / "cache"))
    assert ran.returncode == 0, ran.stderr
    assert "fid (inception, 2048), fd_dinov2 (dinov2-vitl14, 1024), from 1,234 images" in ran.stdout
    made = ReferenceFile.load(tmp_path / "cache" / "references" / "mine.safetensors")
    for metric, (mu, sigma) in found.items():
        np.testing.assert_array_equal(made.statistics[metric].mean_D, mu)
        np.testing.assert_array_equal(made.statistics[metric].cov_DD, sigma)
    shown = inline("checkpoint", "inspect", path)
    assert "reference statistics" in shown.stdout


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("--extractor", "fid"), "takes METRIC=NAME"),
        (("--extractor", "fid=nothing"), "nothing"),
        (("--extractor", "fd_dinov2=inception"), "has no statistics fd_dinov2"),
    ],
)
def test_bad_extractors_are_refused(
    inline: Command, tmp_path: Path, words: tuple[str, ...], sentence: str
) -> None:
    path = tmp_path / "mine.pkl"
    official.write_reference_pickle(path, 9, {"fid": (np.zeros(2), np.eye(2))})
    ran = inline("reference", "import", path, tmp_path / "out.safetensors", *words)
    assert ran.returncode == 2
    assert sentence in ran.stderr
    assert not (tmp_path / "out.safetensors").exists()
