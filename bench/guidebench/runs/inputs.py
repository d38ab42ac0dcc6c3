"""The files that a row needs, and the digest of everything that its numbers depend on. No torch."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final, Literal, final

from guidebench.base import UserError, canonical_json, sha256_bytes, sha256_file
from guidebench.checkpoints.builtin import builtin_file
from guidebench.checkpoints.cache import network_path, reference_path, status, weights_path
from guidebench.checkpoints.network_file import read_network_header
from guidebench.metrics.names import has_published_weights, image_metric, own_extractors
from guidebench.metrics.reference import require_extractor, require_size
from guidebench.runs.spec import CheckpointRef, NetworkRef, RunSpec

NUMERICS_VERSION: Final = 3
"""Raised by every change of code that moves a sample or a metric; part of each run's digest."""

_ENGINE_VERSIONS: Final = {"compiled": 2}
"""The same for changes of one engine; an engine that is not named is at its first version."""

STABILITY_VAE: Final = "sd-vae-ft-mse"
_VAE_SCALE: Final = 8  # pixels a latent's side
_FOR_REPORTS: Final = {"title", "role", "curves", "published", "engine_reason"}
_LATER_FIELDS: Final = ("reference", "streams")  # left out where empty: older digests still hold
_SUFFIX: Final = ".safetensors"


@final
@dataclass(frozen=True, slots=True)
class Input:
    """A file of the cache, or the user's own, that a row of images needs."""

    name: str
    kind: Literal["network", "reference", "features", "vae"]
    path: Path

    @property
    def present(self) -> bool:
        """Whether it is there, a folder with all of its files."""
        if self.kind in {"features", "vae"}:
            return status(self.name).state == "present"
        return self.path.is_file()

    @property
    def files(self) -> tuple[Path, ...]:
        """The file, or all files of the folder in order."""
        return tuple(sorted(self.path.iterdir())) if self.path.is_dir() else (self.path,)


def checkpoint_path(name: str) -> Path:
    """Where the network lies that a `CheckpointRef` names: in the cache, or at the path given."""
    return Path(name) if name.endswith(_SUFFIX) else network_path(name)


def inputs_of(spec: RunSpec) -> tuple[Input, ...]:
    """Every file that a row of images needs, networks first; none for the other domains."""
    if spec.domain != "images":
        return ()
    names = [ref.checkpoint for ref in spec.networks.values() if isinstance(ref, CheckpointRef)]
    networks = [Input(n, "network", checkpoint_path(n)) for n in dict.fromkeys(names)]
    assert spec.reference is not None
    own = spec.reference.endswith(_SUFFIX)
    path = Path(spec.reference) if own else reference_path(spec.reference)
    extractors = dict.fromkeys(image_metric(name).extractor for name in spec.metrics)
    weights = [
        Input(n, "features", weights_path(n)) for n in extractors if has_published_weights(n)
    ]
    vae = [Input(STABILITY_VAE, "vae", weights_path(STABILITY_VAE))] if _needs_vae(networks) else []
    return (*networks, Input(spec.reference, "reference", path), *weights, *vae)


def _needs_vae(networks: Sequence[Input]) -> bool:
    """From the header where a network is there, else from its published name."""
    main = networks[0]
    if not main.present:
        return "-img512-" in main.name
    encoder = read_network_header(main.path).encoder
    return encoder is not None and encoder.kind == "stability-vae"


def require_inputs(spec: RunSpec, label: str, *, measured: bool = True) -> None:
    """Find out before anything is made whether all files are there, and the reference fits.

    Without `measured` only what makes samples is asked for: networks and the VAE.

    Raises:
        UserError: that names what is missing and the command that fetches it.
    """
    makers = {"network", "vae"}
    inputs = [i for i in inputs_of(spec) if measured or i.kind in makers]
    missing = [i for i in inputs if not i.present]
    if not missing:
        for reference in (i for i in inputs if i.kind == "reference"):
            _require_fit(spec, reference.path)
        return
    own = [i for i in missing if str(i.path) == i.name]
    if own:
        made = "reference import" if own[0].kind == "reference" else "checkpoint convert"
        msg = (
            f"{label} names {own[0].path}, which is not there; `guidebench {made}` makes one from "
            "an official file"
        )
        raise UserError(msg)
    files = f"{len(missing)} file{'s' * (len(missing) > 1)}"
    msg = (
        f"{label} needs {files} that the cache does not have; "
        f"fetch by `guidebench checkpoint fetch {' '.join(i.name for i in missing)}`"
    )
    raise UserError(msg)


def _require_fit(spec: RunSpec, reference: Path) -> None:
    for metric in map(image_metric, spec.metrics):
        if metric.kind != "is":
            require_extractor(reference, metric.extractor)
    main = spec.networks["main"]
    assert isinstance(main, CheckpointRef)
    header = read_network_header(checkpoint_path(main.checkpoint))
    latent = header.encoder is not None and header.encoder.kind == "stability-vae"
    side = int(header.config["img_resolution"]) * (_VAE_SCALE if latent else 1)
    require_size(reference, side, side)


def resolve(spec: RunSpec, *, threads: int) -> dict[str, Any]:
    """Everything that the numbers depend on, digests of all files included, as plain JSON.

    Raises:
        UserError: where a shipped file is missing or was altered.
    """
    fields = spec.model_dump(mode="json", exclude=_FOR_REPORTS)
    for name in _LATER_FIELDS:
        if fields[name] is None:
            del fields[name]
    for network in fields["networks"].values():
        if network["precision"] is None:
            del network["precision"]
    names = {ref.name for ref in spec.networks.values() if isinstance(ref, NetworkRef)}
    names |= {"digits-classifier"} if spec.domain == "digits" else set()
    files = {name: builtin_file(name)[1] for name in sorted(names)}
    files |= {i.name: _digest(i.files) for i in inputs_of(spec) if i.present}
    files |= _own_extractors(spec)
    if spec.engine in _ENGINE_VERSIONS:
        fields["engine_version"] = _ENGINE_VERSIONS[spec.engine]
    return fields | {
        "files": files,
        "numerics_version": NUMERICS_VERSION,
        "threads_per_rank": threads,
        "torch": version("torch"),
    }


def _own_extractors(spec: RunSpec) -> dict[str, str]:
    """What names the user's own feature networks: where the code is, and its version."""
    if spec.domain != "images":
        return {}
    names = {image_metric(name).extractor for name in spec.metrics}
    own = {name: entry for name, entry in own_extractors().items() if name in names}
    return {
        name: f"{e.value} {e.dist.name} {e.dist.version}" if e.dist else e.value
        for name, e in sorted(own.items())
    }


def _digest(files: tuple[Path, ...]) -> str:
    digests = [_file_digest(str(f), f.stat().st_size, f.stat().st_mtime_ns) for f in files]
    return digests[0] if len(digests) == 1 else sha256_bytes(canonical_json(digests))


@lru_cache(maxsize=256)
def _file_digest(path: str, size: int, modified: int) -> str:
    del size, modified  # part of the key: rows of one suite share gigabytes of networks
    return sha256_file(Path(path))


def spec_sha256(resolved: dict[str, Any]) -> str:
    """Digest of a resolved spec."""
    return sha256_bytes(canonical_json(resolved))
