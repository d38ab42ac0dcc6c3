"""Files that are whole or absent: written beside the target, synced, then renamed."""

import hashlib
import json
import os
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from guidebench.base.errors import disk_errors
from guidebench.base.process import host_id, is_alive

PARTIAL = ".partial"
_ABANDONED_SECONDS = 86_400.0
_PAGE = 4096  # a full disk may still take an empty file


def atomic_write(path: Path, data: bytes) -> None:
    """Write `data` to `path` so that any reader, and any crash, sees all of it or none.

    Raises:
        UserError: where the file system refuses; nothing is left behind.
    """
    with atomic_file(path) as partial:
        partial.write_bytes(data)


@contextmanager
def atomic_file(path: Path) -> Iterator[Path]:
    """A temporary path to write to; it becomes `path` when the block ends without an error.

    Each call has a temporary file of its own in the same folder, so that two writers never
    share one: a lock is not needed for correctness.

    Raises:
        UserError: where the file system refuses; nothing is left behind.
    """
    partial = partial_path(path)
    with disk_errors(path):
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            yield partial
            _sync(partial)
            partial.replace(path)
            _sync(path.parent)
        except BaseException:
            with suppress(OSError):  # the folder itself may be what is wrong
                partial.unlink()
            raise


def partial_path(path: Path) -> Path:
    """A name beside `path` that is this call's alone and that `sweep_partial` knows."""
    writer = f"{host_id()}.{os.getpid()}.{secrets.token_hex(4)}"
    return path.with_name(f".{path.name}.{writer}{PARTIAL}")


def make_folder(folder: Path) -> None:
    """Make `folder`, clear what killed writers left in it, and find out whether it can be written.

    To be called before long work, so that a full or read-only disk is told of at once.

    Raises:
        UserError: where the file system refuses.
    """
    with disk_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
    require_writable(folder)
    sweep_partial(folder)


def require_writable(folder: Path) -> None:
    """Find out before long work whether files can be written to `folder`, or where it is to be.

    Raises:
        UserError: where the file system refuses.
    """
    there = next(path for path in (folder.absolute(), *folder.absolute().parents) if path.is_dir())
    probe = partial_path(there / "probe")
    with disk_errors(folder):
        try:
            probe.write_bytes(bytes(_PAGE))
            _sync(probe)
        finally:
            with suppress(OSError):
                probe.unlink()


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sweep_partial(folder: Path) -> int:
    """Delete what killed writers left in `folder`; returns how many files that were.

    Files of other processes that still run are left alone: they are being written. Whether one
    of another host runs cannot be known, so its file is left until it is a day old.
    """
    try:
        there = list(folder.glob(f".*{PARTIAL}"))
    except FileNotFoundError:  # another process cleared the folder away just now
        return 0
    left = [path for path in there if not _being_written(path)]
    for path in left:
        path.unlink(missing_ok=True)
    return len(left)


def _being_written(partial: Path) -> bool:
    _, *writer = partial.name.removesuffix(PARTIAL).rsplit(".", 3)
    host, process = writer[0], writer[1] if len(writer) > 1 else ""
    if host != host_id():
        try:
            return time.time() - partial.stat().st_mtime < _ABANDONED_SECONDS
        except FileNotFoundError:  # finished just now
            return True
    return process.isdecimal() and int(process) != os.getpid() and is_alive(int(process))


def sha256_bytes(data: bytes) -> str:
    """SHA-256 as 64 hexadecimal digits."""
    return hashlib.sha256(data).hexdigest()


def sha256_file(path: Path) -> str:
    """SHA-256 of a file, read in pieces, as 64 hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def ordered_safetensors(data: bytes) -> bytes:
    """The same safetensors file with sorted header keys, so that equal tensors give equal bytes.

    The library's own order differs from call to call.
    """
    start = 8 + int.from_bytes(data[:8], "little")
    header = _sorted_header(data[8:start])
    header += b" " * (-len(header) % 8)  # tensors stay aligned
    return len(header).to_bytes(8, "little") + header + data[start:]


def order_header(path: Path) -> None:
    """`ordered_safetensors` for a file, in place: only its header is read and written.

    Raises:
        AssertionError: where the library writes JSON of another length than ours.
    """
    with path.open("r+b") as file:
        length = int.from_bytes(file.read(8), "little")
        ordered = _sorted_header(file.read(length))
        assert len(ordered) <= length, "the library's header is shorter than ours"
        file.seek(8)
        file.write(ordered.ljust(length))


def _sorted_header(header: bytes) -> bytes:
    """As canonical JSON, but with letters beyond ASCII as they are: the library writes them so."""
    fields = json.loads(header)
    return json.dumps(fields, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def canonical_json(value: object) -> bytes:
    """JSON with sorted keys, no spaces and no NaN: equal values give equal bytes."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()
