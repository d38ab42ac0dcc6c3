"""Features of all images of a source in one pass, and reference statistics from them.

Work is kept every few thousand images: the same call goes on where a killed one stopped, and
gives the same bits, for sums are taken over spans of fixed size in order.

Shapes: N images, D features.
"""

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, final

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from guidebench.base import atomic_write, canonical_json, sha256_bytes
from guidebench.metrics.images import ImageSource, batches, fitting_batch
from guidebench.metrics.moments import MomentSums
from guidebench.metrics.reference import ReferenceFile, Statistics

if TYPE_CHECKING:
    from guidebench.metrics.features import Extractor

SPAN: Final = 1024
"""Images whose features are summed at once."""

_BATCH: Final = 32  # as the extractors' own: 25 MB of 512 x 512 images
_KEEP_EVERY: Final = 4  # spans
Features = dict[str, NDArray[np.float32]]
Progress = Callable[[int, int], None]


@final
@dataclass(frozen=True, slots=True, eq=False)
class Passed:
    """Features [N, D] by metric, of images whose digest and size (height, width) are these."""

    features: Features
    digest: str
    resolution: tuple[int, int]


def features_of(
    source: ImageSource,
    extractors: "Mapping[str, Extractor]",
    *,
    workers: int,
    sampled: bool = True,
    progress: Progress = lambda *_: None,
) -> Passed:
    """Decode every image once and give it to all extractors.

    Args:
        source: The images.
        extractors: By metric.
        workers: Decoding processes.
        sampled: Whether a network made the images; see `batches`.
        progress: Called with images done and in all.

    Raises:
        UserError: for an image that cannot be used, by name.
    """
    found: Features = {
        name: np.empty((len(source), extractor.dim), np.float32)
        for name, extractor in extractors.items()
    }
    digest, size, done = b"", (0, 0), 0
    fitting = fitting_batch(source, _BATCH)
    for batch in batches(source, batch_size=fitting, workers=workers, sampled=sampled):
        for name, extractor in extractors.items():
            found[name][done : batch.end] = extractor.extract(batch.images_BHWC)
        digest, size, done = batch.digest, batch.images_BHWC.shape[1:3], batch.end
        progress(done, len(source))
    return Passed(found, digest.hex(), (int(size[0]), int(size[1])))


def build_reference(
    source: ImageSource,
    extractors: "Mapping[str, Extractor]",
    *,
    name: str,
    state: Path,
    workers: int,
    progress: Progress = lambda *_: None,
) -> ReferenceFile:
    """Mean and covariance of each extractor's features over all images of a source.

    Args:
        source: The images.
        extractors: By metric.
        name: What the reference is called.
        state: A file that keeps the work so far; deleted at the end.
        workers: Decoding processes.
        progress: Called with images done and in all.

    Raises:
        UserError: for an image that cannot be used, by name, or fewer than two images.
    """
    work = _Work.load(state, _question(source, extractors), extractors)
    if work.done and not _is_of(work, source, workers):
        state.unlink()
        work = _Work(work.question, extractors)
    found = batches(
        source, batch_size=fitting_batch(source, _BATCH), workers=workers,
        start=work.done, digest=work.digest, sampled=False,
    )  # fmt: skip
    waiting: dict[str, list[NDArray[np.float32]]] = {metric: [] for metric in extractors}
    for batch in found:
        for metric, extractor in extractors.items():
            waiting[metric].append(extractor.extract(batch.images_BHWC))
        progress(batch.end, len(source))
        if batch.end % SPAN and batch.end < len(source):
            continue
        for metric, rows in waiting.items():
            work.sums[metric].update(np.concatenate(rows))
            rows.clear()
        work.done, work.digest = batch.end, batch.digest
        work.size = (int(batch.images_BHWC.shape[1]), int(batch.images_BHWC.shape[2]))
        if work.done % (_KEEP_EVERY * SPAN) == 0:
            work.save(state, source.stamp(work.done))
    statistics = {}
    for metric, extractor in extractors.items():
        moments = work.sums[metric].finish()
        cov_DD = (moments.cov_DD + moments.cov_DD.T) / 2
        statistics[metric] = Statistics(moments.mean_D, cov_DD, extractor.name, extractor.id)
    made = ReferenceFile(
        name=name,
        num_images=work.done,
        source_file=source.path.name,
        source_sha256=source.listing,
        statistics=statistics,
        dataset_sha256=work.digest.hex(),
        resolution=work.size,
    )
    state.unlink(missing_ok=True)
    return made


def _is_of(work: "_Work", source: ImageSource, workers: int) -> bool:
    """Whether the images done are these: untouched since, or the same pixels when decoded again."""
    if work.stamp and work.stamp == source.stamp(work.done):
        return True
    digest, fitting = b"", fitting_batch(source, _BATCH)
    for batch in batches(source, batch_size=fitting, workers=workers, end=work.done, sampled=False):
        digest = batch.digest
    return digest == work.digest


def _question(source: ImageSource, extractors: "Mapping[str, Extractor]") -> str:
    """Digest of what is being made: kept work of another question is not gone on with."""
    ids = {metric: extractor.id for metric, extractor in extractors.items()}
    return sha256_bytes(canonical_json([source.listing, ids, SPAN]))


@final
class _Work:
    """Sums so far, of how many images, and their digest."""

    def __init__(self, question: str, extractors: "Mapping[str, Extractor]") -> None:
        self.question, self.done, self.digest, self.size = question, 0, b"", (0, 0)
        self.stamp = ""
        self.sums = {metric: MomentSums(e.dim) for metric, e in extractors.items()}

    @classmethod
    def load(cls, path: Path, question: str, extractors: "Mapping[str, Extractor]") -> "_Work":
        """From a file that answers the same question; else from nothing."""
        work = cls(question, extractors)
        if not path.is_file():
            return work
        try:
            with safe_open(path, framework="np") as file:
                facts = json.loads((file.metadata() or {})["work"])
                if facts["question"] != question:
                    return work
                for metric, sums in work.sums.items():
                    sums.sum_D = file.get_tensor(f"{metric}/sum")
                    sums.outer_DD = file.get_tensor(f"{metric}/outer")
                    sums.count = facts["done"]
            work.done, work.digest = facts["done"], bytes.fromhex(facts["digest"])
            work.size, work.stamp = tuple(facts["size"]), str(facts["stamp"])
            if facts["sums"] != work.sums_sha256():
                return cls(question, extractors)
        except (OSError, SafetensorError, KeyError, TypeError, ValueError):
            return cls(question, extractors)  # damaged: nothing is lost but time
        return work

    def sums_sha256(self) -> str:
        """Of all sums: a changed bit of kept work would be in the statistics for good."""
        found = hashlib.sha256()
        for metric in sorted(self.sums):
            found.update(np.ascontiguousarray(self.sums[metric].sum_D).tobytes())
            found.update(np.ascontiguousarray(self.sums[metric].outer_DD).tobytes())
        return found.hexdigest()

    def save(self, path: Path, stamp: str) -> None:
        """Write whole or not at all; `stamp` is of the images done."""
        facts = {
            "question": self.question,
            "done": self.done,
            "digest": self.digest.hex(),
            "size": self.size,
            "stamp": stamp,
            "sums": self.sums_sha256(),
        }
        arrays = {f"{metric}/sum": sums.sum_D for metric, sums in self.sums.items()}
        arrays |= {f"{metric}/outer": sums.outer_DD for metric, sums in self.sums.items()}
        atomic_write(path, save(arrays, {"work": json.dumps(facts)}))
