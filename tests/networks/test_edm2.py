"""The EDM2 denoiser against outputs of the published implementation on the same weights."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from guidebench.networks import EDM2Denoiser, build_denoiser
from guidebench.networks.precondition import EDM2Denoiser as Unbaked

GOLDEN = Path(__file__).parents[1] / "golden"
NAMES = ("cond", "uncond")
PARAM = "param/"


def golden(name: str) -> tuple[dict[str, Any], dict[str, Tensor], dict[str, Tensor]]:
    """Constructor arguments, weights, and inputs with outputs."""
    with np.load(GOLDEN / f"edm2_{name}_tiny.npz", allow_pickle=False) as file:
        config = json.loads(str(file["config"]))
        arrays = {n: torch.from_numpy(file[n]) for n in file.files if n != "config"}
    config.pop("seed", None)
    state = {n.removeprefix(PARAM): t.float() for n, t in arrays.items() if n.startswith(PARAM)}
    return config, state, {n: t for n, t in arrays.items() if not n.startswith(PARAM)}


def unbaked(name: str) -> tuple[Unbaked, dict[str, Tensor]]:
    config, state, arrays = golden(name)
    network = Unbaked(**config)
    network.load_state_dict(state)
    return network.eval().requires_grad_(False), arrays


def check_close(found: Tensor, expected: Tensor) -> None:
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("baked", [False, True], ids=["plain", "baked"])
@pytest.mark.parametrize("name", NAMES)
def test_agrees_with_the_published_network(name: str, baked: bool) -> None:
    network, arrays = unbaked(name)
    if baked:
        assert network.bake() is network
    x, sigma = arrays["in/x"], arrays["in/sigma"]
    check_close(network(x, sigma, arrays.get("in/labels")), arrays["out/D"])
    check_close(network.log_variance(sigma), arrays["out/logvar"])
    if name == "cond":
        check_close(network(x, sigma), arrays["out/D_nolabel"])
        assert not torch.allclose(arrays["out/D_nolabel"], arrays["out/D"], atol=1e-3)


@pytest.mark.parametrize("name", NAMES)
def test_the_registry_builds_the_same(name: str) -> None:
    config, state, arrays = golden(name)
    network = build_denoiser("edm2", config, state)
    assert isinstance(network, EDM2Denoiser)
    assert not network.training
    assert not any(p.requires_grad for p in network.parameters())
    assert network.label_dim == config["label_dim"]
    assert network.sample_shape == arrays["in/x"].shape[1:]
    found = network(arrays["in/x"], arrays["in/sigma"], arrays.get("in/labels"))
    check_close(found, arrays["out/D"])


@pytest.mark.parametrize("name", NAMES)
def test_rows_of_a_batch_are_independent(name: str) -> None:
    network, arrays = unbaked(name)
    network.bake()
    x, sigma, labels = arrays["in/x"], arrays["in/sigma"], arrays.get("in/labels")
    whole = network(x, sigma, labels)
    for n in range(len(x)):
        row = slice(n, n + 1)
        alone = network(x[row], sigma[row], None if labels is None else labels[row])
        check_close(alone, whole[row])
        check_close(
            network(x[row], float(sigma[n]), None if labels is None else labels[row]), alone
        )


def test_without_noise_the_input_is_the_answer() -> None:
    network, arrays = unbaked("uncond")
    x = arrays["in/x"]
    torch.testing.assert_close(network(x, 1e-6), x, rtol=0, atol=1e-3)


@pytest.mark.parametrize("name", NAMES)
def test_half_precision_weights_cost_little(name: str) -> None:
    network, arrays = unbaked(name)
    found = network.bake(torch.float16)(arrays["in/x"], arrays["in/sigma"], arrays.get("in/labels"))
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, arrays["out/D"], rtol=5e-3, atol=5e-3)


def test_dropout_is_of_training_alone() -> None:
    config, state, arrays = golden("cond")
    network = Unbaked(**config, dropout=0.5)
    network.load_state_dict(state)
    inputs = arrays["in/x"], arrays["in/sigma"], arrays["in/labels"]
    with torch.no_grad():
        assert not torch.equal(network.train()(*inputs), network(*inputs))
        found = network.eval()(*inputs)
    # The forced normalisation of training has rounded the weights.
    torch.testing.assert_close(found, arrays["out/D"], rtol=1e-4, atol=1e-4)


def test_every_weight_gets_a_gradient() -> None:
    config, state, arrays = golden("cond")
    network = Unbaked(**config).train()
    network.load_state_dict(state)
    sigma = arrays["in/sigma"]
    loss = network(arrays["in/x"], sigma, arrays["in/labels"]).square().mean()
    (loss + network.log_variance(sigma).sum()).backward()
    without = [n for n, p in network.named_parameters() if p.grad is None or not p.grad.any()]
    assert without == []
