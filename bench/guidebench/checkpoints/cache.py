"""Where published files lie on this machine. No torch, no requests.

downloads/FILE                  as published, read once by the conversion
networks/NAME.safetensors       converted networks
references/NAME.safetensors     imported reference statistics
weights/...                     feature networks and the VAE, used as published
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, final

from guidebench.base import UserError, cache_folder
from guidebench.checkpoints.catalog import Entry, RemoteFile, find_entry


@final
@dataclass(frozen=True, slots=True)
class Status:
    """Whether a named file can be used, was downloaded, or is missing.

    `bytes` are those on disk; for a missing file the expected size, None where not known.
    """

    state: Literal["present", "downloaded", "missing"]
    path: Path
    bytes: int | None


def network_path(name: str) -> Path:
    """Where the converted network lies or will lie."""
    return cache_folder() / "networks" / f"{_plain(name)}.safetensors"


def reference_path(name: str) -> Path:
    """Where the imported reference statistics lie or will lie."""
    return cache_folder() / "references" / f"{_plain(name)}.safetensors"


def weights_path(name: str) -> Path:
    """The file of a feature network, or the folder of the VAE.

    Raises:
        UserError: for a name that the catalog does not have.
    """
    paths = [download_path(file) for file in find_entry(name).files]
    return paths[0] if len(paths) == 1 else paths[0].parent


def download_path(file: RemoteFile) -> Path:
    """Where a file lies as published."""
    return cache_folder() / file.file


def ready_path(entry: Entry) -> Path:
    """What a run opens: the converted file, or the weights as published."""
    if entry.kind == "network":
        return network_path(entry.name)
    return reference_path(entry.name) if entry.kind == "reference" else weights_path(entry.name)


def status(name: str) -> Status:
    """Where a name stands; looks at the disk only.

    Raises:
        UserError: for a name that the catalog does not have.
    """
    return entry_status(find_entry(name))


def entry_status(entry: Entry) -> Status:
    """Where an entry stands; a VAE without all of its files is missing."""
    path, files = ready_path(entry), [download_path(file) for file in entry.files]
    if entry.kind in {"network", "reference"} and path.is_file():
        return Status("present", path, path.stat().st_size)
    if all(file.is_file() for file in files):
        done = entry.kind in {"features", "vae"}
        size = sum(file.stat().st_size for file in files)
        return Status("present" if done else "downloaded", path, size)
    return Status("missing", path, entry.expected_bytes)


def _plain(name: str) -> str:
    if not name or name.startswith(".") or set(name) & set("/\\\0"):
        msg = f"{name!r} cannot name a file of the cache; names have no slash and no leading dot"
        raise UserError(msg)
    return name
