"""Who wrote a file: the host and the process, so that others can tell whether it still lives."""

import hashlib
import platform
from functools import lru_cache
from pathlib import Path

_SAME_START_SECONDS = 2.0  # a clock that was set moves what the system says of a start


@lru_cache(maxsize=1)
def host_id() -> str:
    """This boot of this host (or container, where process numbers are its own), as 12 digits.

    A digest: results may be shown to others, host names need not be.
    """
    parts = [platform.node()]
    boot = Path("/proc/sys/kernel/random/boot_id")
    if boot.is_file():
        parts.append(boot.read_text().strip())
    space = Path("/proc/self/ns/pid")
    if space.is_symlink():
        parts.append(str(space.readlink()))
    return hashlib.sha256("|".join(parts).encode()).hexdigest()[:12]


def started_at(pid: int | None = None) -> float:
    """When a process of this host started, in seconds since the epoch; this one by default."""
    import psutil  # noqa: PLC0415  costs milliseconds, and most commands need none of it

    return float(psutil.Process(pid).create_time())


def is_alive(pid: int, started: float | None = None) -> bool:
    """Whether that process of this host runs; `started` tells it from a later one of its number.

    A stopped process is alive, a zombie is not.
    """
    import psutil  # noqa: PLC0415

    try:
        process = psutil.Process(pid)
        same = started is None or abs(process.create_time() - started) < _SAME_START_SECONDS
        return same and process.status() not in {psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD}
    except psutil.NoSuchProcess:
        return False
    except psutil.AccessDenied:
        return True
