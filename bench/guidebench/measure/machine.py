"""What the numbers were measured on."""

import os
import platform
import re
import resource
import subprocess
import sys
from datetime import UTC, datetime
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path

Environment = dict[str, str | int | float | bool | None]


@lru_cache(maxsize=1)
def _commit() -> str | None:
    """Commit of the source tree that this code runs from, with + where it was changed."""
    here = Path(__file__).parent
    try:
        tracked = ["git", "-C", str(here), "ls-files", "--error-unmatch", Path(__file__).name]
        subprocess.run(tracked, check=True, capture_output=True, timeout=10)  # noqa: S603
        head = ["git", "-C", str(here), "describe", "--always", "--dirty=+", "--abbrev=40"]
        found = subprocess.run(head, check=True, capture_output=True, timeout=10, text=True)  # noqa: S603
    except (OSError, subprocess.SubprocessError):
        return None
    return found.stdout.strip()


@lru_cache(maxsize=1)
def _cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def _driver(version_file: Path) -> str | None:
    """Version of NVIDIA's kernel module, which torch does not tell; None where it is hidden."""
    try:
        first_line = version_file.read_text(encoding="utf-8").partition("\n")[0]
    except OSError:
        return None
    found = re.search(r"\b\d{3,}\.\d+(\.\d+)?\b", first_line)
    return found.group() if found else None


def environment(device: str) -> Environment:
    """Software, processor and time; GPU fields are None on a CPU."""
    found: Environment = {
        "guidebench": version("guidebench"),
        "commit": _commit(),
        "python": platform.python_version(),
        "torch": version("torch"),
        "numpy": version("numpy"),
        "platform": platform.platform(terse=True),
        "cpu": _cpu(),
        "cores": os.cpu_count(),
        "load_average": round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None,
        "cuda": None,
        "driver": None,
        "gpu": None,
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    if device == "cuda":
        import torch  # noqa: PLC0415  only where a GPU is in use

        found["cuda"] = torch.version.cuda
        found["gpu"] = torch.cuda.get_device_name()
        found["driver"] = _driver(Path("/proc/driver/nvidia/version"))
    return found


def peak_resident_bytes() -> int:
    """Largest resident set that this process has had."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def find_device() -> str:
    """Name the device to use, cuda or cpu; imports torch only where a driver is loaded."""
    nodes = [Path("/dev/nvidiactl"), Path("/dev/dxg")]
    if sys.platform == "linux" and not any(p.exists() for p in nodes):
        return "cpu"
    import torch  # noqa: PLC0415  costs seconds

    return "cuda" if torch.cuda.is_available() else "cpu"
