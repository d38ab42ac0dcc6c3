"""Random numbers that depend on a sample's seed alone, whatever the batch.

Shapes: B seeds.
"""

from collections.abc import Sequence
from typing import final

import torch
from torch import Tensor


@final
class PerSeed:
    """One generator per seed. Draw the noise first and the label second, as EDM2 does."""

    def __init__(self, seeds_B: Sequence[int], device: torch.device | str = "cpu") -> None:
        self.device = torch.device(device)
        self.generators = [
            torch.Generator(self.device).manual_seed(seed % (1 << 32)) for seed in seeds_B
        ]

    def normal(self, shape: Sequence[int]) -> Tensor:
        """Standard normal, float32 [B, *shape]."""
        return torch.stack(
            [torch.randn(tuple(shape), generator=g, device=self.device) for g in self.generators]
        )

    def uniform(self, shape: Sequence[int] = ()) -> Tensor:
        """Uniform on [0, 1), float32 [B, *shape]."""
        return torch.stack(
            [torch.rand(tuple(shape), generator=g, device=self.device) for g in self.generators]
        )

    def integer(self, high: int) -> Tensor:
        """Uniform on 0 .. high - 1, int64 [B]."""
        return torch.stack(
            [torch.randint(high, [], generator=g, device=self.device) for g in self.generators]
        )
