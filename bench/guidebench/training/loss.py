"""Training losses.

Shapes: B images, C channels, H x W pixels, L class labels; N points in the plane.
"""

from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor

from guidebench.data.fractal import Fractal
from guidebench.networks.fractal import FractalDenoiser
from guidebench.networks.precondition import EDM2Denoiser


@final
@dataclass(frozen=True, slots=True)
class EDM2Loss:
    """Denoising score matching with learned uncertainty of EDM2, arXiv:2312.02696.

    ln sigma ~ N(p_mean, p_std^2); the squared error is weighted by lambda(sigma) and by
    exp(-u(sigma)), and u(sigma) is added so that it learns the log of the error.
    """

    p_mean: float
    p_std: float

    def __call__(
        self,
        denoiser: EDM2Denoiser,
        clean_BCHW: Tensor,
        labels_BL: Tensor | None,
        generator: torch.Generator,
    ) -> Tensor:
        """Mean loss over the batch, a scalar."""
        draw = torch.randn(len(clean_BCHW), generator=generator)
        sigma_B = (draw * self.p_std + self.p_mean).exp()
        sigma_B111, data = sigma_B.reshape(-1, 1, 1, 1), denoiser.sigma_data
        weight = (sigma_B111.square() + data**2) / (sigma_B111 * data).square()
        noise = torch.randn(clean_BCHW.shape, generator=generator) * sigma_B111
        denoised = denoiser(clean_BCHW + noise, sigma_B, labels_BL)
        log_variance = denoiser.log_variance(sigma_B)
        error = (denoised - clean_BCHW).square()
        loss: Tensor = weight / log_variance.exp() * error + log_variance
        return loss.mean()


@final
@dataclass(frozen=True, slots=True)
class ScoreMatchingLoss:
    """Exact score matching, sigma^2 |score error|^2, Appendix C of arXiv:2406.02507."""

    p_mean: float
    p_std: float

    def __call__(
        self, denoiser: FractalDenoiser, truth: Fractal, num: int, generator: torch.Generator
    ) -> Tensor:
        """Mean over `num` fresh points and both coordinates, a scalar."""
        draw = torch.randn(num, generator=generator)
        sigma_N = (draw * self.p_std + self.p_mean).exp()
        x_N2 = truth.sample(num, sigma_N, generator)
        error_N2 = denoiser.score(x_N2, sigma_N) - truth.score(x_N2, sigma_N)
        return (sigma_N.unsqueeze(1) * error_N2).square().mean()
