"""Winograd's convolution, layer by layer at the widths of published networks."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from guidebench.networks.program.memory import Memory
from guidebench.networks.program.ops import Buffer, Op
from guidebench.networks.program.weighted_sums import WeightedSums
from guidebench.networks.program.winograd import Winograd, is_wide
from tests.networks.program.test_program import error, threads

# Resolution, input and output channels: EDM2-XS, then S and M.
LAYERS = [
    (64, 128, 128), (64, 384, 128), (32, 640, 256), (32, 384, 384), (16, 896, 384), (16, 512, 512),
    (64, 192, 192), (32, 960, 384), (16, 1344, 576), (16, 768, 768),
]  # fmt: skip


def test_weighted_sums_are_a_product_with_a_matrix() -> None:
    generator = torch.Generator().manual_seed(1)
    source = torch.randn(50, 48, generator=generator)
    rows = torch.randint(50, (70, 9), generator=generator)
    weights = torch.randn(70, 9, generator=generator).double()
    weights[torch.rand(70, 9, generator=generator) < 0.5] = 0.0
    weights[3] = 0.0  # an empty sum
    matrix = torch.zeros(70, 50).double().scatter_add_(1, rows, weights)
    found = WeightedSums(rows, weights)(source)
    assert error(found, matrix @ source.double()) < 5e-7
    assert not found[3].any()
    # A term of weight 0 is not read: nothing that is not finite comes in through it.
    source[7] = float("inf")
    touched = ((rows == 7) & (weights != 0)).any(1)
    assert torch.equal(WeightedSums(rows, weights)(source).isfinite().all(1), ~touched)


def convolved(x_BHWI: Tensor, weight: Tensor, old_BHWO: Tensor, beta: float) -> Tensor:
    """By the layer alone."""
    b, h, w, c = x_BHWI.shape
    read, written = Buffer((b, h, w, c), 1, 0), Buffer((b, h, w, len(weight)), 0, 1)
    op = Op(kind="conv", name="", reads=(read,), writes=written, weight=weight, beta=beta)
    assert is_wide(op)
    memory = Memory([b * (h + 2) * (w + 2) * c, old_BHWO.numel()])
    memory.inside(read).copy_(x_BHWI)
    memory.stored(written).copy_(old_BHWO)
    algorithm = Winograd()
    algorithm.reserve(op, memory)
    for step in algorithm.bind(op, memory):
        step()
    return memory.stored(written)


@pytest.mark.parametrize("layer", [LAYERS[n] for n in (0, 3, 4)])
def test_layer_is_the_convolution_and_its_bits_are_the_images_own(
    layer: tuple[int, int, int],
) -> None:
    check(layer, batches=(1, 3))


@pytest.mark.slow
@pytest.mark.parametrize("layer", LAYERS)
def test_layers_of_published_widths(layer: tuple[int, int, int]) -> None:
    check(layer, batches=(1, 2, 3, 4, 16) if layer[0] < 64 else (1, 2, 4))


def check(layer: tuple[int, int, int], batches: tuple[int, ...]) -> None:
    size, c_in, c_out = layer
    generator = torch.Generator().manual_seed(3)
    weight = torch.randn(c_out, c_in, 3, 3, generator=generator) / (3 * c_in**0.5)
    x = torch.randn(max(batches), size, size, c_in, generator=generator)
    old = torch.randn(max(batches), size, size, c_out, generator=generator)
    with threads(1):
        whole = convolved(x, weight, old, 0.9)
    exact = F.conv2d(x[:1].permute(0, 3, 1, 2).double(), weight.double(), padding=1)
    bound = 2e-7 * max(c_in, 128) ** 0.5  # sums over channels: 2.3e-6 at 128, 7.3e-6 at 1344
    assert error(whole[:1], exact.permute(0, 2, 3, 1) + 0.9 * old[:1].double()) < bound
    for count in (1, 2, 3):
        with threads(count):
            for batch in batches:
                found = convolved(x[-batch:], weight, old[-batch:], 0.9)
                assert torch.equal(found, whole[-batch:])
