"""The shipped networks: each is what its provenance says, and works."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from guidebench.base import UserError
from guidebench.checkpoints.builtin import (
    PROVENANCE,
    builtin_file,
    builtin_networks,
    networks_folder,
    read_provenance,
)
from guidebench.checkpoints.weights import SnapshotFile, load_snapshots
from guidebench.networks import build_denoiser
from guidebench.training.recipes import RECIPES
from guidebench.training.tasks import held_out_accuracy

NAMES = sorted(r.name for suite in RECIPES.values() for r in suite)


@pytest.fixture(autouse=True)
def fresh_list() -> Iterator[None]:
    builtin_networks.cache_clear()
    yield
    builtin_networks.cache_clear()


@pytest.fixture
def copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the shipped folder, in use instead of it."""
    folder = tmp_path / "networks"
    shutil.copytree(networks_folder(), folder)
    monkeypatch.setenv("GUIDEBENCH_NETWORKS", str(folder))
    builtin_networks.cache_clear()
    return folder


def loaded(name: str) -> SnapshotFile:
    return load_snapshots(builtin_file(name)[0])


def test_every_recipe_has_its_network_and_nothing_else_is_there() -> None:
    assert sorted(builtin_networks()) == NAMES
    files = {n.file for n in builtin_networks().values()}
    assert {p.name for p in networks_folder().glob("*.safetensors")} == files


def test_all_of_them_are_small() -> None:
    assert 0 < sum(n.bytes for n in builtin_networks().values()) <= 6_000_000


@pytest.mark.parametrize("name", NAMES)
def test_is_what_its_provenance_says(name: str) -> None:
    entry = builtin_networks()[name]
    path, digest = builtin_file(name)
    assert digest == entry.sha256
    assert path.stat().st_size == entry.bytes
    (recipe,) = [r for suite in RECIPES.values() for r in suite if r.name == name]
    assert entry.recipe == repr(recipe)
    assert entry.recipe_sha256 == recipe.sha256
    assert (entry.seed, entry.iterations) == (recipe.seed, recipe.iterations)
    assert entry.command == f"guidebench train {name.partition('-')[0]}"
    file = loaded(name)
    assert file.num_parameters == entry.parameters
    assert file.architecture == recipe.task.architecture
    assert dict(file.config) == recipe.task.config
    assert {s.iteration for s in file.snapshots} == set(recipe.snapshot_iterations)
    assert {s.ema for s in file.snapshots} == set(recipe.ema_lengths)
    assert all(t.isfinite().all() for t in file.parameters.values())


@pytest.mark.parametrize("name", [n for n in NAMES if n != "digits-classifier"])
def test_denoises(name: str) -> None:
    file = loaded(name)
    last = file.snapshots[-1]
    network = build_denoiser(
        file.architecture, file.config, file.reconstruct(last.iteration, last.ema)
    )
    x = torch.randn(4, *network.sample_shape)
    labels = torch.eye(network.label_dim)[:4] if network.label_dim else None
    for sigma in (0.002, 0.5, 80.0):
        denoised = network(x * sigma, sigma, labels)
        assert denoised.shape == x.shape
        assert denoised.isfinite().all()
    assert network(x * 80.0, 80.0, labels).std() < 2  # of the data, not of the noise


def test_classifier_reads_digits_that_it_has_not_seen() -> None:
    file = loaded("digits-classifier")
    last = file.snapshots[-1]
    accuracy = held_out_accuracy(file.reconstruct(last.iteration, last.ema))
    assert accuracy >= 0.97
    # Another processor may round one of the 599 the other way.
    stored = builtin_networks()["digits-classifier"].checks["held_out_accuracy"]
    assert accuracy == pytest.approx(stored, abs=1.5 / 599)


def test_an_altered_file_is_refused(copy: Path) -> None:
    path = copy / builtin_networks()["fractal-guide"].file
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    with pytest.raises(UserError, match="the file was altered; install guidebench again or retrai"):
        builtin_file("fractal-guide")


def test_a_missing_file_is_refused(copy: Path) -> None:
    (copy / builtin_networks()["fractal-guide"].file).unlink()
    with pytest.raises(
        UserError, match=r"fractal-guide\.safetensors is missing; install guidebench"
    ):
        builtin_file("fractal-guide")


def test_an_unknown_name_is_refused() -> None:
    with pytest.raises(UserError, match="has no network fractal-mian; there: "):
        builtin_file("fractal-mian")


def test_no_provenance_is_no_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GUIDEBENCH_NETWORKS", str(tmp_path))
    assert builtin_networks() == {}
    with pytest.raises(UserError, match="has no network fractal-main; there: none"):
        builtin_file("fractal-main")


@pytest.mark.parametrize("text", ["", "{", "[]", "[1]", "1", json.dumps({"a": {"file": "b"}})])
def test_a_provenance_that_is_not_whole_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / PROVENANCE).write_text(text)
    with pytest.raises(UserError, match=r"provenance\.json is not a readable provenance; delete i"):
        read_provenance(tmp_path)
