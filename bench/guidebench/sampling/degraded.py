"""Networks made worse on purpose, for the study in Sec. 4 of arXiv:2406.02507.

Their random numbers go on where the sample's own ended, so that a sample still depends on its
seed alone. Shapes: B samples of a batch.
"""

import math
from collections.abc import Callable

from torch import Tensor, nn

from guidebench.sampling.noise import PerSeed

Forward = Callable[[Tensor, float, Tensor | None], Tensor]


def with_dropout(network: nn.Module, rate: float, noise: PerSeed) -> Forward:
    """The network with the dropout of its blocks left on: a fresh mask in each block and call.

    Kept activations are divided by 1 - `rate`, as in training.
    """

    def drop(y_BCHW: Tensor) -> Tensor:
        keep = noise.uniform(y_BCHW.shape[1:]) >= rate
        return y_BCHW * (keep.to(y_BCHW.dtype) / (1 - rate))

    def forward(x: Tensor, sigma: float, labels_BL: Tensor | None) -> Tensor:
        denoised: Tensor = network(x, sigma, labels_BL, drop=drop)
        return denoised

    return forward


def with_input_noise(network: Forward, amount: float, noise: PerSeed) -> Forward:
    """The network on a noisier input, D(x + n; (1 + amount) sigma), told the raised level."""

    def forward(x: Tensor, sigma: float, labels_BL: Tensor | None) -> Tensor:
        raised = sigma * (1 + amount)
        added = noise.normal(x.shape[1:]) * math.sqrt(raised**2 - sigma**2)
        return network(x + added.to(x.dtype), raised, labels_BL)

    return forward
