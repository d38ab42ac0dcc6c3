"""A training's stored averages: which one a file is, which files belong together, their tensors.

A snapshot is a converted file whose header says its time and EMA length.
"""

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, Final, final

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from guidebench.base import UserError
from guidebench.checkpoints.network_file import NetworkHeader, Source, read_network_header

SUFFIX: Final = ".safetensors"


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
        require_same_network(first, other)
    for a, b in pairwise(found):
        if a.profile == b.profile:
            msg = f"{a.path} and {b.path.name} are the same average; take one of them away"
            raise UserError(msg)
    return tuple(found)


def covering(snapshots: Sequence[Snapshot], wanted: Profile) -> Sequence[Snapshot]:
    """Those that an average is made of: up to the first time that is not before its own.

    So the result does not depend on what else is asked for, or on how far the training went on.
    """
    last = min(
        (s.profile.num_images for s in snapshots if s.profile.num_images >= wanted.num_images),
        default=math.inf,
    )
    return [s for s in snapshots if s.profile.num_images <= last]


def sources_of(snapshots: Sequence[Snapshot]) -> tuple[Source, ...]:
    """The published files that the snapshots were converted from."""
    return tuple(source for s in snapshots for source in s.header.sources)


def stored_dtypes(path: Path, constants: frozenset[str]) -> set[torch.dtype]:
    """Precisions of a file's averaged tensors, one tensor in memory at a time.

    Raises:
        UserError: for a file that cannot be read.
    """
    return {value.dtype for name, value in tensors(path) if name not in constants}


def require_same_network(first: Snapshot, other: Snapshot) -> None:
    """Check what all averages of one training share.

    Raises:
        UserError: that names the first difference.
    """
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


def closest(wanted: Profile, snapshots: Sequence[Snapshot]) -> int:
    """The place of the snapshot nearest in time, then in EMA length."""

    def distance(place: int) -> tuple[float, float]:
        there = snapshots[place].profile
        return abs(there.num_images - wanted.num_images), abs(there.ema - wanted.ema)

    return min(range(len(snapshots)), key=distance)


def tensors(path: Path) -> Iterator[tuple[str, Tensor]]:
    """Names and tensors of a file, one at a time.

    Raises:
        UserError: for a file that cannot be read.
    """
    with _opened(path) as file:
        for name in file.keys():  # noqa: SIM118  the file is no dict
            yield name, file.get_tensor(name)


def one_tensor(path: Path, name: str) -> Tensor:
    """One tensor of a file.

    Raises:
        UserError: for a file that cannot be read, or does not have it.
    """
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
