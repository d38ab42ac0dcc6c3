"""The EDM2 denoiser D(x; sigma, labels): preconditioning around the raw U-Net.

Preconditioning of Karras et al. 2022 (EDM), arXiv:2206.00364; learned uncertainty u(sigma) of
Karras et al. 2023 (EDM2), arXiv:2312.02696.

Shapes: B images, C channels, H x W pixels, L class labels (one-hot).
"""

from typing import Any, final

import torch
from torch import Tensor, nn
from typing_extensions import override

from guidebench.networks.block import Drop
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
        self.num_parameters = sum(p.numel() for p in self.parameters())
        self.dtype = torch.float32

    def bake(self, dtype: torch.dtype = torch.float32, *, release: bool = False) -> "EDM2Denoiser":
        """Inference form: weights normalised and scaled once. Returns self, in eval mode.

        Args:
            dtype: of the blocks' weights and activations; embeddings and preconditioning stay
                in float32, as in the published networks.
            release: free the stored weights, so that one copy is held; the network can then
                be neither trained nor saved.
        """
        self.unet.bake(dtype)
        self.logvar_linear.bake()
        self.dtype = dtype
        if release:
            for module in self.modules():
                if isinstance(module, MPConv) and module.baked is not None:
                    module.release()
            for block in self.unet.blocks:
                block.emb_linear = None  # type: ignore[assignment]
        return self.eval().requires_grad_(False)

    @override
    def forward(
        self,
        x_BCHW: Tensor,
        sigma: Tensor | float,
        labels_BL: Tensor | None = None,
        *,
        drop: Drop | None = None,
        return_logvar: bool = False,
    ) -> Tensor | tuple[Tensor, Tensor]:
        """The clean image that the network expects, float32 [B, C, H, W].

        Args:
            x_BCHW: image plus noise of standard deviation `sigma`.
            sigma: noise level, one for all or [B].
            labels_BL: one-hot; None asks a conditional network without labels.
            drop: applied inside each block where dropout acts in training.
            return_logvar: also return `log_variance(sigma)`.
        """
        x = x_BCHW.to(torch.float32)
        sigma_B111 = torch.as_tensor(sigma, dtype=torch.float32, device=x.device)
        sigma_B111 = sigma_B111.reshape(-1, 1, 1, 1)
        variance, data_variance = sigma_B111.square(), self.sigma_data**2
        c_skip = data_variance / (variance + data_variance)
        c_out = sigma_B111 * self.sigma_data / (variance + data_variance).sqrt()
        c_in = (variance + data_variance).rsqrt()
        raw = self.unet((c_in * x).to(self.dtype), sigma_B111.flatten().log() / 4, labels_BL, drop)
        denoised: Tensor = c_skip * x + c_out * raw.to(torch.float32)
        return (denoised, self.log_variance(sigma_B111)) if return_logvar else denoised

    def log_variance(self, sigma_B: Tensor) -> Tensor:
        """Learned uncertainty u(sigma) of the training loss, [B, 1, 1, 1]."""
        features = self.logvar_fourier(sigma_B.to(torch.float32).flatten().log() / 4)
        log_variance: Tensor = self.logvar_linear(features)
        return log_variance.reshape(-1, 1, 1, 1)
