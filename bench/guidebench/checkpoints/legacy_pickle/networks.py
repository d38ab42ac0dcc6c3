"""Published network pickles: EDM2 snapshots and the 2D toy.

An EDM2 file is a dict with `encoder`, `dataset_kwargs`, `loss_fn` and `ema`; a toy file is the
network itself.
"""

import re
from typing import Annotated, Any, Final, Literal, final

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from torch import Tensor

from guidebench.checkpoints.catalog import images_seen
from guidebench.checkpoints.legacy_pickle.arrays import array, as_dict, described, shown
from guidebench.checkpoints.legacy_pickle.modules import (
    Persistent,
    is_persistent,
    persistent,
    state_dict,
)
from guidebench.checkpoints.legacy_pickle.records import RefusedError
from guidebench.checkpoints.network_file import EncoderInfo, NetworkFile, NetworkHeader, Source

_PUBLISHED_NAME: Final = re.compile(r".*-(?P<kimg>\d{7})-(?P<ema>0\.\d{3})\.pkl")
_FIXED: Final = {  # what our network has built in
    "label_balance": 0.5,
    "concat_balance": 0.5,
    "res_balance": 0.3,
    "attn_balance": 0.3,
    "clip_act": 256,
    "resample_filter": [1, 1],
}
LATENT_CHANNELS: Final = 4
_Count = Annotated[int, Field(ge=1, le=16)]
_Width = Annotated[int, Field(ge=1, le=4096)]
_Side = Annotated[int, Field(ge=2, le=1024)]


@final
class _EDM2Arguments(BaseModel):
    """Constructor arguments with their ranges; a file may not ask for more."""

    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)

    img_resolution: _Side
    img_channels: _Count
    label_dim: int = Field(ge=0, le=100_000)
    sigma_data: float = Field(default=0.5, gt=0, le=100)
    logvar_channels: _Width = 128
    model_channels: _Width = 192
    channel_mult: list[_Count] = Field(default=[1, 2, 3, 4], min_length=1, max_length=8)
    channel_mult_noise: _Count | None = None
    channel_mult_emb: _Count | None = None
    num_blocks: _Count = 3
    attn_resolutions: list[_Side] = Field(default=[16, 8], max_length=8)
    channels_per_head: _Width = 64
    dropout: float = Field(default=0.0, ge=0, lt=1)


def network_from(record: Any, source: Source) -> NetworkFile:  # noqa: ANN401
    """The network that a pickle's records describe.

    Raises:
        RefusedError: for anything that is not a published network.
    """
    if is_persistent(record):
        model, encoder = record, None
    else:
        top = as_dict(record, "the file")
        if "ema" not in top:
            keys = ", ".join(sorted(shown(k) for k in list(top)[:6]))
            msg = f"it is a dict of {keys or 'nothing'}, without the network `ema`"
            raise RefusedError(msg)
        model = top["ema"]
        encoder = _encoder(top["encoder"]) if top.get("encoder") is not None else None
    found = persistent(model, "the network")
    tensors = state_dict(model, "the network")
    architecture, config = _described_network(found, tensors)
    for name, value in tensors.items():
        if not bool(torch.isfinite(value).all()):
            msg = f"{name} holds numbers that are not finite"
            raise RefusedError(msg)
    published = _PUBLISHED_NAME.fullmatch(source.file)
    header = NetworkHeader(
        architecture=architecture,
        config=config,
        encoder=encoder,
        ema=float(published["ema"]) if published else None,
        num_images=images_seen(int(published["kimg"])) if published else None,
        sources=(source,),
    )
    return NetworkFile(header, tensors)


def _described_network(
    found: Persistent, tensors: dict[str, Tensor]
) -> tuple[Literal["edm2", "fractal"], dict[str, Any]]:
    if found.class_name == "Precond":
        return "edm2", _edm2_config(found)
    if found.class_name == "ToyModel":
        return "fractal", _toy_config(found, tensors)
    msg = f"its network is of class {found.class_name[:60]}; read are Precond and ToyModel"
    raise RefusedError(msg)


def _edm2_config(found: Persistent) -> dict[str, Any]:
    given = found.arguments("img_resolution", "img_channels", "label_dim")
    given.pop("use_fp16", None)  # how to compute is asked for at run time
    for name, fixed in _FIXED.items():
        if (value := given.pop(name, fixed)) != fixed:
            msg = f"{name} is {shown(value)}, this version has {fixed} built in"
            raise RefusedError(msg)
    try:
        made = _EDM2Arguments.model_validate(_plain(given))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(p) for p in first["loc"])
        msg = f"the network's argument {where[:60]} is {shown(first['input'])}: {first['msg']}"
        raise RefusedError(msg) from None  # its own text would hold all of the value's
    return made.model_dump()


def _plain(given: dict[str, Any]) -> dict[str, Any]:
    """Tuples as lists; strict validation takes one of the two."""
    return {k: list(v) if isinstance(v, tuple) else v for k, v in given.items()}


def _toy_config(found: Persistent, tensors: dict[str, Tensor]) -> dict[str, Any]:
    """Widths from the tensors themselves: layer 0 maps 4 inputs to the hidden units."""
    layers = [name for name in tensors if re.fullmatch(r"layers\.\d+\.weight", name)]
    if not layers or tensors[layers[0]].ndim != 2:
        msg = "the toy network has no layers"
        raise RefusedError(msg)
    sigma_data = found.arguments("in_dim").get("sigma_data", 0.5)
    if not isinstance(sigma_data, float) or not 0 < sigma_data < 100:
        msg = f"the toy network's sigma_data is {shown(sigma_data)}"
        raise RefusedError(msg)
    hidden = tensors[layers[0]].shape[0]
    return {"hidden": hidden, "num_layers": len(layers) - 1, "sigma_data": sigma_data}


def _encoder(record: Any) -> EncoderInfo:  # noqa: ANN401
    found = persistent(record, "the encoder")
    if found.class_name == "StandardRGBEncoder":
        return EncoderInfo(kind="rgb")
    if found.class_name == "StabilityVAEEncoder":
        scale, bias = (_per_channel(found.state.get(key), key) for key in ("scale", "bias"))
        return EncoderInfo(kind="stability-vae", scale=scale, bias=bias)
    msg = f"its encoder is of class {found.class_name[:60]}; read are RGB and the Stability VAE"
    raise RefusedError(msg)


def _per_channel(record: Any, key: str) -> tuple[float, ...]:  # noqa: ANN401
    """One finite number for each of the latents' channels."""
    found = array(record, f"the encoder's {key}")
    if found.size != LATENT_CHANNELS or found.dtype.kind != "f":
        msg = (
            f"the encoder's {key} has shape {found.shape} of {found.dtype}; {LATENT_CHANNELS} "
            "numbers, one for each channel, belong there"
        )
        raise RefusedError(msg)
    values = tuple(float(v) for v in found.ravel())
    if not np.isfinite(values).all() or (key == "scale" and min(values) <= 0):
        msg = f"the encoder's {key} is {values}"
        raise RefusedError(msg)
    return values


def summary(record: Any) -> dict[str, str]:  # noqa: ANN401
    """Class names and digests of the embedded sources, for `inspect`."""
    parts = {"network": record} if is_persistent(record) else as_dict(record, "the file")
    found = {}
    for key, value in parts.items():
        if is_persistent(value):
            known = persistent(value, str(key))
            words = f"{known.class_name[:60]}, embedded source {known.source_sha256[:12]}"
        else:
            words = described(value)
        found[str(key)[:30]] = words
    return found
