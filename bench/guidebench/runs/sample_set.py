"""A sample set alone: images of a row by seed, as a folder, a .zip or an ADM .npz.

Shapes: B samples of a batch, N of the set; H x W pixels, C channels.
"""

import io
import json
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, final

import numpy as np
import torch
from numpy.lib import format as npy
from numpy.typing import NDArray
from torch import Tensor
from typing_extensions import override

from guidebench.base import UserError, atomic_file, atomic_write, sweep_partial
from guidebench.runs.domains import AbstractDomain, Measured, Start
from guidebench.runs.domains._base import Arrays, require_contrast
from guidebench.runs.folder import Job
from guidebench.runs.sample import Sampler
from guidebench.runs.spec import Row

ABOUT: Final = "sample-set.json"
_EPOCH: Final = (1980, 1, 1, 0, 0, 0)  # equal images give equal archives
Progress = Callable[[int, int], None]


@final
class _DecodedOnly(AbstractDomain):
    """A domain whose samples are decoded and not measured: no feature network is needed."""

    def __init__(self, domain: AbstractDomain) -> None:
        self.domain = domain

    @override
    def start(self, seeds_B: Sequence[int], sigma_max: float, device: torch.device) -> Start:
        return self.domain.start(seeds_B, sigma_max, device)

    @override
    def decode(self, x: Tensor) -> NDArray[Any]:
        return self.domain.decode(x)

    @override
    def finish(self, x: Tensor, start: Start) -> dict[str, NDArray[Any]]:
        labels = None if start.asked_B is None else start.asked_B.cpu().numpy()
        samples = self.decode(x)
        if samples.ndim == 4:
            require_contrast(samples, start.seeds_B)
        return {"samples": samples} | ({} if labels is None else {"labels": labels})

    @override
    def real(self, seeds_n: Sequence[int]) -> dict[str, NDArray[Any]]:
        msg = "a row of real data has no sampler; name a row that samples"
        raise UserError(msg)

    @override
    def metric_names(self) -> dict[str, str]:
        return {}

    @override
    def measure(self, names: Sequence[str], repeats: Sequence[Arrays]) -> dict[str, Measured]:
        return {}

    @override
    def preview(self, arrays: Arrays, *, truth: bool) -> tuple[str, dict[str, NDArray[Any]]]:
        return "none", {}


@final
@dataclass(frozen=True, slots=True)
class SampleSet:
    """What is to be drawn, and where to."""

    row: Row
    sha256: str
    out: Path

    @property
    def about(self) -> dict[str, Any]:
        """What tells one set from another."""
        spec = self.row.spec
        return {
            "row": self.row.label,
            "spec_sha256": self.sha256,
            "first_seed": spec.first_seed,
            "num": spec.num_images,
        }


def draw(job: Job, out: Path, progress: Progress) -> None:
    """Sample the row's seeds, batch by batch, and write the set.

    A folder goes on where a killed call stopped; archives are whole or absent.

    Raises:
        UserError: for a suffix that is none of the three, points asked for as pictures, a place
            that holds something else, or samples that are not finite.
    """
    found = SampleSet(job.row, job.sha256, out)
    if out.suffix not in _WRITERS:
        msg = f"{out} ends in {out.suffix}; name a folder (no suffix), a .zip or an .npz"
        raise UserError(msg)
    if job.row.spec.domain == "fractal" and out.suffix != ".npz":
        msg = f"{job.row.label} samples points in the plane, no pictures; name an .npz"
        raise UserError(msg)
    if out.suffix and out.exists():
        msg = f"{out} is there already; name another file, or take it away"
        raise UserError(msg)
    if out.suffix:
        sweep_partial(out.parent)
    _WRITERS[out.suffix](found, _sampler(job), progress)


def _sampler(job: Job) -> Sampler:
    sampler = Sampler(job.row.spec)
    sampler.domain = _DecodedOnly(sampler.domain)
    return sampler


def _batches(sampler: Sampler, skip: Callable[[Sequence[int]], bool]) -> Iterator[
    tuple[Sequence[int], Mapping[str, NDArray[Any]] | None]
]:  # fmt: skip
    """Batches as a run cuts them, so that a seed's bits are the run's; None for what is there."""
    spec = sampler.spec
    seeds = range(spec.first_seed, spec.first_seed + spec.num_images)
    for start in range(0, len(seeds), spec.batch_size):
        batch = seeds[start : start + spec.batch_size]
        yield batch, None if skip(batch) else sampler.sample(batch).arrays


def _png(image_HWC: NDArray[np.uint8]) -> bytes:
    try:
        from PIL import Image  # noqa: PLC0415  an extra
    except ImportError as error:
        msg = "pillow is not installed; pip install 'guidebench[images]', or name an .npz"
        raise UserError(msg) from error
    buffer = io.BytesIO()
    pixels = image_HWC[..., 0] if image_HWC.shape[-1] == 1 else image_HWC
    Image.fromarray(pixels).save(buffer, "png")
    return buffer.getvalue()


def _to_folder(found: SampleSet, sampler: Sampler, progress: Progress) -> None:
    about = found.out / ABOUT
    text = (json.dumps(found.about, indent=2) + "\n").encode()
    ours = about.is_file() and about.read_bytes() == text
    empty = not found.out.exists() or (found.out.is_dir() and not any(found.out.iterdir()))
    if not ours and not empty:
        msg = f"{found.out} holds something else than {found.row.label}; name another folder"
        raise UserError(msg)
    atomic_write(about, text)
    sweep_partial(found.out)
    total = found.row.spec.num_images

    def path(seed: int) -> Path:
        return found.out / f"{seed:010d}.png"

    for seeds, arrays in _batches(sampler, lambda b: all(path(seed).is_file() for seed in b)):
        for seed, image in zip(seeds, () if arrays is None else arrays["samples"], strict=False):
            atomic_write(path(seed), _png(image))
        progress(seeds[-1] + 1 - found.row.spec.first_seed, total)


def _to_zip(found: SampleSet, sampler: Sampler, progress: Progress) -> None:
    with atomic_file(found.out) as partial, zipfile.ZipFile(partial, "w") as archive:
        archive.writestr(zipfile.ZipInfo(ABOUT, _EPOCH), json.dumps(found.about, indent=2))
        for seeds, arrays in _batches(sampler, lambda _: False):
            assert arrays is not None
            for seed, image in zip(seeds, arrays["samples"], strict=True):
                archive.writestr(zipfile.ZipInfo(f"{seed:010d}.png", _EPOCH), _png(image))
            progress(seeds[-1] + 1 - found.row.spec.first_seed, found.row.spec.num_images)


def _to_npz(found: SampleSet, sampler: Sampler, progress: Progress) -> None:
    """arr_0 samples and, where there are labels, arr_1: as ADM's evaluator reads them."""
    num, labels = found.row.spec.num_images, []
    batches = _batches(sampler, lambda _: False)
    with atomic_file(found.out) as partial, zipfile.ZipFile(partial, "w") as archive:
        with archive.open(zipfile.ZipInfo("arr_0.npy", _EPOCH), "w", force_zip64=True) as member:
            for place, (seeds, arrays) in enumerate(batches):
                assert arrays is not None
                samples = np.ascontiguousarray(arrays["samples"])
                if not place:
                    shape = (num, *samples.shape[1:])
                    kind = {"descr": samples.dtype.str, "fortran_order": False, "shape": shape}
                    npy.write_array_header_1_0(member, kind)
                member.write(samples.tobytes())
                labels.append(arrays.get("labels", np.zeros(0, np.int64)))
                progress(seeds[-1] + 1 - found.row.spec.first_seed, num)
        joined = np.concatenate(labels)
        if len(joined):
            buffer = io.BytesIO()
            np.save(buffer, joined)
            archive.writestr(zipfile.ZipInfo("arr_1.npy", _EPOCH), buffer.getvalue())


_WRITERS: Final[Mapping[str, Callable[[SampleSet, Sampler, Progress], None]]] = {
    "": _to_folder,
    ".zip": _to_zip,
    ".npz": _to_npz,
}
