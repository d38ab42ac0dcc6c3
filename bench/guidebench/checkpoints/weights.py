"""Networks on disk: safetensors with everything needed to rebuild them in the header.

One file holds one training run: each parameter is stacked over the run's snapshots [S, ...],
a snapshot being a tracked EMA at an iteration. Buffers are stored once.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, final

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from guidebench.base import UserError, atomic_write, ordered_safetensors
from guidebench.checkpoints import posthoc_ema

_FORMAT = "guidebench-snapshots-1"
_BUFFER = "buffer/"


@final
@dataclass(frozen=True, slots=True)
class Snapshot:
    """When an average was stored, and how long it is."""

    iteration: int
    ema: float


@final
@dataclass(frozen=True, slots=True)
class SnapshotFile:
    """Header and tensors of one training run."""

    architecture: str
    config: Mapping[str, Any]
    snapshots: tuple[Snapshot, ...]
    parameters: Mapping[str, Tensor]
    buffers: Mapping[str, Tensor]

    @property
    def num_parameters(self) -> int:
        """Number of trained scalars of one network."""
        return sum(stack[0].numel() for stack in self.parameters.values())

    def reconstruct(self, iteration: int, ema: float) -> dict[str, Tensor]:
        """State dict, float32, of the average with length `ema` at `iteration`.

        A stored snapshot is returned as it is; any other is the least-squares combination of
        all of them (arXiv:2312.02696).

        Raises:
            UserError: where no stored snapshot reaches `iteration`, or only one is stored and
                it is another.
        """
        wanted = Snapshot(iteration, ema)
        if wanted in self.snapshots:
            weights = torch.zeros(len(self.snapshots), dtype=torch.float64)
            weights[self.snapshots.index(wanted)] = 1
        else:
            weights = torch.from_numpy(self._coefficients(wanted))
        state = {
            name: torch.tensordot(weights, stack.to(torch.float64), 1).to(torch.float32)
            for name, stack in self.parameters.items()
        }
        return state | {name: buffer.clone() for name, buffer in self.buffers.items()}

    def _coefficients(self, wanted: Snapshot) -> Any:  # noqa: ANN401  numpy
        if len(self.snapshots) == 1:
            only = self.snapshots[0]
            msg = (
                f"only EMA {only.ema} at iteration {only.iteration} is stored, asked for "
                f"EMA {wanted.ema} at {wanted.iteration}; other lengths need more snapshots"
            )
            raise UserError(msg)
        stored = [(float(s.iteration), s.ema) for s in self.snapshots]
        return posthoc_ema.coefficients(stored, [(float(wanted.iteration), wanted.ema)])[:, 0]

    def save(self, path: Path, dtype: torch.dtype) -> None:
        """Write atomically, parameters in `dtype`, buffers in float32."""
        tensors = {name: t.to(dtype).contiguous() for name, t in self.parameters.items()}
        tensors |= {_BUFFER + name: t.contiguous() for name, t in self.buffers.items()}
        header = {
            "format": _FORMAT,
            "architecture": self.architecture,
            "config": json.dumps(self.config, sort_keys=True),
            "snapshots": json.dumps([asdict(s) for s in self.snapshots]),
        }
        atomic_write(path, ordered_safetensors(save(tensors, header)))


def stack_snapshots(states: Sequence[Mapping[str, Tensor]]) -> dict[str, Tensor]:
    """Stack equal state dicts along a new first dimension."""
    return {name: torch.stack([s[name] for s in states]) for name in states[0]}


def load_snapshots(path: Path) -> SnapshotFile:
    """Read a file that `SnapshotFile.save` wrote; no code in it is ever run.

    Raises:
        UserError: for a file that cannot be read, or one in another format.
    """
    try:
        with safe_open(path, framework="pt") as file:
            header = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        msg = f"{path} is not a readable safetensors file ({error}); fetch or train it again"
        raise UserError(msg) from error
    if header.get("format") != _FORMAT:
        msg = f"{path} has format {header.get('format')}, this version reads {_FORMAT}"
        raise UserError(msg)
    try:
        architecture, config = header["architecture"], json.loads(header["config"])
        snapshots = tuple(Snapshot(**s) for s in json.loads(header["snapshots"]))
    except (KeyError, TypeError, ValueError) as error:
        msg = f"the header of {path} is not whole ({error!r}); fetch or train it again"
        raise UserError(msg) from error
    return SnapshotFile(
        architecture=architecture,
        config=config,
        snapshots=snapshots,
        parameters={n: t for n, t in tensors.items() if not n.startswith(_BUFFER)},
        buffers={n[len(_BUFFER) :]: t for n, t in tensors.items() if n.startswith(_BUFFER)},
    )
