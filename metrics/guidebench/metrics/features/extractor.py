"""A feature network made ready: images in, features out, and everything that names them.

Shapes: N images, B of a batch, H and W pixels, D features.
"""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from guidebench.base import UserError, canonical_json, sha256_bytes, sha256_file

CODE_VERSION: Final = 1
"""Raised by every change that moves a feature; part of each extractor's id."""

_BATCH: Final = 32


@final
@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Extractor:
    """A network with its pre-processing.

    Attributes:
        name: As in the catalog of extractors.
        dim: Features per image.
        weights_sha256: Digest of the weights' file, or of the tensors where they are untrained.
        resize: How images are brought to the network's size, in words.
        comparable: Whether published numbers were made with these weights.
        embed: uint8 [B, 3, H, W] on the network's device to float32 [B, D].
        logits: Features [N, D] to class logits [N, C], for the Inception score; None where the
            network has no classes.
        precision: Of the network's arithmetic.
    """

    name: str
    dim: int
    weights_sha256: str
    resize: str
    comparable: bool
    device: torch.device
    embed: Callable[[Tensor], Tensor]
    precision: str = "fp32"
    logits: Callable[[NDArray[np.float32]], NDArray[np.float32]] | None = None

    @property
    def tf32(self) -> bool:
        """Whether convolutions may round to TF32, as PyTorch's default lets them on a GPU."""
        return self.device.type == "cuda" and bool(torch.backends.cudnn.allow_tf32)

    @property
    def id(self) -> str:
        """Digest of everything that a feature depends on but the image and the machine."""
        facts = [self.name, self.weights_sha256, self.resize, self.precision, CODE_VERSION]
        return f"{self.name}-{sha256_bytes(canonical_json(facts))[:16]}"

    @torch.inference_mode()
    def extract(self, images_NHWC: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Features [N, D] of uint8 images with three channels, in their order.

        Grey images of one channel count as colour images with three equal ones.

        Raises:
            ValueError: where the images are not uint8 [N, H, W, 1 or 3].
            UserError: without images, or where the network breaks its promise.
        """
        if (
            images_NHWC.dtype != np.uint8
            or images_NHWC.ndim != 4
            or images_NHWC.shape[3] not in {1, 3}
        ):
            msg = (
                "images must be uint8 of shape (N, H, W, 3), "
                f"got {images_NHWC.dtype} of shape {images_NHWC.shape}"
            )
            raise ValueError(msg)
        if not len(images_NHWC):
            msg = "there are no images to take features of; sample at least one"
            raise UserError(msg)
        parts = []
        for start in range(0, len(images_NHWC), _BATCH):
            batch = torch.from_numpy(np.ascontiguousarray(images_NHWC[start : start + _BATCH]))
            if self.device.type == "cuda":
                batch = batch.pin_memory()
            x_BHWC = batch.to(self.device, non_blocking=True)
            x_BCHW = x_BHWC.permute(0, 3, 1, 2).expand(-1, 3, -1, -1)
            parts.append(self._checked(self.embed(x_BCHW), len(batch)))
        return np.concatenate(parts)

    def _checked(self, features_BD: Tensor, count: int) -> NDArray[np.float32]:
        if tuple(features_BD.shape) != (count, self.dim):
            msg = (
                f"{self.name} made features of shape {tuple(features_BD.shape)} of {count} images, "
                f"({count}, {self.dim}) were promised; mend its `embed` or its `dim`"
            )
            raise UserError(msg)
        if not bool(torch.isfinite(features_BD).all()):
            msg = f"{self.name} made features that are not finite of finite images; mend it"
            raise UserError(msg)
        found: NDArray[np.float32] = features_BD.to(torch.float32).cpu().numpy()
        return found


def load_weights(path: Path, expected_sha256: str, name: str) -> dict[str, Tensor]:
    """A torch state dict whose digest is known; verified before a byte of it is parsed.

    torch's loader of plain tensors reads it: no code of the file runs.

    Raises:
        UserError: for a file that is missing, or another one.
    """
    way_out = f"fetch it with `guidebench checkpoint fetch {name}`"
    if not path.is_file():
        msg = f"the weights of {name} are not at {path}; {way_out}"
        raise UserError(msg)
    if (found := sha256_file(path)) != expected_sha256:
        msg = (
            f"{path} has SHA-256 {found[:12]}..., the weights of {name} have "
            f"{expected_sha256[:12]}...; delete it and {way_out}"
        )
        raise UserError(msg)
    state: dict[str, Tensor] = torch.load(path, map_location="cpu", weights_only=True)
    return state


def tensors_sha256(state: Mapping[str, Tensor]) -> str:
    """Digest of names, shapes and bytes, for weights that come from no file."""
    found = hashlib.sha256()
    for name in sorted(state):
        array = state[name].detach().cpu().contiguous().numpy()
        found.update(f"{name}:{array.dtype.str}:{array.shape};".encode())
        found.update(array.tobytes())
    return found.hexdigest()


def randomise(network: nn.Module, seed: int) -> None:
    """He-normal weights, from a generator of their own: the same on every machine.

    Biases become 0; gains and running statistics keep their initial 1 and 0.
    """
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            if name.endswith("bias"):
                parameter.zero_()
            elif parameter.ndim >= 2:
                drawn = torch.randn(parameter.shape, generator=generator)
                parameter.copy_(drawn * (2 / parameter[0].numel()) ** 0.5)


EXTRA: Final = "is not installed; pip install 'guidebench[images]'"
"""What to say of a missing library."""
