"""References in the cache: built from images, described, and written for other tools."""

import io
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final, final

import numpy as np

from guidebench.base import UserError, atomic_write, cache_folder, make_folder, sha256_file
from guidebench.checkpoints.cache import reference_path
from guidebench.checkpoints.legacy_pickle import written_reference
from guidebench.metrics.build import build_reference
from guidebench.metrics.images import ImageSource, batches, fitting_batch
from guidebench.metrics.names import ImageMetric
from guidebench.metrics.reference import DEFAULT_EXTRACTORS, ReferenceFile
from guidebench.runs.extractors import extractors_for

_BATCH: Final = 32
_SUFFIX: Final = ".safetensors"
_KEY: Final = re.compile("[0-9a-f]{8,64}")


@final
class Build:
    """A reference to be built into the cache.

    Raises:
        UserError: for missing weights, or a reference of that name made from something else.
    """

    def __init__(
        self, source: ImageSource, metrics: Sequence[ImageMetric], name: str, device: str
    ) -> None:
        by_name = extractors_for(metrics, device)
        self.source, self.name = source, name
        self.extractors = {metric.name: by_name[metric.extractor] for metric in metrics}
        self.path = reference_path(name)

    def is_there(self, workers: int, progress: Callable[[int, int], None]) -> bool:
        """Whether it was built from these images, pixel by pixel, by these extractors.

        Images are decoded for that and no network runs: equal names and sizes prove nothing.

        Raises:
            UserError: where the name is taken by another one.
        """
        if not self.path.is_file():
            return False
        file = ReferenceFile.load(self.path)
        made = {metric: s.extractor_id for metric, s in file.statistics.items()}
        asked = {metric: e.id for metric, e in self.extractors.items()}
        if (file.source_sha256, made) == (self.source.listing, asked):
            digest, largest = b"", fitting_batch(self.source, _BATCH)
            for batch in batches(self.source, batch_size=largest, workers=workers, sampled=False):
                digest = batch.digest
                progress(batch.end, len(self.source))
            if digest.hex() == file.dataset_sha256:
                return True
        msg = f"{self.path} was made from other images or features; give another --name"
        raise UserError(msg)

    def run(self, workers: int, progress: Callable[[int, int], None]) -> ReferenceFile:
        """Build and store it.

        Raises:
            UserError: for an image that cannot be used, by name.
        """
        make_folder(self.path.parent)
        state = self.path.with_name(f".{self.name}.building")
        made = build_reference(
            self.source, self.extractors,
            name=self.name, state=state, workers=workers, progress=progress,
        )  # fmt: skip
        made.save(self.path)
        return made


def find_reference(name: str) -> Path:
    """A reference by its name in the cache, by the first digits of its key, or a file.

    Raises:
        UserError: where there is none, or the digits fit several.
    """
    path = Path(name) if name.endswith(_SUFFIX) else reference_path(name)
    if path.is_file():
        return path
    keyed = [p for p in stored_references() if _KEY.fullmatch(name) and _key(p).startswith(name)]
    if len(keyed) == 1:
        return keyed[0]
    which = "are several references" if keyed else "is no reference"
    there = ", ".join(p.stem for p in keyed or stored_references()) or "none"
    msg = (
        f"there {which} {name} ({path}); the cache has {there}; `guidebench reference build` or "
        "`reference import` makes one"
    )
    raise UserError(msg)


def _key(path: Path) -> str:
    try:
        return ReferenceFile.load(path).key or ""
    except UserError:  # a damaged one has no key and is in nobody's way
        return ""


def stored_references() -> list[Path]:
    """All references in the cache, by name."""
    return sorted((cache_folder() / "references").glob(f"*{_SUFFIX}"))


def described(path: Path) -> dict[str, Any]:
    """Everything that a reference says of itself.

    Raises:
        UserError: for a file that cannot be read, or is not whole.
    """
    file = ReferenceFile.load(path)
    return {
        "name": file.name,
        "key": file.key,
        "num_images": file.num_images,
        "resolution": file.resolution,
        "dataset_sha256": file.dataset_sha256,
        "source": file.source_file,
        "sha256": sha256_file(path),
        "statistics": {
            metric: f"{s.extractor_id or s.extractor}, {len(s.mean_D)} features"
            for metric, s in file.statistics.items()
        },
    }


def export(path: Path, out: Path, *, force: bool) -> str:
    """Write a reference in another tool's layout; returns what was written, in words.

    Raises:
        UserError: for an unknown suffix, a layout that cannot hold it, or a file in the way.
    """
    file = ReferenceFile.load(path)
    if out.exists() and not force:
        msg = f"{out} exists; --force replaces it"
        raise UserError(msg)
    known = {m: (s.mean_D, s.cov_DD) for m, s in file.statistics.items()
             if DEFAULT_EXTRACTORS.get(m) == s.extractor}  # fmt: skip
    if out.suffix == ".pkl" and known:
        atomic_write(out, written_reference(file.num_images, known))
        return f"{out}: EDM2's layout, {', '.join(known)}"
    if out.suffix == ".npz" and "fid" in known:
        buffer = io.BytesIO()
        mean_D, cov_DD = known["fid"]
        np.savez(buffer, mu=mean_D, sigma=cov_DD)
        atomic_write(out, buffer.getvalue())
        return (
            f"{out}: mu and sigma of fid, as EDM and ADM name them; ADM's own evaluator also "
            "asks for sFID's, which are not here"
        )
    holds = ", ".join(f"{m} of {s.extractor}" for m, s in file.statistics.items())
    msg = (
        f"{path} holds {holds}; a .pkl takes fid and fd_dinov2 of the papers' "
        f"networks, an .npz takes fid, got {out.name}"
    )
    raise UserError(msg)
