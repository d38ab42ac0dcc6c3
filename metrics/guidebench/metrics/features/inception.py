"""Inception-v3 as FID has it: the pool features of torch-fidelity's port of the 2015-12-05 graph.

uint8 images, TensorFlow 1's bilinear resize to 299 (no half-pixel centres, no antialias),
(x - 128) / 128, 2048 features after the last pooling. With equal weights it agrees with
NVIDIA's port to 5e-6.

Shapes: B images.
"""

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from guidebench.base import UserError
from guidebench.metrics.features.extractor import (
    EXTRA,
    Extractor,
    load_weights,
    randomise,
    tensors_sha256,
)

SHA256: Final = "6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2"
_RESIZE: Final = "TensorFlow 1 bilinear to 299"
_DIM: Final = 2048
_SEED: Final = 0


def load_inception(weights: Path, device: torch.device) -> Extractor:
    """The network behind FID, from its published weights.

    Raises:
        UserError: where torch-fidelity or the weights are missing, or the weights are others.
    """
    network = _network(load_weights(weights, SHA256, "inception"))
    return _extractor("inception", network, SHA256, device, comparable=True)


def untrained_inception(device: torch.device) -> Extractor:
    """The same network with random weights: for tests, never comparable with any FID.

    Raises:
        UserError: where torch-fidelity is missing.
    """
    network = _network(None)
    randomise(network, _SEED)
    digest = tensors_sha256(network.state_dict())
    return _extractor("untrained:inception", network, digest, device, comparable=False)


def _network(state: Mapping[str, Tensor] | None) -> nn.Module:
    """torch-fidelity's network with our weights.

    Its constructor reads weights with an unsafe loader. It is given an empty state of our own
    instead, which it accepts because loading is left out while it is built.
    """
    try:
        from torch_fidelity.feature_extractor_inceptionv3 import (  # noqa: PLC0415
            FeatureExtractorInceptionV3,
        )
    except ImportError as error:
        msg = f"torch-fidelity {EXTRA}"
        raise UserError(msg) from error

    class Unloaded(FeatureExtractorInceptionV3):  # type: ignore[misc]
        def load_state_dict(self, *_: Any, **__: Any) -> Any:  # noqa: ANN401
            """Leave the random initial weights."""

    empty = io.BytesIO()
    torch.save({}, empty)
    empty.seek(0)
    network: nn.Module = Unloaded("inception-v3-compat", ["2048"], empty)
    if state is not None:
        nn.Module.load_state_dict(network, dict(state))
    return network


def _extractor(
    name: str, network: nn.Module, digest: str, device: torch.device, *, comparable: bool
) -> Extractor:
    placed = network.to(device)

    def embed(x_BCHW: Tensor) -> Tensor:
        (features_BD,) = placed(x_BCHW)
        found: Tensor = features_BD
        return found

    classes_CD: NDArray[np.float32] = placed.fc.weight.detach().cpu().numpy()  # type: ignore[operator,union-attr]

    def logits(features_ND: NDArray[np.float32]) -> NDArray[np.float32]:
        found: NDArray[np.float32] = features_ND @ classes_CD.T  # without bias, as scores have it
        return found

    return Extractor(
        name=name,
        dim=_DIM,
        weights_sha256=digest,
        resize=_RESIZE,
        comparable=comparable,
        device=device,
        embed=embed,
        logits=logits,
    )
