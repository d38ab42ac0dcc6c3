"""Inception and DINOv2: pre-processing against literal forms, weights by digest, nothing silent."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3
from torch_fidelity.interpolate_compat_tensorflow import interpolate_bilinear_2d_like_tensorflow1x

from guidebench.base import UserError, sha256_file
from guidebench.metrics.features import dinov2, extractor, inception, load_extractor
from tests.reference.metrics_images import antialiased_bicubic, bicubic_with_scale, tf1_bilinear

CPU = torch.device("cpu")
NAMES = ["untrained:inception", "untrained:dinov2-vits14"]


def some_images(count: int, side: int = 32) -> NDArray[np.uint8]:
    return np.random.default_rng(count).integers(0, 256, (count, side, side, 3), dtype=np.uint8)


@pytest.mark.parametrize("side", [8, 40, 77])
def test_the_resize_of_inception_is_tensorflows(side: int) -> None:
    image = np.random.default_rng(side).uniform(0, 255, (side, side))
    found = interpolate_bilinear_2d_like_tensorflow1x(
        torch.from_numpy(image)[None, None].float(), size=(50, 50), align_corners=False
    )
    np.testing.assert_allclose(found[0, 0].numpy(), tf1_bilinear(image, 50), atol=2e-3)


def test_inception_is_torch_fidelitys_with_the_same_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    network = inception._network(None)
    extractor.randomise(network, 3)
    path = tmp_path / "weights.pth"
    torch.save(network.state_dict(), path)
    monkeypatch.setattr(inception, "SHA256", sha256_file(path))
    images = some_images(3)
    found = load_extractor("inception", path, device=CPU)
    wanted = ["2048", "logits_unbiased"]
    theirs = FeatureExtractorInceptionV3("inception-v3-compat", wanted, str(path))
    expected, logits = theirs(torch.from_numpy(images).permute(0, 3, 1, 2))
    features = found.extract(images)
    np.testing.assert_array_equal(features, expected.numpy())
    assert found.logits is not None  # from the features alone, for the Inception score
    scale = float(logits.abs().max())
    np.testing.assert_allclose(found.logits(features), logits.numpy(), rtol=0, atol=1e-5 * scale)
    assert (found.comparable, found.dim) == (True, 2048)


def test_positions_are_resampled_as_dinov2_does() -> None:
    table = torch.randn(1, 1 + 37 * 37, 2, generator=torch.Generator().manual_seed(0))
    found = dinov2.resample_positions(table)
    assert found.shape == (1, 257, 2)
    assert torch.equal(found[:, 0], table[:, 0])
    for channel in range(2):
        grid = table[0, 1:, channel].reshape(37, 37).double().numpy()
        expected = bicubic_with_scale(grid, 16, 16.1 / 37)
        np.testing.assert_allclose(
            found[0, 1:, channel].reshape(16, 16).numpy(), expected, atol=2e-5
        )
    assert dinov2.resample_positions(found) is found


@pytest.mark.parametrize("side", [64, 300])
def test_pixels_are_resized_by_antialiased_bicubic_and_not_clamped(side: int) -> None:
    image = np.random.default_rng(1).integers(0, 256, (side, side, 3), dtype=np.uint8)
    found = dinov2.preprocess(torch.from_numpy(image).permute(2, 0, 1)[None])[0]
    for channel, (mean, std) in enumerate(zip(dinov2._MEAN, dinov2._STD, strict=True)):
        resized = antialiased_bicubic(image[:, :, channel].astype(np.float64), 224)
        expected = (resized / 255 - mean) / std
        np.testing.assert_allclose(found[channel].numpy(), expected, atol=2e-4)
        assert resized.min() < 0  # noise overshoots: a clamp would show


def test_metas_weights_load_with_their_own_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A state as Meta publishes it: 37 x 37 positions, a mask token, their names."""
    network = dinov2._network("dinov2-vits14", None)
    extractor.randomise(network, 5)
    state = {**network.state_dict(), "mask_token": torch.zeros(1, 384)}
    state["pos_embed"] = torch.randn(1, 1370, 384, generator=torch.Generator().manual_seed(1))
    path = tmp_path / "dinov2.pth"
    torch.save(state, path)
    monkeypatch.setitem(dinov2.SHA256, "dinov2-vits14", sha256_file(path))
    found = load_extractor("dinov2-vits14", path, device=CPU)
    network.load_state_dict(
        network.state_dict() | {"pos_embed": dinov2.resample_positions(state["pos_embed"])}
    )
    images = some_images(2)
    with torch.inference_mode():
        expected = network(dinov2.preprocess(torch.from_numpy(images).permute(0, 3, 1, 2)))
    np.testing.assert_array_equal(found.extract(images), expected.numpy())
    norms = np.linalg.norm(found.extract(images), axis=1)
    np.testing.assert_allclose(norms, 384**0.5, rtol=1e-3)  # the token after the last norm


def test_registers_load_with_metas_names_and_their_own_resampling(tmp_path: Path) -> None:
    """reg4: the table is resized with antialias and by sizes, and has no class token of its own."""
    name = "dinov2-vits14-reg4"
    network = dinov2._network(name, None)
    extractor.randomise(network, 5)
    own = network.state_dict()
    generator = torch.Generator().manual_seed(1)
    table = torch.randn(1, 1370, 384, generator=generator)
    state = {k: v for k, v in own.items() if k not in {"reg_token", "pos_embed"}}
    state |= {
        "register_tokens": own["reg_token"],
        "pos_embed": table,
        "mask_token": torch.zeros(1, 384),
    }
    path = tmp_path / "dinov2.pth"
    torch.save(state, path)
    found = load_extractor(name, path, device=CPU, sha256=sha256_file(path))

    grid = table[:, 1:].reshape(1, 37, 37, 384).permute(0, 3, 1, 2)
    resized = F.interpolate(grid, size=(16, 16), mode="bicubic", antialias=True)
    flat = resized.permute(0, 2, 3, 1).reshape(1, 256, 384)
    network.load_state_dict(own | {"pos_embed": flat, "cls_token": own["cls_token"] + table[:, :1]})
    images = some_images(2)
    with torch.inference_mode():
        expected = network(dinov2.preprocess(torch.from_numpy(images).permute(0, 3, 1, 2)))
    np.testing.assert_allclose(found.extract(images), expected.numpy(), rtol=0, atol=1e-5)


def test_every_variant_is_one_of_timms() -> None:
    timm = pytest.importorskip("timm")
    assert set(dinov2.MODELS.values()) <= set(timm.list_models("*dinov2*"))
    assert len(dinov2.MODELS) == 8


@pytest.mark.parametrize("name", NAMES)
def test_extractors_keep_order_and_do_not_see_the_batch(name: str) -> None:
    found, images = load_extractor(name, None, device=CPU), some_images(5)
    together = found.extract(images)
    assert together.shape == (5, found.dim)
    assert together.dtype == np.float32
    scale = np.abs(together).max()
    for index in (0, 4):
        alone = found.extract(images[index : index + 1])[0]
        np.testing.assert_allclose(together[index], alone, atol=1e-5 * scale)
    assert np.ptp(together, axis=0).max() > 1e-3 * scale  # features tell images apart
    grey = images[:1, :, :, :1]
    np.testing.assert_array_equal(found.extract(grey), found.extract(grey.repeat(3, axis=3)))
    assert not found.comparable


@pytest.mark.parametrize("name", NAMES)
def test_untrained_weights_are_the_same_everywhere(name: str) -> None:
    torch.manual_seed(123)
    before = torch.get_rng_state()
    here = load_extractor(name, None, device=CPU).id
    code = (
        "import torch; from guidebench.metrics.features import load_extractor; "
        f"print(load_extractor({name!r}, None, device=torch.device('cpu')).id)"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == here
    if "dinov2" in name:
        assert torch.equal(before, torch.get_rng_state())


def test_other_weights_and_missing_ones_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "weights.pth"
    with pytest.raises(UserError, match=r"not at .*fetch it with `guidebench checkpoint fetch inc"):
        load_extractor("inception", path, device=CPU)
    path.write_bytes(b"something else")
    with pytest.raises(UserError, match="the weights of inception have 6726825d0af5"):
        load_extractor("inception", path, device=CPU)
    with pytest.raises(UserError, match="the weights of dinov2-vitl14 have d5383ea8f487"):
        load_extractor("dinov2-vitl14", path, device=CPU)
    with pytest.raises(UserError, match="only untrained:inception does without"):
        load_extractor("inception", None, device=CPU)
    with pytest.raises(UserError, match="unknown feature network inceptoin; there are inception"):
        load_extractor("untrained:inceptoin".removeprefix("untrained:"), None, device=CPU)
    with pytest.raises(UserError, match="no digest is known for the weights of dinov2-vits14"):
        load_extractor("dinov2-vits14", path, device=CPU)
    with pytest.raises(UserError, match="the weights of dinov2-vits14 have 000000000000"):
        load_extractor("dinov2-vits14", path, device=CPU, sha256="0" * 64)


def test_images_must_be_bytes_with_channels() -> None:
    found = load_extractor("untrained:dinov2-vits14", None, device=CPU)
    with pytest.raises(ValueError, match="got float32 of shape"):
        found.extract(some_images(2).astype(np.float32))  # pyright: ignore[reportArgumentType]
    with pytest.raises(ValueError, match=r"got uint8 of shape \(2, 32, 32\)"):
        found.extract(some_images(2)[..., 0])
    with pytest.raises(UserError, match="there are no images"):
        found.extract(some_images(2)[:0])


def test_ids_cover_weights_and_resize() -> None:
    made = [load_extractor(name, None, device=CPU) for name in NAMES]
    assert len({e.id for e in made}) == 2
    assert made[0].id.startswith("untrained:inception-")
