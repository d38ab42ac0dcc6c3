"""Downloads not yet whole: one folder a process, which another may take over once it is dead.

Taking over is one rename, so two processes never write the same bytes; no lock is needed.
"""

import os
import re
import secrets
import shutil
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

DATA: Final = "data"
_FREE: Final = "free"
_PROCESS: Final = secrets.token_hex(4)  # tells this process from an older one with its number


@contextmanager
def partial_folder(root: Path, file: str) -> Iterator[Path]:
    """A folder of this call's own for the bytes of `file`, with what earlier calls left of it.

    What is in it under the name `data` when the block ends is kept for the next call.
    """
    key = file.replace("/", "+")
    root.mkdir(parents=True, exist_ok=True)
    folder = _take_over(root, key) or _new(root, key)
    try:
        yield folder
    finally:
        with suppress(OSError):  # also after an error of the disk itself
            data = folder / DATA
            if data.is_file() and data.stat().st_size:
                folder.rename(root / f"{key}@{_FREE}-0-0-{secrets.token_hex(4)}")
            else:
                shutil.rmtree(folder)


def _take_over(root: Path, key: str) -> Path | None:
    """The largest abandoned folder, now our own; the others are deleted."""
    abandoned = [f for f in root.glob(f"{key}@*") if not _in_use(f)]
    ours: Path | None = None
    for folder in sorted(abandoned, key=_num_bytes, reverse=True):
        mine = _own_name(root, key)
        try:
            folder.rename(mine)
        except OSError:  # another process was faster
            continue
        if ours is None and _survived(mine):
            ours = mine
        else:
            shutil.rmtree(mine, ignore_errors=True)
    return ours


def _new(root: Path, key: str) -> Path:
    folder = _own_name(root, key)
    folder.mkdir()
    return folder


def _own_name(root: Path, key: str) -> Path:
    return root / f"{key}@{_host()}-{os.getpid()}-{_PROCESS}-{secrets.token_hex(4)}"


def _host() -> str:
    return re.sub(r"[^A-Za-z0-9.]", "_", socket.gethostname()) or "host"


def _in_use(folder: Path) -> bool:
    """Whether its process may still run; of other machines that is not known, so yes."""
    import psutil  # noqa: PLC0415  only where something was left

    host, pid, process, _ = folder.name.rpartition("@")[2].rsplit("-", 3)
    if host == _FREE:
        return False
    if host != _host():
        return True
    if int(pid) == os.getpid():
        return process == _PROCESS
    return bool(psutil.pid_exists(int(pid)))


def _num_bytes(folder: Path) -> int:
    try:
        return (folder / DATA).stat().st_size
    except OSError:
        return 0


def _survived(folder: Path) -> bool:
    """Whether the bytes are as written: a machine that went down may have lost some."""
    import psutil  # noqa: PLC0415

    try:
        return (folder / DATA).stat().st_mtime > float(psutil.boot_time())
    except OSError:
        return False
