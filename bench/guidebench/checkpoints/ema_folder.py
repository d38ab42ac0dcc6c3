"""Post-hoc EMA of whole networks: a folder of snapshots, each file read once, tensor by tensor.

arXiv:2312.02696, Sec. 3. Memory holds one float32 copy of the network for each result and each
held-out average, and one tensor of one file.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, final

import numpy as np
import torch
from torch import Tensor

from guidebench.base import UserError
from guidebench.checkpoints.network_file import NetworkFile
from guidebench.checkpoints.posthoc_ema import coefficients, profile_errors
from guidebench.checkpoints.snapshots import (
    Profile,
    Snapshot,
    closest,
    covering,
    one_tensor,
    require_same_network,
    sources_of,
    tensors,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray


@final
@dataclass(frozen=True, slots=True)
class HeldOut:
    """A tracked average beside its reconstruction: relative L2 distances over all weights.

    `nearest` is the distance from the snapshot that is closest in time and length: what one
    would have without reconstruction.
    """

    snapshot: Snapshot
    error: float
    worst_tensor: str
    worst_error: float
    nearest: float
    predicted: float


@final
@dataclass(frozen=True, slots=True)
class Result:
    """One reconstructed network: `predicted` is the relative error of its profile."""

    profile: Profile
    predicted: float
    file: NetworkFile


@final
class FolderEMA:
    """A reconstruction that is planned and checked, but not yet read.

    Args:
        snapshots: What the averages are made of, as `snapshots_in` gives them.
        wanted: Times and EMA lengths to make.
        held_out: Tracked averages to measure against; they take no part in the solution.
        constants: Names of tensors that are the same in every snapshot.

    Raises:
        UserError: for a time after the last snapshot, an impossible length, or a held-out file of
            another network.
    """

    def __init__(
        self,
        snapshots: Sequence[Snapshot],
        wanted: Sequence[Profile],
        held_out: Sequence[Snapshot] = (),
        constants: frozenset[str] = frozenset(),
    ) -> None:
        apart = {s.path.resolve() for s in held_out}
        self.snapshots = tuple(s for s in snapshots if s.path.resolve() not in apart)
        self.wanted, self.held_out, self.constants = tuple(wanted), tuple(held_out), constants
        if not self.snapshots:
            msg = "every snapshot of the folder is held out; leave some to reconstruct from"
            raise UserError(msg)
        for held in held_out:
            require_same_network(self.snapshots[0], held)
        asked = [*self.wanted, *(h.profile for h in self.held_out)]
        self.weights_SR: NDArray[np.float64] = np.zeros((len(self.snapshots), len(asked)))
        self.predicted: list[float] = []
        self._num_used = 0
        for place, profile in enumerate(asked):
            pairs = [s.profile.pair for s in covering(self.snapshots, profile)]
            weights_S1 = coefficients(pairs, [profile.pair])
            self.weights_SR[: len(pairs), place] = weights_S1[:, 0]
            self._num_used = max(self._num_used, len(pairs))
            self.predicted += profile_errors(pairs, [profile.pair], weights_S1).tolist()

    def run(
        self, progress: Callable[[int, int, str], None] = lambda *_: None
    ) -> tuple[Iterator[Result], list[HeldOut]]:
        """Read every snapshot once. Results come one by one, and each frees its memory.

        Raises:
            UserError: for a file that is damaged or does not fit, or constants that differ.
        """
        sums: list[dict[str, Tensor]] = [{} for _ in self.predicted]
        constants: dict[str, Tensor] = {}
        nearest = [_Distance() for _ in self.held_out]
        places = [closest(held.profile, self.snapshots) for held in self.held_out]
        used = self.snapshots[: self._num_used]
        for done, (snapshot, weights) in enumerate(zip(used, self.weights_SR, strict=False)):
            progress(done, len(used), snapshot.path.name)
            watching = [
                (held, distance)
                for held, distance, near in zip(self.held_out, nearest, places, strict=True)
                if near == done
            ]
            self._add(snapshot, weights.tolist(), sums, constants, watching)
        progress(len(used), len(used), "read")
        measured = [
            self._measure(place, held, sums.pop(len(self.wanted)), nearest[place])
            for place, held in enumerate(self.held_out)
        ]
        return self._results(sums, constants), measured

    def _add(
        self,
        snapshot: Snapshot,
        weights: Sequence[float],
        sums: Sequence[dict[str, Tensor]],
        constants: dict[str, Tensor],
        watching: "Sequence[tuple[Snapshot, _Distance]]",
    ) -> None:
        first = snapshot is self.snapshots[0]
        names: set[str] = set()
        for name, value in tensors(snapshot.path):
            names.add(name)
            if name in self.constants:
                if not torch.equal(constants.setdefault(name, value), value):
                    msg = (
                        f"{snapshot.path}: the constant {name} is another one than in "
                        f"{self.snapshots[0].path.name}; keep one training in a folder"
                    )
                    raise UserError(msg)
                continue
            wide = value.to(torch.float32)
            for held, distance in watching:
                distance.add(name, wide, one_tensor(held.path, name))
            for weight, total in zip(weights, sums, strict=True):
                if first:
                    total[name] = torch.zeros_like(wide)
                if name not in total or total[name].shape != wide.shape:
                    _refuse_misfit(snapshot, name)
                total[name].add_(wide, alpha=weight)
        if missing := (sums[0].keys() | constants.keys()) - names:
            _refuse_misfit(snapshot, min(missing))

    def _measure(
        self, place: int, held: Snapshot, made: Mapping[str, Tensor], nearest: "_Distance"
    ) -> HeldOut:
        distance = _Distance()
        for name, value in tensors(held.path):
            if name not in self.constants:
                if name not in made or made[name].shape != value.shape:
                    _refuse_misfit(held, name)
                distance.add(name, made[name], value)
        worst, worst_error = max(distance.each.items(), key=lambda item: item[1])
        return HeldOut(
            held, distance.relative, worst, worst_error, nearest.relative,
            self.predicted[len(self.wanted) + place],
        )  # fmt: skip

    def _results(
        self, sums: list[dict[str, Tensor]], constants: Mapping[str, Tensor]
    ) -> Iterator[Result]:
        header = self.snapshots[-1].header
        for profile, predicted in zip(self.wanted, self.predicted, strict=False):
            whole = {**sums.pop(0), **constants}
            told = {
                "ema": profile.ema,
                "num_images": profile.num_images,
                "sources": sources_of(covering(self.snapshots, profile)),
            }
            yield Result(profile, predicted, NetworkFile(header.model_copy(update=told), whole))


@final
class _Distance:
    """Sums of squares of differences and of the truth, in float64, for all tensors and each."""

    def __init__(self) -> None:
        self.squared = self.norm = 0.0
        self.each: dict[str, float] = {}

    def add(self, name: str, made: Tensor, truth: Tensor) -> None:
        wide = truth.to(torch.float64)
        squared = float((made.to(torch.float64) - wide).square().sum())
        norm = float(wide.square().sum())
        self.squared, self.norm = self.squared + squared, self.norm + norm
        self.each[name] = math.sqrt(squared / norm) if norm else math.sqrt(squared)

    @property
    def relative(self) -> float:
        return math.sqrt(self.squared / self.norm) if self.norm else math.sqrt(self.squared)


def _refuse_misfit(snapshot: Snapshot, name: str) -> None:
    msg = f"{snapshot.path}: {name} is missing or of another shape; convert it again"
    raise UserError(msg)
