"""Digests of files once seen: trust on first use, in a file that a user can commit.

guidebench.lock.json maps a file of the cache to its URL, SHA-256, size and the day it was
first seen. Where it knows a digest, nothing else is accepted.
"""

import json
import os
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, Literal, final

from filelock import SoftFileLock, Timeout
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from guidebench.base import UserError, atomic_write, cache_folder
from guidebench.checkpoints.catalog import RemoteFile

LOCK: Final = "GUIDEBENCH_LOCK"
LOCK_NAME: Final = "guidebench.lock.json"
_SECONDS: Final = 30  # an update takes milliseconds

Via = Literal["url", "mirror", "folder", "hand"]


@final
class Seen(BaseModel):
    """What was seen of a file when it first came, and which way it came."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    url: str
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    bytes: int = Field(ge=0)
    via: Via
    first_seen: str


class OtherBytesError(UserError):
    """A file's digest is not the one known."""


_Entries: Final = TypeAdapter(dict[str, Seen])


def lock_path() -> Path:
    """What GUIDEBENCH_LOCK names, else ./guidebench.lock.json if there, else the cache's own."""
    if given := os.environ.get(LOCK):
        return Path(given).expanduser()
    here = Path(LOCK_NAME)
    return here if here.is_file() else cache_folder() / LOCK_NAME


def read_lock(path: Path) -> dict[str, Seen]:
    """All entries; none where there is no such file.

    Raises:
        UserError: for a file that cannot be read or is not a lock file.
    """
    try:
        return _Entries.validate_json(path.read_bytes())
    except FileNotFoundError:
        return {}
    except (OSError, ValidationError) as error:
        msg = f"{path} is not a readable lock file; restore it, or delete it to trust files anew"
        raise UserError(msg) from error


def expected_sha256(file: RemoteFile) -> str | None:
    """The digest that a file must have: the catalog's, else the lock file's, else None.

    Raises:
        UserError: for an unreadable lock file.
    """
    seen = read_lock(lock_path()).get(file.file)
    return file.sha256 or (seen.sha256 if seen else None)


def agree(file: RemoteFile, sha256: str, num_bytes: int, via: Via) -> None:
    """Check a file's digest against the known one; record it where none is known.

    Entries of other processes are kept.

    Args:
        file: Which file.
        sha256: The digest found.
        num_bytes: The size found.
        via: How the file came.

    Raises:
        OtherBytesError: where another digest is known, with both.
        UserError: for a lock file that cannot be read or written.
    """
    path = lock_path()
    _check(file, sha256, read_lock(path), path)
    if file.file in read_lock(path):
        return
    today = datetime.now(UTC).date().isoformat()
    entry = Seen(url=file.url, sha256=sha256, bytes=num_bytes, via=via, first_seen=today)

    def add() -> None:
        entries = read_lock(path)
        _check(file, sha256, entries, path)
        entries.setdefault(file.file, entry)
        fields = {key: seen.model_dump() for key, seen in sorted(entries.items())}
        atomic_write(path, (json.dumps(fields, indent=2) + "\n").encode())

    _alone(path, add)


def _check(file: RemoteFile, sha256: str, entries: dict[str, Seen], path: Path) -> None:
    seen = entries.get(file.file)
    expected = file.sha256 or (seen.sha256 if seen else sha256)
    if sha256 == expected:
        return
    way_out = (
        "try again, or another mirror"
        if file.sha256
        else f"where the publisher replaced the file, delete its entry in {path}"
    )
    msg = f"{Path(file.file).name} has SHA-256 {sha256}, expected {expected}; {way_out}"
    raise OtherBytesError(msg)


def _alone(path: Path, change: Callable[[], None]) -> None:
    """Make a change while no other process does.

    By exclusive creation, which also holds on file systems whose flock lets everybody through.
    """
    marker = path.with_name(f".{path.name}.lock")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with SoftFileLock(marker, timeout=_SECONDS):
            change()
    except Timeout as error:
        msg = f"{marker} was held for {_SECONDS} s; delete it if no other guidebench runs"
        raise UserError(msg) from error
    except OSError as error:
        msg = f"cannot write {path}: {error.strerror or error}; name another by {LOCK}"
        raise UserError(msg) from error
