"""Architectures by name, as stored beside their weights."""

from collections.abc import Callable, Mapping
from textwrap import shorten
from typing import Any, final

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from typing_extensions import override

from guidebench.base import UserError
from guidebench.networks.fractal import FractalDenoiser
from guidebench.networks.precondition import EDM2Denoiser

Denoiser = FractalDenoiser | EDM2Denoiser


_ARCHITECTURES: dict[str, type[Denoiser]] = {"fractal": FractalDenoiser, "edm2": EDM2Denoiser}


def expected_shapes(architecture: str, config: Mapping[str, Any]) -> dict[str, tuple[int, ...]]:
    """Names and shapes of a network's tensors, found without making any.

    Raises:
        UserError: for an unknown architecture, or settings that do not fit it.
    """
    network = _on_meta(architecture, config)
    return {name: tuple(value.shape) for name, value in network.state_dict().items()}


def buffer_names(architecture: str, config: Mapping[str, Any]) -> frozenset[str]:
    """Which of a network's stored tensors are constants that no training changes.

    Raises:
        UserError: as `expected_shapes`.
    """
    network = _on_meta(architecture, config)
    return frozenset(network.state_dict()) - {name for name, _ in network.named_parameters()}


_DRAWN = {torch.randn, torch.rand, torch.zeros, torch.ones}
_SCALED = {Tensor.mul, Tensor.__rmul__}


@final
class _Uninitialised(TorchFunctionMode):
    """Draws and scales nothing: on the meta device either would import torch's compiler, 1.5 s."""

    @override
    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        if func in _SCALED:
            return next(value for value in args if isinstance(value, Tensor))
        return (torch.empty if func in _DRAWN else func)(*args, **(kwargs or {}))


def _on_meta(architecture: str, config: Mapping[str, Any]) -> Denoiser:
    if architecture not in _ARCHITECTURES:
        there = ", ".join(_ARCHITECTURES)
        msg = f"unknown architecture {architecture}; this version builds {there}"
        raise UserError(msg)
    try:
        with torch.device("meta"), _Uninitialised():
            return _ARCHITECTURES[architecture](**config)
    except (TypeError, KeyError) as error:
        msg = f"this version cannot build architecture {architecture} from {dict(config)}: {error}"
        raise UserError(msg) from error


def build_denoiser(
    architecture: str,
    config: Mapping[str, Any],
    state: Mapping[str, Tensor],
    *,
    dtype: torch.dtype = torch.float32,
    release: bool = False,
) -> Denoiser:
    """A network with its weights, in inference form.

    The tensors of `state` are used as they are, in their own precision, which the arithmetic
    of the weights keeps; `dtype` is that of the activations. Nothing is initialised only to be
    overwritten. `release` frees the stored weights once the scaled ones are made.

    Raises:
        UserError: for an unknown architecture, or settings or weights that do not fit it.
    """
    network = _on_meta(architecture, config)
    try:
        network.load_state_dict(dict(state), assign=True)
    except RuntimeError as error:
        reason = shorten(str(error), 200)  # torch lists every key
        msg = f"weights do not fit architecture {architecture} {dict(config)}: {reason}"
        raise UserError(msg) from error
    return network.bake(dtype, release=release)
