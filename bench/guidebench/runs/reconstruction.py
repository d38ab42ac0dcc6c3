"""Networks at any EMA length and training time, made from a folder of snapshots."""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, final

import torch
from torch import Tensor

from guidebench.base import UserError, make_folder
from guidebench.checkpoints.catalog import images_seen
from guidebench.checkpoints.ema_folder import FolderEMA, HeldOut, Result
from guidebench.checkpoints.network_file import NetworkFile, read_network_header
from guidebench.checkpoints.snapshots import (
    Profile,
    Snapshot,
    covering,
    read_snapshot,
    snapshots_in,
    sources_of,
    stored_dtypes,
)
from guidebench.networks.registry import buffer_names

DType = Literal["fp16", "fp32"]
_DTYPES: Final = {"fp16": torch.float16, "fp32": torch.float32}
_NAME: Final = re.compile(r"(?P<run>.+)-\d{7}-0\.\d{3}")


@final
@dataclass(frozen=True, slots=True)
class Made:
    """A network that was written, or was there already (`predicted` is None then)."""

    path: Path
    profile: Profile
    predicted: float | None


@final
class Reconstruction:
    """What `guidebench checkpoint ema` will make: found out before any weights are read.

    Raises:
        UserError: for a folder, times or lengths that do not fit, or files in the way.
    """

    def __init__(
        self,
        folder: Path,
        stds: Sequence[float],
        kimgs: Sequence[int] = (),
        *,
        out: Path,
        dtype: DType = "fp16",
        held_out: Sequence[Path] = (),
        force: bool = False,
    ) -> None:
        self.snapshots, self.dtype = snapshots_in(folder), dtype
        apart = {path.resolve() for path in held_out}
        self._used = [s for s in self.snapshots if s.path.resolve() not in apart]
        times = [_time(kimg, self.snapshots) for kimg in kimgs]
        wanted = [
            Profile(time, std)
            for time in dict.fromkeys(times or [self.snapshots[-1].profile.num_images])
            for std in dict.fromkeys(stds)
        ]
        header = self.snapshots[0].header
        self._constants = buffer_names(header.architecture, header.config)
        self.paths = {p: out / f"{_named(self.snapshots, p)}.safetensors" for p in wanted}
        self.there = [p for p in wanted if not force and self._is_there(p)]
        self.plan = FolderEMA(
            self.snapshots,
            [p for p in wanted if p not in self.there],
            [read_snapshot(path) for path in held_out],
            self._constants,
        )

    def _is_there(self, profile: Profile) -> bool:
        """Whether this very result was written before.

        Raises:
            UserError: where the file is another one.
        """
        path = self.paths[profile]
        if not path.exists():
            return False
        header = read_network_header(path)
        same = header.sources == sources_of(covering(self._used, profile))
        known = (header.num_images, header.ema) == (profile.num_images, profile.ema)
        if same and known and stored_dtypes(path, self._constants) == {_DTYPES[self.dtype]}:
            return True
        msg = (
            f"{path} exists and is not the {self.dtype} average of the snapshots in "
            f"{self.snapshots[0].path.parent}; "
            "name another --out, or --force replaces it"
        )
        raise UserError(msg)

    def run(
        self, progress: Callable[[int, int, str], None]
    ) -> tuple[Iterator[Made], list[HeldOut]]:
        """Read, then write each network as it is asked for.

        Raises:
            UserError: for damaged files, or averages beyond the range of the precision.
        """
        if not self.plan.wanted and not self.plan.held_out:
            return (Made(self.paths[p], p, None) for p in self.there), []
        if self.plan.wanted:
            make_folder(self.paths[self.plan.wanted[0]].parent)
        results, measured = self.plan.run(progress)
        return self._written(results), measured

    def _written(self, results: Iterator[Result]) -> Iterator[Made]:
        yield from (Made(self.paths[p], p, None) for p in self.there)
        for result in results:
            path = self.paths[result.profile]
            stored = {n: self._narrow(n, v) for n, v in result.file.tensors.items()}
            NetworkFile(result.file.header, stored).save(path)
            yield Made(path, result.profile, result.predicted)

    def _narrow(self, name: str, value: Tensor) -> Tensor:
        if name in self._constants:
            return value
        narrow = value.to(_DTYPES[self.dtype])
        if not bool(torch.isfinite(narrow).all()):
            msg = f"{name} has no finite values in {self.dtype}; use --dtype fp32"
            raise UserError(msg)
        return narrow


def _time(kimg: int, snapshots: Sequence[Snapshot]) -> int:
    """Images of a time given in thousands: a snapshot's own, where one has that name."""
    exact = {s.profile.num_images for s in snapshots if s.profile.num_images // 1000 == kimg}
    return min(exact) if exact else images_seen(kimg)


def _named(snapshots: Sequence[Snapshot], profile: Profile) -> str:
    found = _NAME.fullmatch(snapshots[0].path.stem)
    run = found["run"] if found else snapshots[0].path.parent.resolve().name
    return f"{run}-{profile.num_images // 1000:07d}-{profile.ema:.3f}"
