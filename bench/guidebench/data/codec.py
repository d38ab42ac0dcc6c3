"""What turns a network's samples into pixels: RGB itself, or the Stability VAE.

Shapes: B samples, C channels, H x W elements of a sample, P x Q pixels.
"""

import warnings
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from typing_extensions import override

from guidebench.base import UserError

LATENT_MEAN: Final = (5.81, 3.25, 0.12, -2.15)
LATENT_STD: Final = (4.17, 4.62, 3.71, 3.28)
"""Statistics of the Stability VAE's latents on ImageNet-512; arXiv:2312.02696."""

_SIGMA_DATA: Final = 0.5
_VAE_FILES: Final = ("config.json", "diffusion_pytorch_model.safetensors")


class Codec(ABC):
    """Subclasses are final. Samples have standard deviation of about 0.5."""

    @abstractmethod
    def encode(self, images_BPQC: NDArray[np.uint8]) -> Tensor:
        """What a denoiser is trained on, float32 [B, C, H, W], from uint8 colour images."""

    @abstractmethod
    def _decode(self, x_BCHW: Tensor) -> NDArray[np.uint8]: ...

    def decode(self, x_BCHW: Tensor) -> NDArray[np.uint8]:
        """Pixels, uint8 [B, P, Q, 3].

        Raises:
            ValueError: for values that are not finite, which clipping would turn into pictures.
        """
        if not bool(torch.isfinite(x_BCHW).all()):
            bad = int((~torch.isfinite(x_BCHW.flatten(1)).all(1)).sum())
            msg = f"{bad} of {len(x_BCHW)} samples hold values that are not finite"
            raise ValueError(msg)
        return self._decode(x_BCHW)


@final
class RGBCodec(Codec):
    """Pixels are the samples: x = v / 127.5 - 1; back by 127.5 x + 128, clipped and cut off."""

    @override
    def encode(self, images_BPQC: NDArray[np.uint8]) -> Tensor:
        return torch.from_numpy(images_BPQC).permute(0, 3, 1, 2).to(torch.float32) / 127.5 - 1

    @override
    def _decode(self, x_BCHW: Tensor) -> NDArray[np.uint8]:
        values = (x_BCHW.to(torch.float32) * 127.5 + 128).clip(0, 255).to(torch.uint8)
        return values.permute(0, 2, 3, 1).contiguous().cpu().numpy()


@final
class StabilityVAECodec(Codec):
    """Latents of the Stability VAE, scaled and shifted per channel to mean 0 and std 0.5.

    A sample x stands for the latents (x - bias) / scale; what the VAE makes of them in [-1, 1]
    is (v + 1) / 2 clipped to [0, 1], times 255 and cut off. The cutting off is the published
    way as we recall it, not checked against it.
    """

    def __init__(
        self,
        vae: Any,  # noqa: ANN401  diffusers.AutoencoderKL, which this module does not import
        *,
        scale: Sequence[float] | None = None,
        bias: Sequence[float] | None = None,
        batch_size: int = 8,
    ) -> None:
        """Decode `batch_size` latents at a time; None stands for the published scale and bias."""
        given = scale or [_SIGMA_DATA / std for std in LATENT_STD]
        shift = bias or [-m * s for m, s in zip(LATENT_MEAN, given, strict=True)]
        self.vae, self.batch_size = vae, batch_size
        device = next(vae.parameters()).device
        self._scale = torch.tensor(given, dtype=torch.float32, device=device).view(1, -1, 1, 1)
        self._bias = torch.tensor(shift, dtype=torch.float32, device=device).view(1, -1, 1, 1)

    @classmethod
    def from_folder(
        cls,
        folder: Path,
        *,
        scale: Sequence[float] | None = None,
        bias: Sequence[float] | None = None,
        device: torch.device,
        batch_size: int = 8,
    ) -> "StabilityVAECodec":
        """From config.json and the weights in safetensors; nothing is ever downloaded.

        Raises:
            UserError: where the files or diffusers are missing, or diffusers cannot read them.
        """
        missing = [name for name in _VAE_FILES if not (folder / name).is_file()]
        if missing:
            msg = (
                f"{folder} has no {missing[0]}; `guidebench checkpoint fetch sd-vae-ft-mse` "
                "brings the Stability VAE"
            )
            raise UserError(msg)
        try:
            from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL  # noqa: PLC0415  seconds
        except ImportError as error:
            msg = "diffusers is not installed; pip install 'guidebench[images]'"
            raise UserError(msg) from error
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # diffusers' notes on its own future
                vae: Any = AutoencoderKL.from_pretrained(
                    folder, local_files_only=True, use_safetensors=True, low_cpu_mem_usage=False
                )
        except (OSError, ValueError, RuntimeError) as error:
            reason = str(error).splitlines()[0]
            msg = f"the VAE in {folder} does not load ({reason}); delete the folder and fetch again"
            raise UserError(msg) from error
        ready = vae.to(device).eval().requires_grad_(requires_grad=False)
        return cls(ready, scale=scale, bias=bias, batch_size=batch_size)

    @override
    @torch.inference_mode()
    def encode(self, images_BPQC: NDArray[np.uint8]) -> Tensor:
        """The mean of the latents' distribution, without its noise."""
        parts = []
        for start in range(0, len(images_BPQC), self.batch_size):
            batch = torch.from_numpy(images_BPQC[start : start + self.batch_size])
            pixels = batch.permute(0, 3, 1, 2).to(self._scale) / 127.5 - 1
            parts.append(self.vae.encode(pixels).latent_dist.mean * self._scale + self._bias)
        return torch.cat(parts)

    @override
    @torch.inference_mode()
    def _decode(self, x_BCHW: Tensor) -> NDArray[np.uint8]:
        parts = []
        for batch in x_BCHW.split(self.batch_size):
            latents = (batch.to(self._scale) - self._bias) / self._scale
            values = (self.vae.decode(latents).sample + 1) / 2
            pixels = (values.clip(0, 1) * 255).to(torch.uint8)
            parts.append(pixels.permute(0, 2, 3, 1).contiguous().cpu().numpy())
        return np.concatenate(parts)
