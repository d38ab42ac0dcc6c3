"""Extractors by name: ours, and the user's own.

A package offers its own under the entry point group `guidebench.features`:

    [project.entry-points."guidebench.features"]
    my-network = "my_package.features:load"

where `load(device: torch.device) -> Extractor`. Its metrics are then `fd:my-network` and so on.
Untrained networks exist for tests and must be asked for by that name.
"""

from importlib.metadata import EntryPoint
from pathlib import Path

import torch

from guidebench.base import UserError
from guidebench.metrics.features.dinov2 import MODELS, load_dinov2, untrained_dinov2
from guidebench.metrics.features.extractor import Extractor
from guidebench.metrics.features.inception import load_inception, untrained_inception
from guidebench.metrics.names import UNTRAINED, own_extractors


def load_extractor(
    name: str, weights: Path | None, *, device: torch.device, sha256: str | None = None
) -> Extractor:
    """An extractor on a device.

    Args:
        name: Ours, untrained:NAME of each, or the user's own.
        weights: Their file, for the trained ones of ours alone.
        device: Where the network goes.
        sha256: Digest that weights had when they first came, where none is published.

    Raises:
        UserError: for an unknown name, missing weights or libraries, or an own extractor that
            cannot be loaded or is called otherwise.
    """
    if own := own_extractors().get(name):
        return _load_own(own, device)
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
    return load_dinov2(network, weights, device, sha256)


def known_extractor(name: str) -> str:
    """The network behind an extractor's name, trained or not.

    Raises:
        UserError: for an unknown name.
    """
    network = name.removeprefix(UNTRAINED)
    if network != "inception" and network not in MODELS and name not in own_extractors():
        known = ", ".join(["inception", *MODELS, *own_extractors()])
        msg = (
            f"unknown feature network {name}; there are {known}, and untrained:NAME of ours; "
            "`guidebench list features` shows all"
        )
        raise UserError(msg)
    return network


def _load_own(entry: EntryPoint, device: torch.device) -> Extractor:
    try:
        made = entry.load()(device)
    except Exception as error:
        msg = f"the feature network {entry.name} ({entry.value}) cannot be loaded: {error!r}"
        raise UserError(msg) from error
    if not isinstance(made, Extractor):
        msg = f"{entry.value} must return a guidebench Extractor, got {type(made).__name__}"
        raise UserError(msg)
    if made.name != entry.name:
        msg = (
            f"{entry.value} made an extractor named {made.name}, its entry point says {entry.name}"
        )
        raise UserError(msg)
    return made
