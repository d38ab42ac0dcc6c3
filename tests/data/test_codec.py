"""Samples to pixels: golden RGB, and the VAE against a literal call of a small random one."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
from hypothesis import given
from hypothesis import strategies as st

from guidebench.base import UserError
from guidebench.data.codec import LATENT_MEAN, LATENT_STD, RGBCodec, StabilityVAECodec

GOLDEN = Path(__file__).parents[1] / "golden" / "rgb_codec.npz"
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A VAE of the Stability VAE's class: 4 latent channels, pixels 8 times as wide."""
    torch.manual_seed(0)
    make: Any = AutoencoderKL
    vae = make(
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        block_out_channels=(4, 4, 8, 8),
        norm_num_groups=2,
        latent_channels=4,
    )
    path = tmp_path_factory.mktemp("vae")
    vae.save_pretrained(path)
    return path


def test_rgb_is_the_published_one() -> None:
    with np.load(GOLDEN, allow_pickle=False) as file:
        images, encoded = file["uint8"], torch.from_numpy(file["encoded"])
        values, decoded = torch.from_numpy(file["float_in"]), file["decoded"]
    codec = RGBCodec()
    assert torch.equal(codec.encode(images.transpose(0, 2, 3, 1)), encoded)
    np.testing.assert_array_equal(codec.decode(values), decoded.transpose(0, 2, 3, 1))


@given(st.lists(st.integers(0, 255), min_size=12, max_size=12))
def test_rgb_round_trip_is_exact(values: list[int]) -> None:
    images = np.array(values, dtype=np.uint8).reshape(1, 2, 2, 3)
    codec = RGBCodec()
    np.testing.assert_array_equal(codec.decode(codec.encode(images)), images)


def test_the_vae_decodes_as_written_out(folder: Path) -> None:
    x = torch.randn(5, 4, 4, 4, generator=torch.Generator().manual_seed(1)) * 0.5
    found = StabilityVAECodec.from_folder(folder, device=CPU, batch_size=2).decode(x)
    vae: Any = AutoencoderKL.from_pretrained(folder, low_cpu_mem_usage=False).eval()
    latents = x * torch.tensor(LATENT_STD).view(1, 4, 1, 1) / 0.5
    latents = latents + torch.tensor(LATENT_MEAN).view(1, 4, 1, 1)
    with torch.no_grad():
        values = vae.decode(latents).sample.double()
    expected = ((values + 1) / 2).clip(0, 1).mul(255).floor().permute(0, 2, 3, 1).numpy()
    assert found.shape == (5, 32, 32, 3)
    assert np.abs(found.astype(int) - expected).max() <= 1  # float rounding at a cut
    assert (found == expected).mean() > 0.999
    assert np.ptp(found) > 20


def test_decoding_does_not_depend_on_its_batches(folder: Path) -> None:
    x = torch.randn(3, 4, 4, 4, generator=torch.Generator().manual_seed(2))
    one, three = (
        StabilityVAECodec.from_folder(folder, device=CPU, batch_size=n).decode(x) for n in (1, 3)
    )
    assert np.abs(one.astype(int) - three).max() <= 1
    assert (one == three).mean() > 0.999


def test_encoding_is_the_scaled_mean(folder: Path) -> None:
    images = np.random.default_rng(0).integers(0, 256, (3, 32, 32, 3), dtype=np.uint8)
    codec = StabilityVAECodec.from_folder(folder, device=CPU, batch_size=2)
    vae: Any = AutoencoderKL.from_pretrained(folder, low_cpu_mem_usage=False).eval()
    pixels = torch.from_numpy(images).permute(0, 3, 1, 2).float() / 127.5 - 1
    with torch.no_grad():
        mean = vae.encode(pixels).latent_dist.mean
    centred = mean - torch.tensor(LATENT_MEAN).view(1, 4, 1, 1)
    expected = centred * 0.5 / torch.tensor(LATENT_STD).view(1, 4, 1, 1)
    torch.testing.assert_close(codec.encode(images), expected, rtol=1e-4, atol=1e-5)


def test_stored_scale_and_bias_replace_the_published_ones(folder: Path) -> None:
    x = torch.randn(1, 4, 4, 4, generator=torch.Generator().manual_seed(3))
    scale = [0.5 / s for s in LATENT_STD]
    bias = [-m * s for m, s in zip(LATENT_MEAN, scale, strict=True)]
    same = StabilityVAECodec.from_folder(folder, scale=scale, bias=bias, device=CPU)
    other = StabilityVAECodec.from_folder(folder, scale=[1.0] * 4, bias=[0.0] * 4, device=CPU)
    default = StabilityVAECodec.from_folder(folder, device=CPU)
    np.testing.assert_array_equal(same.decode(x), default.decode(x))
    assert not np.array_equal(other.decode(x), default.decode(x))


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_values_that_are_not_finite_are_refused(bad: float) -> None:
    x = torch.zeros(3, 3, 2, 2)
    x[1, 0, 0, 0] = bad
    with pytest.raises(ValueError, match="1 of 3 samples hold values that are not finite"):
        RGBCodec().decode(x)


def test_a_missing_or_damaged_vae_says_what_to_do(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"has no config.json; `guidebench checkpoint fetch sd-vae"):
        StabilityVAECodec.from_folder(tmp_path, device=CPU)
    (tmp_path / "config.json").write_text(
        json.dumps(json.loads((folder / "config.json").read_text()) | {"latent_channels": 3})
    )
    weights = "diffusion_pytorch_model.safetensors"
    (tmp_path / weights).write_bytes((folder / weights).read_bytes())
    with pytest.raises(UserError, match="does not load"):
        StabilityVAECodec.from_folder(tmp_path, device=CPU)
