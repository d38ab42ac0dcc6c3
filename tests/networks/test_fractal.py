"""The plane's network against outputs of the published implementation on the same weights."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from guidebench.networks import FractalDenoiser, build_denoiser

GOLDEN = Path(__file__).parents[1] / "golden" / "toy_fractal.npz"
HIDDEN = {"main": 64, "guide": 32}


def golden() -> dict[str, Tensor]:
    with np.load(GOLDEN, allow_pickle=False) as file:
        return {n: torch.from_numpy(file[n]) for n in file.files}


def state(name: str) -> dict[str, Tensor]:
    prefix = f"{name}/"
    return {
        n.removeprefix(prefix): t
        for n, t in golden().items()
        if n.startswith((f"{prefix}layers.", f"{prefix}gain"))
    }


def built(name: str) -> FractalDenoiser:
    network = build_denoiser("fractal", {"hidden": HIDDEN[name]}, state(name))
    assert isinstance(network, FractalDenoiser)
    return network


def unbaked(name: str) -> FractalDenoiser:
    network = FractalDenoiser(hidden=HIDDEN[name])
    network.load_state_dict(state(name))
    return network.eval().requires_grad_(False)


@pytest.mark.parametrize(("hidden", "count"), [(64, 16_641), (32, 4_225)])
def test_number_of_parameters(hidden: int, count: int) -> None:
    network = FractalDenoiser(hidden=hidden)
    assert sum(p.numel() for p in network.parameters()) == count


def test_agrees_with_the_published_network() -> None:
    arrays, network = golden(), built("main")
    log_p, score = network.log_density_and_score(arrays["x_init"], 5.0)
    torch.testing.assert_close(score, arrays["main/score_x_init_sigma5"], rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(log_p, arrays["main/logp_x_init_sigma5"], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", HIDDEN)
@pytest.mark.parametrize("sigma", [0.002, 0.1, 5.0])
def test_score_is_the_gradient_of_the_log_density(name: str, sigma: float) -> None:
    network = unbaked(name).bake(torch.float64)
    x = (torch.randn(20, 2, dtype=torch.float64) * (0.5 + sigma)).requires_grad_()
    log_p, score = network.log_density_and_score(x, sigma)
    (gradient,) = torch.autograd.grad(log_p.sum(), x)
    torch.testing.assert_close(score, gradient, rtol=1e-9, atol=1e-9)
    assert gradient.abs().max() > 1e-2


@pytest.mark.parametrize("name", HIDDEN)
def test_bake_changes_nothing(name: str) -> None:
    x, sigma = torch.randn(50, 2), torch.rand(50) + 0.01
    assert torch.equal(built(name)(x, sigma), unbaked(name)(x, sigma))


def test_denoised_follows_from_the_score() -> None:
    network, x, sigma = built("main"), torch.randn(50, 2), torch.rand(50) + 0.01
    expected = x + sigma.square().unsqueeze(1) * network.score(x, sigma)
    assert torch.equal(network(x, sigma), expected)
    one = network(x, 0.5)
    torch.testing.assert_close(one, network(x, torch.full((50,), 0.5)))
    assert torch.equal(one, network(x, 0.5, torch.ones(50, 3)))


def test_untrained_is_one_gaussian() -> None:
    """The gain starts at 0: the score of N(0, sigma_data^2 + sigma^2) and nothing else."""
    x = torch.randn(20, 2)
    expected = -x / (0.5**2 + 2.0**2)
    torch.testing.assert_close(FractalDenoiser(hidden=8).eval().score(x, 2.0), expected)


def test_gradients_reach_every_weight() -> None:
    network = FractalDenoiser(hidden=16)
    network.load_state_dict({n: p + 0.1 for n, p in network.state_dict().items()})
    network.train().score(torch.randn(8, 2), 0.3).square().sum().backward()
    assert all(p.grad is not None and p.grad.any() for p in network.parameters())
