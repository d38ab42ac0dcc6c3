"""Extractors by name. Untrained ones exist for tests and must be asked for by that name."""

from pathlib import Path

import torch

from guidebench.base import UserError
from guidebench.metrics.features.dinov2 import MODELS, load_dinov2, untrained_dinov2
from guidebench.metrics.features.extractor import Extractor
from guidebench.metrics.features.inception import load_inception, untrained_inception
from guidebench.metrics.names import UNTRAINED


def load_extractor(name: str, weights: Path | None, *, device: torch.device) -> Extractor:
    """An extractor on a device; `weights` is its file, None for untrained ones alone.

    Raises:
        UserError: for an unknown name, or missing weights or libraries.
    """
    network = known_extractor(name)
    if name.startswith(UNTRAINED):
        if network == "inception":
            return untrained_inception(device)
        return untrained_dinov2(network, device)
    if weights is None:
        msg = f"the weights of {name} are not given; only untrained:{name} does without"
        raise UserError(msg)
    if network == "inception":
        return load_inception(weights, device)
    return load_dinov2(network, weights, device)


def known_extractor(name: str) -> str:
    """The network behind an extractor's name, trained or not.

    Raises:
        UserError: for an unknown name.
    """
    network = name.removeprefix(UNTRAINED)
    if network != "inception" and network not in MODELS:
        known = ", ".join(["inception", *MODELS])
        msg = f"unknown feature network {name}; there are {known}, and untrained:NAME of each"
        raise UserError(msg)
    return network
