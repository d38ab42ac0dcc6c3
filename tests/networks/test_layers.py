import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from guidebench.networks.layers import (
    MPConv,
    MPFourier,
    downsample,
    mp_cat,
    mp_silu,
    mp_sum,
    normalize,
    upsample,
)
from tests.reference.layers import unit_rms

BALANCES = st.floats(0, 1)


def normal(*shape: int) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64)


def magnitude(x: Tensor) -> float:
    return x.square().mean().sqrt().item()


def test_normalize_agrees_with_the_reference() -> None:
    x = normal(3, 5, 2, 2) * torch.tensor([1e-5, 1.0, 1e5]).reshape(3, 1, 1, 1)
    filters = np.stack([unit_rms(row) for row in x.numpy()])
    torch.testing.assert_close(normalize(x), torch.from_numpy(filters))
    pixels = np.stack([unit_rms(row) for row in x.movedim(1, 3).reshape(-1, 5).numpy()])
    expected = torch.from_numpy(pixels).reshape(3, 2, 2, 5).movedim(3, 1)
    torch.testing.assert_close(normalize(x, dims=(1,)), expected)


def test_normalize_of_nothing_is_nothing() -> None:
    assert torch.equal(normalize(torch.zeros(2, 3)), torch.zeros(2, 3))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_normalize_cannot_overflow(dtype: torch.dtype) -> None:
    """The square of 60000 is beyond fp16, its norm is not needed in fp16."""
    found = normalize(torch.full((2, 64), 60_000.0, dtype=dtype))
    assert found.dtype == dtype
    torch.testing.assert_close(found, torch.ones(2, 64, dtype=dtype))


def test_silu_keeps_the_magnitude() -> None:
    assert magnitude(mp_silu(normal(1_000_000))) == pytest.approx(1.0, abs=0.005)


@settings(deadline=None, max_examples=20)
@given(BALANCES)
def test_sum_keeps_the_magnitude_of_independent_inputs(t: float) -> None:
    a, b = normal(100_000), normal(100_000)
    assert magnitude(mp_sum(a, b, t)) == pytest.approx(1.0, abs=0.02)


def test_sum_at_its_ends_is_one_of_the_inputs() -> None:
    a, b = normal(10), normal(10)
    torch.testing.assert_close(mp_sum(a, b, 0.0), a)
    torch.testing.assert_close(mp_sum(a, b, 1.0), b)


@settings(deadline=None, max_examples=20)
@given(BALANCES, st.integers(1, 40), st.integers(1, 40))
def test_concatenation_keeps_the_magnitude_and_the_balance(t: float, n_a: int, n_b: int) -> None:
    """Each input's share of the total power is that of its weight, whatever its width."""
    a, b = torch.ones(1, n_a), torch.ones(1, n_b)
    found = mp_cat(a, b, t)
    assert found.shape == (1, n_a + n_b)
    assert magnitude(found) == pytest.approx(1.0, abs=1e-5)
    share = found[:, n_a:].square().sum() / found.square().sum()
    assert share.item() == pytest.approx(t**2 / (t**2 + (1 - t) ** 2), abs=1e-5)


@pytest.mark.parametrize("kernel", [(), (1, 1), (3, 3)])
def test_convolution_keeps_the_magnitude(kernel: tuple[int, ...]) -> None:
    layer = MPConv(32, 48, kernel).double()
    with torch.no_grad():
        layer.weight.mul_(torch.rand(48, 1, *[1] * len(kernel)) * 10 + 0.1)
        x = normal(2000, 32) if not kernel else normal(40, 32, 16, 16)
        y = layer(x)
    inner = y if not kernel else y[:, :, 1:-1, 1:-1]  # the zero padding takes some away
    assert magnitude(inner) == pytest.approx(1.0, abs=0.02)


def test_fourier_features_have_unit_magnitude() -> None:
    layer = MPFourier(256)
    x = torch.randn(4000)
    features = layer(x)
    assert magnitude(features) == pytest.approx(1.0, abs=0.01)
    n, k = 7, 11
    angle = x[n].double() * layer.freqs[k] + layer.phases[k]
    assert features[n, k].item() == pytest.approx(math.sqrt(2) * angle.cos().item(), abs=1e-5)


def test_resampling_is_the_box() -> None:
    x = normal(2, 3, 4, 4)
    torch.testing.assert_close(downsample(upsample(x)), x)
    assert downsample(x)[0, 0, 0, 0].item() == pytest.approx(x[0, 0, :2, :2].mean().item())
    assert torch.equal(upsample(x)[..., 1::2, 1::2], x)


@pytest.mark.parametrize("kernel", [(), (3, 3)])
def test_training_normalises_the_stored_weight_and_changes_no_output(
    kernel: tuple[int, ...],
) -> None:
    layer = MPConv(8, 6, kernel).eval()
    with torch.no_grad():
        layer.weight.mul_(3.0)
    x = torch.randn(4, 8, *[5] * len(kernel))
    expected, before = layer(x), layer.weight.detach().clone()
    assert torch.equal(layer.weight, before)
    torch.testing.assert_close(layer.train()(x), expected, rtol=1e-3, atol=1e-3)
    rms = layer.weight.detach().flatten(1).square().mean(1).sqrt()
    torch.testing.assert_close(rms, torch.ones(6), rtol=1e-3, atol=1e-3)
    norms = layer.effective_weight().detach().flatten(1).norm(dim=1)
    torch.testing.assert_close(norms, torch.ones(6), rtol=1e-3, atol=1e-3)


def test_gradients_do_not_lengthen_a_filter() -> None:
    """The gradient is orthogonal to the filter, so that only its direction is learned."""
    layer = MPConv(8, 6).train()
    layer(torch.randn(4, 8)).square().sum().backward()
    assert layer.weight.grad is not None
    along = (layer.weight.grad * layer.weight).sum(1)
    size = layer.weight.grad.norm(dim=1) * layer.weight.detach().norm(dim=1)
    assert (along.abs() < 1e-3 * size).all()


def test_bake_fixes_the_gain_and_the_weight() -> None:
    layer = MPConv(8, 6).eval()
    x = torch.randn(4, 8)
    expected = layer(x, gain=2.0)
    layer.bake(gain=2.0)
    assert torch.equal(layer(x), expected)
    assert torch.equal(layer(x, gain=7.0), expected)
    with torch.no_grad():
        layer.weight.zero_()
    assert torch.equal(layer(x), expected)
