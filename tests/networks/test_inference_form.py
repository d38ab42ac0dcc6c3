"""The inference form: stored precision, fp16, one embedding product, released weights, dropout."""

import pytest
import torch
from torch import Tensor

from guidebench.networks import EDM2Denoiser, build_denoiser
from tests.networks.test_edm2 import NAMES, check_close, golden

LOW_PRECISION = {torch.float16: 4e-3, torch.bfloat16: 4e-2}


def stored_half(name: str) -> dict[str, Tensor]:
    """Parameters and buffers in float16, as published files hold them."""
    return {key: value.half() for key, value in golden(name)[1].items()}


def relative(found: Tensor, expected: Tensor) -> float:
    return ((found - expected).abs().max() / expected.abs().max()).item()


@pytest.mark.parametrize("release", [False, True])
@pytest.mark.parametrize("name", NAMES)
def test_stored_float16_rounds_as_published(name: str, release: bool) -> None:
    config, _, arrays = golden(name)
    state = stored_half(name)
    network = build_denoiser("edm2", config, state, release=release)
    found = network(arrays["in/x"], arrays["in/sigma"], arrays.get("in/labels"))
    assert relative(found, arrays["out/D_stored_fp16"]) < 1e-6
    assert relative(found, arrays["out/D"]) > 1e-4  # float32 weights give another output
    assert all(t.dtype == torch.float16 for t in state.values())


@pytest.mark.parametrize(("dtype", "bound"), LOW_PRECISION.items())
@pytest.mark.parametrize("name", NAMES)
def test_low_precision_stays_near_float32(name: str, dtype: torch.dtype, bound: float) -> None:
    config, state, arrays = golden(name)
    network = build_denoiser("edm2", config, state, dtype=dtype)
    found = network(arrays["in/x"], arrays["in/sigma"], arrays.get("in/labels"))
    assert found.dtype == torch.float32
    assert 1e-6 < relative(found, arrays["out/D"]) < bound


def test_low_precision_keeps_embeddings_in_float32_and_activations_in_its_own() -> None:
    config, state, arrays = golden("cond")
    network = build_denoiser("edm2", config, state, dtype=torch.float16)
    assert isinstance(network, EDM2Denoiser)
    seen = []
    for block in network.unet.blocks:
        block.register_forward_hook(lambda _, given, out: seen.append((given[1].dtype, out.dtype)))
    network(arrays["in/x"], arrays["in/sigma"], arrays["in/labels"])
    assert len(seen) == len(network.unet.blocks)
    assert set(seen) == {(torch.float32, torch.float16)}


@pytest.mark.parametrize("name", NAMES)
def test_logvar_comes_with_the_image_in_both_forms(name: str) -> None:
    config, state, arrays = golden(name)
    plain = EDM2Denoiser(**config)
    plain.load_state_dict(state)
    for network in (plain.eval(), build_denoiser("edm2", config, state, release=True)):
        x, sigma, labels = arrays["in/x"], arrays["in/sigma"], arrays.get("in/labels")
        image, logvar = network(x, sigma, labels, return_logvar=True)
        check_close(image, arrays["out/D"])
        check_close(logvar, arrays["out/logvar"])


def test_one_product_gives_every_blocks_factors() -> None:
    config, state, arrays = golden("cond")
    network = build_denoiser("edm2", config, state)
    assert isinstance(network, EDM2Denoiser)
    unet = network.unet
    emb = unet.embed(arrays["in/sigma"].log() / 4, arrays["in/labels"])
    joint = unet.modulations(emb)
    for block, found in zip(unet.blocks, joint, strict=True):
        check_close(found, block.modulation(emb))
    assert any((m - 1).abs().max() > 0.1 for m in joint)


def test_released_weights_are_gone_and_the_rest_is_one_copy() -> None:
    config, state, _ = golden("cond")
    network = build_denoiser("edm2", config, state, dtype=torch.float16, release=True)
    whole = build_denoiser("edm2", config, state)
    assert network.num_parameters == whole.num_parameters
    assert network.num_parameters == sum(p.numel() for p in whole.parameters())
    held = [*network.parameters(), *network.buffers()]
    elements = sum(t.numel() for t in held)
    assert elements < 1.02 * network.num_parameters + 1000
    assert sum(p.numel() for p in network.parameters()) < 100  # gains


def test_moving_a_network_moves_its_scaled_weights() -> None:
    config, state, _ = golden("cond")
    network = build_denoiser("edm2", config, state, release=True).to("meta")
    assert all(t.device.type == "meta" for t in (*network.parameters(), *network.buffers()))


def test_dropout_acts_in_every_block_whatever_the_config_says() -> None:
    config, state, arrays = golden("cond")
    assert "dropout" not in config
    network = build_denoiser("edm2", config, state)
    assert isinstance(network, EDM2Denoiser)
    x, sigma, labels = arrays["in/x"], arrays["in/sigma"], arrays["in/labels"]
    shapes = []

    def keep(y: Tensor) -> Tensor:
        shapes.append(y.shape)
        return y

    assert torch.equal(network(x, sigma, labels, drop=keep), network(x, sigma, labels))
    assert [s[1] for s in shapes] == [b.out_channels for b in network.unet.blocks]
    dropped = network(x, sigma, labels, drop=lambda y: y * 0)
    assert relative(dropped, arrays["out/D"]) > 1e-2


def test_building_draws_no_random_numbers() -> None:
    config, state, _ = golden("uncond")
    before = torch.get_rng_state()
    build_denoiser("edm2", config, state)
    assert torch.equal(before, torch.get_rng_state())
