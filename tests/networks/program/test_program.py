"""Static programs against the networks that they are made of."""

import re
from collections.abc import Iterator
from typing import Any, get_args

import pytest
import torch
from torch import Tensor

from guidebench.networks import EDM2Denoiser, FractalDenoiser, build_denoiser
from guidebench.networks.program import BACKENDS, Backend, Program, build_program
from guidebench.networks.program.ops import Kind
from tests.networks.test_edm2 import NAMES, golden

SIGMAS = (40.0, 1.3, 0.06)
SMALL: dict[str, Any] = {
    "img_resolution": 8, "img_channels": 1, "label_dim": 10, "model_channels": 8,
    "channel_mult": [1, 2], "num_blocks": 1, "attn_resolutions": [4], "channels_per_head": 8,
}  # fmt: skip
# Wide enough for every algorithm: 64 and 128 channels at 16 x 16 and 8 x 8.
WIDE: dict[str, Any] = {
    "img_resolution": 16, "img_channels": 3, "label_dim": 10, "model_channels": 64,
    "channel_mult": [1, 2], "num_blocks": 1, "attn_resolutions": [8],
}  # fmt: skip
ALL = list(BACKENDS)


def random_edm2(config: dict[str, Any]) -> EDM2Denoiser:
    """Random weights with gains that let every path count."""
    generator = torch.Generator().manual_seed(5)
    network = EDM2Denoiser(**config)
    state = {n: torch.randn(t.shape, generator=generator) for n, t in network.state_dict().items()}
    for name in state:
        if name.endswith("emb_gain"):
            state[name] = torch.tensor(0.4)
        elif name.endswith("out_gain"):
            state[name] = torch.tensor(0.8)
    built = build_denoiser("edm2", config, state)
    assert isinstance(built, EDM2Denoiser)
    return built


def random_fractal(hidden: int = 32) -> FractalDenoiser:
    generator = torch.Generator().manual_seed(5)
    network = FractalDenoiser(hidden=hidden)
    for layer in network.linear_layers:
        layer.weight.data = torch.randn(layer.weight.shape, generator=generator)
    network.gain.data.fill_(0.7)
    return network.bake()


def error(found: Tensor, expected: Tensor) -> float:
    return ((found.double() - expected).abs().max() / expected.abs().max()).item()


def inputs(network: EDM2Denoiser | FractalDenoiser, batch: int) -> tuple[Tensor, Tensor | None]:
    generator = torch.Generator().manual_seed(9)
    x = torch.randn(batch, *network.sample_shape, generator=generator)
    if not network.label_dim:
        return x, None
    return x, torch.eye(network.label_dim)[torch.arange(batch) % 3 + 1]


@pytest.fixture(params=[1, 2])
def threads(request: pytest.FixtureRequest) -> Iterator[int]:
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield request.param
    torch.set_num_threads(before)


@pytest.mark.parametrize("backend", ALL)
@pytest.mark.parametrize("name", NAMES)
def test_agrees_with_the_published_network(name: str, backend: Backend) -> None:
    config, state, arrays = golden(name)
    network = build_denoiser("edm2", config, state)
    x, sigmas = arrays["in/x"], arrays["in/sigma"].tolist()
    program = build_program(network, batch_size=len(x), backend=backend)
    table = program.table(sigmas, arrays.get("in/labels"))
    found = torch.stack([program(x, table, n)[n].clone() for n in range(len(x))])
    assert error(found, arrays["out/D"]) < 5e-6
    if name == "cond":
        table = program.table(sigmas)
        found = torch.stack([program(x, table, n)[n].clone() for n in range(len(x))])
        assert error(found, arrays["out/D_nolabel"]) < 5e-6
