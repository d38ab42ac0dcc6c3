"""Architectures by name, as stored beside their weights."""

from collections.abc import Mapping
from textwrap import shorten
from typing import Any

from torch import Tensor

from guidebench.base import UserError
from guidebench.networks.fractal import FractalDenoiser
from guidebench.networks.precondition import EDM2Denoiser

Denoiser = FractalDenoiser | EDM2Denoiser


def build_denoiser(
    architecture: str, config: Mapping[str, Any], state: Mapping[str, Tensor]
) -> Denoiser:
    """A network with its weights, in inference form.

    Raises:
        UserError: for an unknown architecture, or settings or weights that do not fit it.
    """
    known: dict[str, type[Denoiser]] = {"fractal": FractalDenoiser, "edm2": EDM2Denoiser}
    if architecture not in known:
        msg = f"unknown architecture {architecture}; this version builds {', '.join(known)}"
        raise UserError(msg)
    try:
        network = known[architecture](**config)
    except (TypeError, KeyError) as error:
        msg = f"this version cannot build architecture {architecture} from {dict(config)}: {error}"
        raise UserError(msg) from error
    try:
        network.load_state_dict(dict(state))
    except RuntimeError as error:
        reason = shorten(str(error), 200)  # torch lists every key
        msg = f"weights do not fit architecture {architecture} {dict(config)}: {reason}"
        raise UserError(msg) from error
    return network.bake()
