"""Published pickles to safetensors, checked against the network that they are for."""

from collections.abc import Mapping
from pathlib import Path
from typing import Final

from guidebench.base import UserError, make_folder
from guidebench.checkpoints.legacy_pickle import read_network, read_reference
from guidebench.checkpoints.network_file import NetworkFile, NetworkHeader
from guidebench.metrics.features.catalog import known_extractor
from guidebench.metrics.reference import DEFAULT_DIMS, DEFAULT_EXTRACTORS, ReferenceFile, Statistics
from guidebench.networks.registry import expected_shapes

_SHOWN: Final = 3


def convert_network(
    pickle_path: Path, out_path: Path, expected_sha256: str | None = None
) -> NetworkHeader:
    """Write one published network as safetensors, tensors bit for bit. Returns its header.

    Raises:
        UserError: for a file that is refused, another one than expected, or tensors that are not
            those of the network that it describes; nothing is written then.
    """
    file = read_network(pickle_path, expected_sha256)
    require_fit(file, pickle_path)
    make_folder(out_path.parent)
    file.save(out_path)
    return file.header


def require_fit(file: NetworkFile, path: Path) -> None:
    """Check names and shapes of all tensors against the architecture, on meta tensors.

    Raises:
        UserError: that names what is missing, left over or of another shape.
    """
    expected = expected_shapes(file.header.architecture, file.header.config)
    found = {name: tuple(value.shape) for name, value in file.tensors.items()}
    if found == expected:
        return
    wrong = sorted(n for n in expected.keys() | found.keys() if expected.get(n) != found.get(n))
    shown = ", ".join(
        f"{n} is {found.get(n, 'missing')}, expected {expected.get(n, 'none')}"
        for n in wrong[:_SHOWN]
    )
    msg = f"{path} is refused: {len(wrong)} of its tensors are not the network's ({shown})"
    raise UserError(msg)


def import_reference(
    pickle_path: Path,
    out_path: Path,
    extractors: Mapping[str, str] | None = None,
    resolution: tuple[int, int] | None = None,
    *,
    of_any_size: bool = True,
) -> ReferenceFile:
    """Write published reference statistics as safetensors.

    Args:
        pickle_path: A file in the format of the EDM2 papers.
        out_path: Where to write.
        extractors: Which feature network made the statistics of a metric, where it was not the
            papers' own.
        resolution: Height and width of the images, which the file does not say.
        of_any_size: Whether to believe a metric of another number of features than its network
            has, without `extractors`; a digest vouches for published files.

    Raises:
        UserError: for a file that is refused, or extractors that it or we do not know.
    """
    found, source = read_reference(pickle_path)
    made_by = DEFAULT_EXTRACTORS | dict(extractors or {})
    if unknown := set(extractors or {}) - set(found.statistics):
        there = ", ".join(found.statistics)
        msg = f"{pickle_path} has no statistics {min(unknown)}; it has {there}"
        raise UserError(msg)
    for metric, statistics in found.statistics.items():
        dim, expected = len(statistics.mu_D), DEFAULT_DIMS[metric]
        if not of_any_size and dim != expected and metric not in (extractors or {}):
            msg = (
                f"{pickle_path}: {metric} has {dim} features, {DEFAULT_EXTRACTORS[metric]} has "
                f"{expected}; say which network made them: --extractor {metric}=NAME"
            )
            raise UserError(msg)
    for name in (extractors or {}).values():
        known_extractor(name)
    file = ReferenceFile(
        name=pickle_path.stem,
        num_images=found.num_images,
        source_file=source.file,
        source_sha256=source.sha256,
        statistics={
            metric: Statistics(s.mu_D, s.sigma_DD, made_by[metric])
            for metric, s in found.statistics.items()
        },
        resolution=resolution,
    )
    file.save(out_path)
    return file


def load_converted(path: Path) -> NetworkFile:
    """A converted network whose tensors fit it.

    Raises:
        UserError: where they do not, or the file cannot be read.
    """
    file = NetworkFile.load(path)
    require_fit(file, path)
    return file


def dtypes_of(file: NetworkFile) -> str:
    """Stored precisions with the number of scalars in each, in words."""
    counts: dict[object, int] = {}
    for value in file.tensors.values():
        counts[value.dtype] = counts.get(value.dtype, 0) + value.numel()
    return ", ".join(f"{str(d).removeprefix('torch.')} {n:,}" for d, n in counts.items())
