"""Writes pickles in the published formats: the same global names, with source that must not run.

Nothing of the public implementation is here: its modules are stubs that exist while writing.
"""

import io
import pickle
import sys
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from typing_extensions import override

from guidebench.data.codec import LATENT_MEAN, LATENT_STD
from guidebench.networks import EDM2Denoiser, FractalDenoiser

SOURCE = "raise SystemExit('the embedded source was run')\n"
CLASS_NAMES = {
    "EDM2Denoiser": "Precond",
    "UNet": "UNet",
    "Block": "Block",
    "MPConv": "MPConv",
    "MPFourier": "MPFourier",
    "FractalDenoiser": "ToyModel",
}


class EasyDict(dict[str, Any]):
    """Stands in for dnnlib.util.EasyDict."""


def _reconstruct_persistent_obj(meta: dict[str, Any]) -> None:
    raise AssertionError(meta)


EasyDict.__module__ = "dnnlib.util"
_reconstruct_persistent_obj.__module__ = "torch_utils.persistence"


@contextmanager
def stub_modules() -> Iterator[None]:
    """The modules whose names pickles mention, for as long as one is written."""
    stubs = {n: ModuleType(n) for n in ("dnnlib", "dnnlib.util", "torch_utils")}
    stubs["torch_utils.persistence"] = ModuleType("torch_utils.persistence")
    vars(stubs["dnnlib.util"])["EasyDict"] = EasyDict
    vars(stubs["torch_utils.persistence"])["_reconstruct_persistent_obj"] = (
        _reconstruct_persistent_obj
    )
    sys.modules.update(stubs)
    try:
        yield
    finally:
        for name in stubs:
            del sys.modules[name]


class Persistent:
    """Pickles as an object that embeds its class's source."""

    def __init__(self, class_name: str, state: dict[str, Any], **meta: object) -> None:
        self.meta = EasyDict(
            type="class", version=6, module_src=SOURCE, class_name=class_name, state=state
        )
        self.meta.update(meta)

    @override
    def __reduce__(self) -> tuple[Any, tuple[Any, ...]]:
        return _reconstruct_persistent_obj, (self.meta,)


def wrapped(module: nn.Module, **arguments: object) -> Any:  # noqa: ANN401
    """A module as published files hold it, children first."""
    children = {key: wrapped(child) for key, child in module._modules.items() if child is not None}
    if isinstance(module, nn.ModuleDict):
        container = nn.Sequential() if "0" in module else nn.ModuleDict()
        container._modules = children
        return container
    state: dict[str, Any] = {
        "training": False,
        "_parameters": OrderedDict(module._parameters),
        "_buffers": OrderedDict(module._buffers) | {"scratch": torch.zeros(3)},
        "_non_persistent_buffers_set": {"scratch", *module._non_persistent_buffers_set},
        "_backward_hooks": OrderedDict(),
        "_is_full_backward_hook": None,
        "_modules": children,
        "_init_args": (),
        "_init_kwargs": EasyDict(arguments),
    }
    return Persistent(CLASS_NAMES[type(module).__name__], state)


def half(network: nn.Module) -> nn.Module:
    """Parameters and buffers in float16, without gradients, as snapshots are stored."""
    return network.cpu().eval().requires_grad_(requires_grad=False).to(torch.float16)


def encoder(kind: Literal["rgb", "stability-vae"]) -> Persistent:
    if kind == "rgb":
        return Persistent("StandardRGBEncoder", {"_init_args": (), "_init_kwargs": EasyDict()})
    scale = np.float32(0.5) / np.array(LATENT_STD, np.float32)
    bias = -np.array(LATENT_MEAN, np.float32) * scale
    state = {"scale": scale.reshape(1, -1, 1, 1), "bias": bias.reshape(1, -1, 1, 1), "_vae": None}
    return Persistent("StabilityVAEEncoder", state)


def arguments_of(network: EDM2Denoiser, config: Mapping[str, Any]) -> dict[str, Any]:
    return {"use_fp16": True, "sigma_data": network.sigma_data, **config}


def network_bytes(
    network: EDM2Denoiser,
    config: Mapping[str, Any],
    kind: Literal["rgb", "stability-vae"] = "rgb",
    protocol: int = 4,
) -> bytes:
    """A snapshot of an EDM2 network."""
    ema = wrapped(half(network), **arguments_of(network, config))
    snapshot = EasyDict(
        encoder=encoder(kind),
        dataset_kwargs=EasyDict(class_name="training.dataset.ImageFolderDataset", use_labels=True),
        loss_fn=Persistent("EDM2Loss", {"P_mean": -0.8, "P_std": 1.6, "sigma_data": 0.5}),
        ema=ema,
    )
    return dumped(snapshot, protocol)


def write_network_pickle(
    path: Path,
    network: EDM2Denoiser,
    config: Mapping[str, Any],
    kind: Literal["rgb", "stability-vae"] = "rgb",
    protocol: int = 4,
) -> None:
    path.write_bytes(network_bytes(network, config, kind, protocol))


def toy_bytes(network: FractalDenoiser, protocol: int = 4) -> bytes:
    """A toy file is the network itself, in float32."""
    given = {"in_dim": 2, "num_layers": 4, "hidden_dim": network.hidden, "sigma_data": 0.5}
    return dumped(wrapped(network, **given), protocol)


def reference_bytes(
    num_images: Any,  # noqa: ANN401
    statistics: Mapping[str, tuple[NDArray[np.float64], NDArray[np.float64]]],
    protocol: int = 4,
) -> bytes:
    found: dict[str, Any] = {"num_images": num_images}
    found |= {k: {"mu": mu, "sigma": sigma} for k, (mu, sigma) in statistics.items()}
    return dumped(found, protocol)


def write_reference_pickle(
    path: Path,
    num_images: int,
    statistics: Mapping[str, tuple[NDArray[np.float64], NDArray[np.float64]]],
    protocol: int = 4,
) -> None:
    path.write_bytes(reference_bytes(num_images, statistics, protocol))


def dumped(value: object, protocol: int) -> bytes:
    buffer = io.BytesIO()
    with stub_modules():
        pickle.Pickler(buffer, protocol).dump(value)
    return buffer.getvalue()


def old_numpy(data: bytes) -> bytes:
    """The same file as numpy 1 wrote it; both names must be as long in protocol 4's short texts."""
    new, old = b"numpy._core.", b"numpy.core."
    out = bytearray()
    place = 0
    while (found := data.find(new, place)) >= 0:
        out += data[place:found]
        if out[-2] == 0x8C:  # SHORT_BINUNICODE: one byte of length before the text
            out[-1] -= 1
        out += old
        place = found + len(new)
    return _unframed(bytes(out) + data[place:])


def _unframed(data: bytes) -> bytes:
    """Without frames, whose lengths the replacement would make false."""
    out, place = bytearray(data[:2]), 2
    while place < len(data):
        if data[place] == 0x95 and int.from_bytes(data[place + 1 : place + 9], "little") < 1 << 31:
            place += 9
        else:
            out.append(data[place])
            place += 1
    return bytes(out)


def state_of(network: nn.Module) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in network.state_dict().items()}
