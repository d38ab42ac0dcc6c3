"""The EDM2 denoiser D(x; sigma, labels): preconditioning around the raw U-Net.

Preconditioning of Karras et al. 2022 (EDM), arXiv:2206.00364; learned uncertainty u(sigma) of
Karras et al. 2023 (EDM2), arXiv:2312.02696.

Shapes: B images, C channels, H x W pixels, L class labels (one-hot).
"""

from typing import Any, final

import torch
from torch import Tensor, nn
from typing_extensions import override

from guidebench.networks.layers import MPConv, MPFourier
from guidebench.networks.unet import UNet


@final
class EDM2Denoiser(nn.Module):
    """D(x; sigma, labels), float32 in and out.

    Args:
        sigma_data: standard deviation of the data per element.
        logvar_channels: width of the uncertainty head, used in training only.
        unet: arguments of `UNet`.
    """

    def __init__(self, *, sigma_data: float = 0.5, logvar_channels: int = 128, **unet: Any) -> None:  # noqa: ANN401
        super().__init__()
        self.sigma_data = sigma_data
        self.label_dim = int(unet["label_dim"])
        self.sample_shape = (unet["img_channels"], unet["img_resolution"], unet["img_resolution"])
        self.unet = UNet(**unet)
        self.logvar_fourier = MPFourier(logvar_channels)
        self.logvar_linear = MPConv(logvar_channels, 1)

    def bake(self, dtype: torch.dtype = torch.float32) -> "EDM2Denoiser":
        """Inference form: weights normalised and scaled once. Returns self, in eval mode."""
        self.unet.bake(dtype)
        return self.eval().requires_grad_(False)

    @override
    def forward(
        self, x_BCHW: Tensor, sigma: Tensor | float, labels_BL: Tensor | None = None
    ) -> Tensor:
        x = x_BCHW.to(torch.float32)
        sigma_B111 = torch.as_tensor(sigma, dtype=torch.float32, device=x.device)
        sigma_B111 = sigma_B111.reshape(-1, 1, 1, 1)
        variance, data_variance = sigma_B111.square(), self.sigma_data**2
        c_skip = data_variance / (variance + data_variance)
        c_out = sigma_B111 * self.sigma_data / (variance + data_variance).sqrt()
        c_in = (variance + data_variance).rsqrt()
        raw = self.unet(c_in * x, sigma_B111.flatten().log() / 4, labels_BL)
        denoised: Tensor = c_skip * x + c_out * raw.to(torch.float32)
        return denoised

    def log_variance(self, sigma_B: Tensor) -> Tensor:
        """Learned uncertainty u(sigma) of the training loss, [B, 1, 1, 1]."""
        features = self.logvar_fourier(sigma_B.to(torch.float32).flatten().log() / 4)
        log_variance: Tensor = self.logvar_linear(features)
        return log_variance.reshape(-1, 1, 1, 1)
