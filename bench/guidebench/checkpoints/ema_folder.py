"""Post-hoc EMA of whole networks: a folder of snapshots, each file read once, tensor by tensor.

arXiv:2312.02696, Sec. 3. Memory holds one float32 copy of the network for each result and each
held-out average, and one tensor of one file.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, final

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from guidebench.base import UserError
from guidebench.checkpoints.network_file import NetworkFile, NetworkHeader, read_network_header
from guidebench.checkpoints.posthoc_ema import coefficients, profile_errors

if TYPE_CHECKING:
    from numpy.typing import NDArray

SUFFIX: Final = ".safetensors"
_SHOWN: Final = 3


@final
@dataclass(frozen=True, slots=True)
class Profile:
    """An average of a training: at which time, in images, and its EMA length sigma_rel."""

    num_images: int
    ema: float

    @property
    def pair(self) -> tuple[float, float]:
        """As `posthoc_ema` takes it."""
        return float(self.num_images), self.ema


@final
@dataclass(frozen=True, slots=True)
class Snapshot:
    """A stored average and what its file says of itself."""

    path: Path
    header: NetworkHeader
    profile: Profile


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


def read_snapshot(path: Path) -> Snapshot:
    """A converted file, as far as its header says which average it is.

    Raises:
        UserError: where it does not say.
    """
    header = read_network_header(path)
    if header.ema is None or not header.num_images:
        msg = (
            f"{path} does not say which average it is; name the pickle as published, "
            "RUN-KIMG-STD.pkl, and convert it again"
        )
        raise UserError(msg)
    return Snapshot(path, header, Profile(header.num_images, header.ema))


def snapshots_in(folder: Path) -> tuple[Snapshot, ...]:
    """All snapshots of a folder by time and EMA length.

    Raises:
        UserError: for an empty folder, files of several networks, or two of one average.
    """
    paths = sorted(folder.glob(f"*{SUFFIX}")) if folder.is_dir() else []
    if not paths:
        pickled = folder.is_dir() and any(folder.glob("*.pkl"))
        way = f"`guidebench checkpoint convert {folder}` makes them from the pickles there"
        msg = (
            f"{folder} holds no {SUFFIX} files; "
            f"{way if pickled else 'name a folder of converted snapshots'}"
        )
        raise UserError(msg)
    found = sorted((read_snapshot(path) for path in paths), key=lambda s: s.profile.pair)
    first = found[0]
    for other in found[1:]:
        _require_same_network(first, other)
    for a, b in pairwise(found):
        if a.profile == b.profile:
            msg = f"{a.path} and {b.path.name} are the same average; take one of them away"
            raise UserError(msg)
    return tuple(found)


def stored_dtypes(path: Path, constants: frozenset[str]) -> set[torch.dtype]:
    """Precisions of a file's averaged tensors, one tensor in memory at a time.

    Raises:
        UserError: for a file that cannot be read.
    """
    return {value.dtype for name, value in _tensors(path) if name not in constants}


def _require_same_network(first: Snapshot, other: Snapshot) -> None:
    for field in ("architecture", "config", "encoder"):
        ours, theirs = getattr(first.header, field), getattr(other.header, field)
        if ours != theirs:
            msg = (
                f"{first.path} and {other.path.name} are of different networks ({field}: "
                f"{_difference(ours, theirs)}); keep one training in a folder"
            )
            raise UserError(msg)


def _difference(a: Any, b: Any) -> str:  # noqa: ANN401  fields of headers
    if isinstance(a, dict) and isinstance(b, dict):
        key = min(k for k in a.keys() | b.keys() if a.get(k) != b.get(k))
        return f"{key} {a.get(key)} and {b.get(key)}"
    return f"{a} and {b}"


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
            _require_same_network(self.snapshots[0], held)
        pairs = [s.profile.pair for s in self.snapshots]
        asked = [p.pair for p in (*self.wanted, *(h.profile for h in self.held_out))]
        self.weights_SR: NDArray[np.float64] = np.zeros((len(pairs), 0))
        self.predicted: list[float] = []
        if asked:
            self.weights_SR = coefficients(pairs, asked)
            self.predicted = profile_errors(pairs, asked, self.weights_SR).tolist()

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
        closest = [_closest(held.profile, self.snapshots) for held in self.held_out]
        for done, (snapshot, weights) in enumerate(
            zip(self.snapshots, self.weights_SR, strict=True)
        ):
            progress(done, len(self.snapshots), snapshot.path.name)
            watching = [
                (held, distance)
                for held, distance, near in zip(self.held_out, nearest, closest, strict=True)
                if near == done
            ]
            self._add(snapshot, weights.tolist(), sums, constants, watching)
        progress(len(self.snapshots), len(self.snapshots), "read")
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
        for name, value in _tensors(snapshot.path):
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
                distance.add(name, wide, _one_tensor(held.path, name))
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
        for name, value in _tensors(held.path):
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
        sources = tuple(source for s in self.snapshots for source in s.header.sources)
        for profile, predicted in zip(self.wanted, self.predicted, strict=False):
            tensors = {**sums.pop(0), **constants}
            told = {"ema": profile.ema, "num_images": profile.num_images, "sources": sources}
            yield Result(profile, predicted, NetworkFile(header.model_copy(update=told), tensors))


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


def _closest(wanted: Profile, snapshots: Sequence[Snapshot]) -> int:
    def distance(place: int) -> tuple[float, float]:
        there = snapshots[place].profile
        return abs(there.num_images - wanted.num_images), abs(there.ema - wanted.ema)

    return min(range(len(snapshots)), key=distance)


def _tensors(path: Path) -> Iterator[tuple[str, Tensor]]:
    with _opened(path) as file:
        for name in file.keys():  # noqa: SIM118  the file is no dict
            yield name, file.get_tensor(name)


def _one_tensor(path: Path, name: str) -> Tensor:
    with _opened(path) as file:
        value: Tensor = file.get_tensor(name)
        return value


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    try:
        with safe_open(path, framework="pt") as file:
            yield file
    except (SafetensorError, OSError) as error:
        msg = f"{path} cannot be read ({error}); convert or fetch it again"
        raise UserError(msg) from error


def _refuse_misfit(snapshot: Snapshot, name: str) -> None:
    msg = f"{snapshot.path}: {name} is missing or of another shape; convert it again"
    raise UserError(msg)
