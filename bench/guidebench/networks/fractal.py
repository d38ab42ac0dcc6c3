"""The 2D denoiser: a small magnitude-preserving MLP whose score is a gradient.

Karras et al. 2024, arXiv:2406.02507, Appendix C. The network models a log-density G(x; sigma);
its score is the exact gradient, written out by the chain rule, so that sampling needs no
autograd and training differentiates a plain expression.

Shapes: N points, 2 coordinates, H hidden units.
"""

from itertools import pairwise
from typing import Any, final

import torch
from torch import Tensor, nn
from typing_extensions import override

from guidebench.networks.layers import SILU_MAGNITUDE, MPConv, mp_silu


@final
class FractalDenoiser(nn.Module):
    """D(x; sigma) = x + sigma^2 grad_x G(x; sigma) for points in the plane.

    G = gain mean_i F_i^2 / sigma - |x*|^2 / 2 with x* = x / sqrt(sigma_data^2 + sigma^2) and F
    an MLP of (x*, ln(sigma) / 4, 1): Eq. 14 of the paper, with the signs of its experiments.
    """

    label_dim = 0
    sample_shape = (2,)

    def __init__(self, *, hidden: int, num_layers: int = 4, sigma_data: float = 0.5) -> None:
        super().__init__()
        self.sigma_data, self.hidden = sigma_data, hidden
        widths = [4, *[hidden] * (num_layers + 1)]
        linear = [MPConv(a, b) for a, b in pairwise(widths)]
        # Even places only: the odd ones hold the activations in the published naming.
        self.layers = nn.ModuleDict({str(2 * i): layer for i, layer in enumerate(linear)})
        self.gain = nn.Parameter(torch.zeros([]))
        self.num_parameters = sum(p.numel() for p in self.parameters())

    def bake(
        self, dtype: torch.dtype = torch.float32, *, release: bool = False
    ) -> "FractalDenoiser":
        """Inference form: weights normalised once. Returns self, in eval mode.

        `release` is for networks whose second copy would cost something: nothing is freed here.
        """
        del release
        for layer in self.linear_layers:
            layer.bake(dtype=dtype)
        return self.eval().requires_grad_(False)

    @property
    def linear_layers(self) -> list[MPConv]:
        """All layers, in the order of their calls."""
        return [layer for layer in self.layers.values() if isinstance(layer, MPConv)]

    def log_density_and_score(self, x_N2: Tensor, sigma: Tensor | float) -> tuple[Tensor, Tensor]:
        """G, the log-density up to a constant [N], and its gradient in x [N, 2]."""
        sigma_N1 = torch.as_tensor(sigma, dtype=x_N2.dtype, device=x_N2.device).reshape(-1, 1)
        scale_N1 = (self.sigma_data**2 + sigma_N1.square()).rsqrt()
        unit_N2 = x_N2 * scale_N1
        noise_N1 = (sigma_N1.log() / 4).expand(len(x_N2), 1)
        h_NH = torch.cat([unit_N2, noise_N1, torch.ones_like(noise_N1)], dim=1)
        slopes = []
        for index, layer in enumerate(self.linear_layers):
            if index:
                slopes.append(_mp_silu_slope(h_NH))
                h_NH = mp_silu(h_NH)
            h_NH = layer(h_NH)
        gain_N1 = self.gain / (sigma_N1 * self.hidden)
        log_density = gain_N1.squeeze(1) * h_NH.square().sum(1) - unit_N2.square().sum(1) / 2
        back_NH = 2 * gain_N1 * h_NH
        for layer, slope_NH in zip(
            reversed(self.linear_layers), [*reversed(slopes), None], strict=True
        ):
            back_NH = back_NH @ layer.effective_weight()
            if slope_NH is not None:
                back_NH = back_NH * slope_NH
        return log_density, (back_NH[:, :2] - unit_N2) * scale_N1

    def score(self, x_N2: Tensor, sigma: Tensor | float) -> Tensor:
        """Gradient of the modelled log-density, [N, 2]."""
        return self.log_density_and_score(x_N2, sigma)[1]

    @override
    def forward(self, x_N2: Tensor, sigma: Tensor | float, labels: Any = None) -> Tensor:
        del labels  # the plane has no labels
        variance = torch.as_tensor(sigma, dtype=x_N2.dtype, device=x_N2.device) ** 2
        return x_N2 + variance.reshape(-1, 1) * self.score(x_N2, sigma)


def _mp_silu_slope(a: Tensor) -> Tensor:
    """Derivative of the magnitude-preserving SiLU."""
    s = a.sigmoid()
    return s * (1 + a * (1 - s)) / SILU_MAGNITUDE
