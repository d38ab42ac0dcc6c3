"""Published formats: bit-exact, in every protocol and spelling, and nothing but UserError."""

import os
import random
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
import torch

from guidebench.base import UserError, sha256_bytes
from guidebench.checkpoints.legacy_pickle import inspect_pickle, read_network, read_reference
from guidebench.checkpoints.network_file import NetworkFile
from guidebench.data.codec import LATENT_MEAN, LATENT_STD
from guidebench.networks import EDM2Denoiser, FractalDenoiser, build_denoiser
from guidebench.runs.conversion import convert_network, import_reference
from tests.checkpoints.legacy_pickle import corpus, official
from tests.networks.test_edm2 import golden

PROTOCOLS = [2, 3, 4, 5]
NAME = "edm2-img64-s-1073741-0.075.pkl"


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("kind", ["rgb", "stability-vae"])
@pytest.mark.parametrize("case", ["cond", "uncond"])
def test_networks_come_back_bit_for_bit(
    case: str, kind: Literal["rgb", "stability-vae"], protocol: int, tmp_path: Path
) -> None:
    config, state, _ = golden(case)
    network = EDM2Denoiser(**config)
    network.load_state_dict(state)
    data = official.network_bytes(network, config, kind, protocol)
    (tmp_path / NAME).write_bytes(data)
    found = read_network(tmp_path / NAME)
    assert {n: t.dtype for n, t in found.tensors.items()} == dict.fromkeys(state, torch.float16)
    assert all(torch.equal(found.tensors[n], t.half()) for n, t in state.items())
    header = found.header
    assert (header.ema, header.num_images) == (0.075, 1 << 30)
    assert {k: header.config[k] for k in config} == config
    assert header.sources[0].sha256 == sha256_bytes(data)
    assert header.encoder is not None
    assert header.encoder.kind == kind
    if kind == "stability-vae":
        assert header.encoder.scale == pytest.approx([0.5 / s for s in LATENT_STD], rel=1e-6)
        expected = [-m * 0.5 / s for m, s in zip(LATENT_MEAN, LATENT_STD, strict=True)]
        assert header.encoder.bias == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("case", ["cond", "uncond"])
def test_the_whole_chain_gives_the_published_output(case: str, tmp_path: Path) -> None:
    config, state, arrays = golden(case)
    network = EDM2Denoiser(**config)
    network.load_state_dict(state)
    official.write_network_pickle(tmp_path / NAME, network, config)
    for out in ("a.safetensors", "b.safetensors"):
        convert_network(tmp_path / NAME, tmp_path / out)
    assert (tmp_path / "a.safetensors").read_bytes() == (tmp_path / "b.safetensors").read_bytes()
    file = NetworkFile.load(tmp_path / "a.safetensors")
    built = build_denoiser(file.header.architecture, file.header.config, file.tensors)
    found = built(arrays["in/x"], arrays["in/sigma"], arrays.get("in/labels"))
    expected = arrays["out/D_stored_fp16"]
    assert (found - expected).abs().max() / expected.abs().max() < 1e-6


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("hidden", [32, 64])
def test_the_toy_comes_back(hidden: int, protocol: int, tmp_path: Path) -> None:
    torch.manual_seed(hidden)
    network = FractalDenoiser(hidden=hidden)
    torch.nn.init.constant_(network.gain, 0.7)
    state = official.state_of(network)
    (tmp_path / "toy.pkl").write_bytes(official.toy_bytes(network, protocol))
    convert_network(tmp_path / "toy.pkl", tmp_path / "toy.safetensors")
    found = NetworkFile.load(tmp_path / "toy.safetensors")
    assert found.header.config == {"hidden": hidden, "num_layers": 4, "sigma_data": 0.5}
    assert (found.header.architecture, found.header.ema) == ("fractal", None)
    assert all(torch.equal(found.tensors[n], t) for n, t in state.items())


@pytest.mark.parametrize("old", [False, True], ids=["numpy 2", "numpy 1"])
@pytest.mark.parametrize("count", [50_000, np.int64(50_000)], ids=["int", "numpy"])
@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_references_come_back(protocol: int, count: int, old: bool, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    statistics = {
        "fid": (rng.normal(size=5), np.cov(rng.normal(size=(5, 20)))),
        "fd_dinov2": (rng.normal(size=3), np.asfortranarray(np.cov(rng.normal(size=(3, 20))))),
    }
    data = official.reference_bytes(count, statistics, protocol)
    path = tmp_path / "img64.pkl"
    path.write_bytes(official.old_numpy(data) if old else data)
    assert old == (b"numpy._core" not in path.read_bytes())
    found, source = read_reference(path)
    assert (found.num_images, source.file) == (50_000, "img64.pkl")
    for metric, (mu, sigma) in statistics.items():
        np.testing.assert_array_equal(found.statistics[metric].mu_D, mu)
        np.testing.assert_array_equal(found.statistics[metric].sigma_DD, sigma)
    made = import_reference(path, tmp_path / "out.safetensors")
    assert {m: s.extractor for m, s in made.statistics.items()} == {
        "fid": "inception",
        "fd_dinov2": "dinov2-vitl14",
    }


def test_another_extractor_is_stated_by_name(tmp_path: Path) -> None:
    path = tmp_path / "r.pkl"
    official.write_reference_pickle(path, 9, {"fid": (np.zeros(2), np.eye(2))})
    out = tmp_path / "r.safetensors"
    made = import_reference(path, out, {"fid": "untrained:inception"})
    assert made.statistics["fid"].extractor == "untrained:inception"
    with pytest.raises(UserError, match="has no statistics fd_dinov2; it has fid"):
        import_reference(path, out, {"fd_dinov2": "dinov2-vitl14"})
    with pytest.raises(UserError, match="unknown feature network incption"):
        import_reference(path, out, {"fid": "incption"})


def test_tensors_of_another_network_are_not_written(tmp_path: Path) -> None:
    path = tmp_path / NAME
    path.write_bytes(corpus.with_arguments(label_dim=7))
    with pytest.raises(UserError, match=r"1 of its tensors .*emb_label.weight is \(16, 4\), exp"):
        convert_network(path, tmp_path / "out.safetensors")
    assert [p.name for p in tmp_path.iterdir()] == [NAME]


@pytest.mark.parametrize("name", ["modèle.pkl", 'a "b" \\ \t.pkl', os.fsdecode(b"\xff.pkl")])
def test_a_file_may_have_any_name(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(corpus.good())
    (made,) = convert_network(tmp_path / name, tmp_path / "out.safetensors").sources
    assert NetworkFile.load(tmp_path / "out.safetensors").header.sources == (made,)
    assert made.file == name.encode(errors="replace").decode()


def test_numbers_stored_in_another_order_come_back_in_ours(tmp_path: Path) -> None:
    plain = corpus.small_network().half().state_dict()["unet.emb_noise.weight"]
    (tmp_path / NAME).write_bytes(corpus.with_transposed("emb_noise"))
    convert_network(tmp_path / NAME, tmp_path / "out.safetensors")
    found = NetworkFile.load(tmp_path / "out.safetensors").tensors["unet.emb_noise.weight"]
    assert found.is_contiguous()
    assert torch.equal(found, plain)


def test_an_altered_file_is_told_from_its_digest(tmp_path: Path) -> None:
    path = tmp_path / NAME
    path.write_bytes(corpus.good())
    with pytest.raises(UserError, match=r"expected 0000.*it was cut or altered"):
        read_network(path, "0" * 64)
    with pytest.raises(UserError, match=r"cannot read .*No such file"):
        read_network(tmp_path / "none.pkl")
    (tmp_path / "empty.pkl").write_bytes(b"")
    with pytest.raises(UserError, match="has 0 bytes, too few"):
        read_network(tmp_path / "empty.pkl")


def test_inspection_names_classes_and_sources(tmp_path: Path) -> None:
    path = tmp_path / NAME
    path.write_bytes(corpus.good())
    words, _, found = inspect_pickle(path)
    digest = sha256_bytes(official.SOURCE.encode())[:12]
    assert words["ema"] == f"Precond, embedded source {digest}"
    assert isinstance(found, NetworkFile)


def test_random_mutants_end_in_a_sentence_or_a_network(tmp_path: Path) -> None:
    """Bit flips and splices; some only change a weight: safe is not intact, digests are."""
    rng = random.Random(0)
    network = FractalDenoiser(hidden=8)
    data = official.toy_bytes(network)
    path, read = tmp_path / "mutant.pkl", 0
    refusals: list[str] = []
    for _ in range(400):
        mutant = bytearray(data)
        for _ in range(rng.choice([1, 1, 2, 8])):
            place = rng.randrange(len(mutant))
            if rng.random() < 0.7:
                mutant[place] ^= 1 << rng.randrange(8)
            else:
                del mutant[place : place + rng.randrange(1, 9)]
        path.write_bytes(bytes(mutant))
        try:
            read_network(path)
            read += 1
        except UserError as error:
            refusals.append(str(error))
    assert 0 < read < 400
    assert not [words for words in refusals if "\n" in words]
