import numpy as np
import pytest
import torch
from torch import nn

from guidebench.checkpoints.posthoc_ema import exponent
from guidebench.training.power_ema import PowerEMA
from tests.reference.power_ema import power_average


def test_agrees_with_the_weighted_mean() -> None:
    layer = nn.Linear(5, 3).double()
    lengths = (0.05, 0.10, 0.25)
    ema = PowerEMA(layer, lengths)
    history: dict[str, list[np.ndarray]] = {n: [] for n, _ in layer.named_parameters()}
    for iteration in range(1, 61):
        with torch.no_grad():
            for name, p in layer.named_parameters():
                p.copy_(torch.randn_like(p))
                history[name].append(p.numpy().copy())
        ema.update(layer, iteration)
        if iteration in {1, 2, 60}:
            for length, average in zip(lengths, ema.averages, strict=True):
                for name, weights in history.items():
                    expected = power_average(weights, exponent(length))
                    np.testing.assert_allclose(average[name], expected, rtol=1e-9, atol=1e-12)


def test_the_first_update_forgets_the_start() -> None:
    layer = nn.Linear(2, 2)
    ema = PowerEMA(layer, (0.1,))
    nn.init.constant_(layer.weight, 7.0)
    ema.update(layer, 1)
    assert torch.equal(ema.averages[0]["weight"], layer.weight)
    nn.init.zeros_(layer.weight)  # the average is a copy
    assert ema.averages[0]["weight"].eq(7.0).all()


@pytest.mark.parametrize("length", [0.05, 0.2])
def test_constant_weights_stay(length: float) -> None:
    layer = nn.Linear(2, 2).double()
    ema = PowerEMA(layer, (length,))
    for iteration in range(1, 20):
        ema.update(layer, iteration)
    torch.testing.assert_close(ema.averages[0]["weight"], layer.weight.detach())
