"""Power-function averages of a network's weights, kept while it trains."""

from collections.abc import Sequence
from typing import final

import torch
from torch import Tensor, nn

from guidebench.checkpoints import posthoc_ema


@final
class PowerEMA:
    """One running average per EMA length, Karras et al. 2023 (EDM2), arXiv:2312.02696.

    Time is counted in iterations from 1; the first update copies the weights.
    """

    def __init__(self, network: nn.Module, lengths: Sequence[float]) -> None:
        self.lengths = tuple(lengths)
        self.averages: tuple[dict[str, Tensor], ...] = tuple(
            {name: p.detach().clone() for name, p in network.named_parameters()} for _ in lengths
        )

    @torch.no_grad()
    def update(self, network: nn.Module, iteration: int) -> None:
        """Take in the weights after `iteration` optimiser steps."""
        for length, average in zip(self.lengths, self.averages, strict=True):
            beta = posthoc_ema.beta(length, t_next=iteration, t_delta=1)
            for name, parameter in network.named_parameters():
                average[name].lerp_(parameter, 1 - beta)
