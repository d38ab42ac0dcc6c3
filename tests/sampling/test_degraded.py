"""Networks made worse on purpose: closed forms, and random numbers of the seed alone."""

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from typing_extensions import override

from guidebench.sampling.degraded import with_dropout, with_input_noise
from guidebench.sampling.noise import PerSeed

SIGMA = 2.0


class TwoBlocks(nn.Module):
    """Applies `drop` twice, as two blocks would, and keeps what it gave."""

    @override
    def forward(
        self, x: Tensor, sigma: float, labels: Tensor | None, drop: Callable[[Tensor], Tensor]
    ) -> Tensor:
        del sigma, labels
        return torch.stack([drop(torch.ones_like(x)), drop(torch.ones_like(x))], dim=1)


@pytest.mark.parametrize("rate", [0.05, 0.1, 0.5])
def test_dropout_keeps_its_share_and_the_mean(rate: float) -> None:
    noise = PerSeed(range(8))
    masks = with_dropout(TwoBlocks(), rate, noise)(torch.zeros(8, 16, 8, 8), SIGMA, None)
    values = masks.unique()
    assert values.tolist() == pytest.approx([0.0, 1 / (1 - rate)])
    count = masks.numel()
    share = (masks == 0).double().mean().item()
    assert abs(share - rate) < 5 * math.sqrt(rate * (1 - rate) / count)
    assert not torch.equal(masks[:, 0], masks[:, 1])  # a fresh mask in each block


def test_input_noise_raises_the_level_and_says_so() -> None:
    seen = []

    def network(x: Tensor, sigma: float, labels: Tensor | None) -> Tensor:
        del labels
        seen.append(sigma)
        return x

    noisier = with_input_noise(network, 0.1, PerSeed(range(64)))(
        torch.zeros(64, 3, 16, 16), SIGMA, None
    )
    assert seen == [pytest.approx(1.1 * SIGMA)]
    expected = math.sqrt((1.1 * SIGMA) ** 2 - SIGMA**2)
    assert noisier.std().item() == pytest.approx(expected, rel=5 / math.sqrt(2 * noisier.numel()))


def test_a_sample_depends_on_its_seed_alone() -> None:
    def both(seeds: list[int]) -> tuple[Tensor, Tensor]:
        noise, x = PerSeed(seeds), torch.zeros(len(seeds), 2, 4, 4)
        first = with_dropout(TwoBlocks(), 0.3, noise)(x, SIGMA, None)
        return first, with_input_noise(lambda x, _, __: x, 0.2, noise)(x, SIGMA, None)

    together = both([4, 7, 4])
    alone = both([7])
    assert torch.equal(together[0][1], alone[0][0])
    assert torch.equal(together[1][1], alone[1][0])
    assert torch.equal(together[0][0], together[0][2])
