"""Sums of rows with constant weights, in one pass over memory.

A sum's bits depend on its own terms and their order alone.

Shapes: R sums, K terms of each, N rows to take from, C columns.
"""

from typing import final

import torch.nn.functional as F
from torch import Tensor


@final
class WeightedSums:
    """[N, C] -> [R, C]: each row a sum of some rows of the source.

    Torch's weighted bag of embeddings reads each row once where it lies and holds the sum in
    registers. Sums elementwise would write and read every intermediate.

    Args:
        rows_RK: which rows of the source.
        weights_RK: their weights; terms of weight 0 are left out.
    """

    def __init__(self, rows_RK: Tensor, weights_RK: Tensor) -> None:
        kept_RK = weights_RK != 0
        self._rows = rows_RK[kept_RK].int()
        self._weights = weights_RK[kept_RK].float()
        counts_R = kept_RK.sum(1)
        self._first_R = (counts_R.cumsum(0) - counts_R).int()

    def __call__(self, source_NC: Tensor) -> Tensor:
        """A new tensor."""
        return F.embedding_bag(
            self._rows, source_NC, self._first_R, mode="sum", per_sample_weights=self._weights
        )
