"""One network in one safetensors file: its tensors as stored, and all that rebuilds it.

What `checkpoint convert` writes from a published pickle and `checkpoint ema` from snapshots.
Reading a header needs no torch.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, Self, final

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from safetensors import SafetensorError, safe_open

from guidebench.base import UserError, atomic_file, order_header

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor

FORMAT: Final = "guidebench-network-1"


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


@final
class EncoderInfo(_Frozen):
    """What turns the network's samples into pixels; `scale` and `bias` are per channel.

    latents = raw latents * scale + bias; None stands for the published numbers.
    """

    kind: Literal["rgb", "stability-vae"]
    scale: tuple[float, ...] | None = None
    bias: tuple[float, ...] | None = None


@final
class Source(_Frozen):
    """The file that this one was made from."""

    file: str
    sha256: str
    bytes: int


@final
class NetworkHeader(_Frozen):
    """Everything but the tensors.

    `config` holds the constructor arguments of the architecture (`networks.registry`), `ema` the
    power-function EMA length sigma_rel and `num_images` the training images seen, where known.
    """

    architecture: Literal["edm2", "fractal"]
    config: dict[str, Any]
    encoder: EncoderInfo | None
    ema: float | None = Field(gt=0)
    num_images: int | None = Field(ge=0)
    sources: tuple[Source, ...]


@final
@dataclass(frozen=True, slots=True)
class NetworkFile:
    """Header and tensors; names as in the published state dicts, dtypes as stored."""

    header: NetworkHeader
    tensors: "Mapping[str, Tensor]"

    def save(self, path: Path) -> None:
        """Write whole or not at all, one tensor in memory at a time beyond those given."""
        from safetensors.torch import save_file  # noqa: PLC0415  torch costs seconds

        facts = {"format": FORMAT, "network": self.header.model_dump_json()}
        with atomic_file(path) as partial:
            save_file({n: t.contiguous() for n, t in self.tensors.items()}, partial, facts)
            order_header(partial)

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read header and tensors; no code in the file is ever run.

        Raises:
            UserError: for a file that cannot be read, or one in another format.
        """
        header = read_network_header(path)
        with safe_open(path, framework="pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        return cls(header, tensors)


def read_network_header(path: Path) -> NetworkHeader:
    """The header alone, without reading the tensors.

    Raises:
        UserError: for a file that cannot be read, or one in another format.
    """
    try:
        with safe_open(path, framework="np") as file:
            facts = file.metadata() or {}
    except (SafetensorError, OSError) as error:
        msg = f"{path} is not a readable safetensors file ({error}); convert or fetch it again"
        raise UserError(msg) from error
    if facts.get("format") != FORMAT:
        msg = f"{path} has format {facts.get('format')}, this version reads {FORMAT}"
        raise UserError(msg)
    try:
        return NetworkHeader.model_validate(json.loads(facts["network"]))
    except (KeyError, ValueError, ValidationError) as error:
        msg = f"the header of {path} is not whole; convert or fetch it again"
        raise UserError(msg) from error
