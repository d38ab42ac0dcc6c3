"""What this machine can do, and what each suite still needs here. No torch until it is asked."""

import importlib.util
import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from typing import Final, Literal, final

import psutil

from guidebench.base import cache_folder
from guidebench.engines.choice import missing_compiler
from guidebench.measure.machine import environment, find_device
from guidebench.measure.nvml import Gpu, NvmlError
from guidebench.runs.catalog import select
from guidebench.runs.inventory import Inventory, Item, inventory

_IMAGE_PACKAGES: Final = ("timm", "torch_fidelity", "diffusers", "PIL")
INSTALL_IMAGES: Final = "pip install 'guidebench[images]'"
_COMPILERS: Final = ("g++", "clang++", "gcc", "clang")


@final
@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is here, or is not: then `remedy` brings it, where something can."""

    name: str
    state: Literal["ok", "missing", "none"]
    text: str
    remedy: str | None = None


def machine() -> list[Finding]:
    """Software, processor, GPUs, compiler, and room on the disk of the cache."""
    found = environment("cpu")
    memory = psutil.virtual_memory()
    software = f"{found['guidebench']}, Python {found['python']}, torch {found['torch']}"
    threads = len(psutil.Process().cpu_affinity()) if hasattr(psutil.Process, "cpu_affinity") else 0
    processor = (
        f"{found['cpu']}, {threads or os.cpu_count()} cores for this process, "
        f"{gib(memory.total)} memory, {gib(memory.available)} of it free"
    )
    return [
        Finding("guidebench", "ok", software),
        Finding("processor", "ok", processor),
        *gpus(),
        _compiler(),
        _images(),
        _cache(),
    ]


def gib(num_bytes: float) -> str:
    """Binary gigabytes.

    >>> gib(3 << 30)
    '3.0 GiB'
    """
    return f"{num_bytes / (1 << 30):.1f} GiB"


def gpus() -> list[Finding]:
    """Each CUDA device with what NVML tells of it, or why there is none."""
    if find_device() != "cuda":
        why = "none: no NVIDIA driver is loaded, or torch was built without CUDA"
        return [Finding("GPU", "none", f"{why}; built-in suites run on the processor")]
    import torch  # noqa: PLC0415  costs seconds, and only a GPU needs it here

    found = []
    for index in range(torch.cuda.device_count()):
        device = torch.cuda.get_device_properties(index)
        text = f"{device.name}, {gib(device.total_memory)}, {nvml_words(str(device.uuid))}"
        found.append(Finding(f"cuda:{index}", "ok", text))
    return found


def nvml_words(uuid: str, nvml: object = None) -> str:
    """Driver, idle power and energy counter of one GPU, as far as NVML tells."""
    try:
        gpu = Gpu(uuid, nvml)
        words = f"driver {gpu.driver()}"
    except NvmlError as error:
        return f"energy and device-wide memory are not measured: {error}"
    for read, text in ((gpu.power_watts, "{:.0f} W now"), (gpu.energy_joules, "energy counter")):
        try:
            words += f", {text.format(read())}"
        except NvmlError as error:
            words += f", {error}"
    return words


def _compiler() -> Finding:
    if missing := missing_compiler(find_device()):
        return Finding("compiler", "none", f"{missing}; --engine compiled falls back without it")
    names = (os.environ.get("CXX"), *_COMPILERS)
    found = next((path for name in names if name and (path := shutil.which(name))), None)
    return Finding("compiler", "ok", found or "for Triton")


def missing_image_packages() -> list[str]:
    """Packages of the extra "images" that are not installed."""
    return [name for name in _IMAGE_PACKAGES if importlib.util.find_spec(name) is None]


def _images() -> Finding:
    if missing := missing_image_packages():
        text = f"not installed: {', '.join(missing)}"
        return Finding("images", "missing", text, INSTALL_IMAGES)
    names = {"timm": "timm", "torch_fidelity": "torch-fidelity", "diffusers": "diffusers"}
    text = ", ".join(f"{name} {version(name)}" for name in names.values())
    return Finding("images", "ok", text)


def _cache() -> Finding:
    folder = cache_folder()
    there = next(p for p in (folder, *folder.parents) if p.exists())
    free = shutil.disk_usage(there).free
    text = f"{folder}, {gib(free)} free"
    if not os.access(there, os.W_OK):
        remedy = "GUIDEBENCH_CACHE=DIR names another"
        return Finding("cache", "missing", f"{text}, not writable", remedy)
    return Finding("cache", "ok", text)


def suite_finding(name: str) -> Finding:
    """Whether a suite's rows can be sampled here, and what they lack.

    Raises:
        UserError: for a suite that does not exist or does not load.
    """
    rows = select([name])
    found = inventory(rows)
    images = any(row.spec.domain == "images" for row in rows)
    lacks, remedies = _lacks(found, images=images), []
    if images and missing_image_packages():
        remedies.append(INSTALL_IMAGES)
    if found.not_present():
        remedies.append(f"guidebench checkpoint fetch --suite {name}")
    if lacks:
        ready = sum(not found.not_present(row.label) for row in rows)
        counted = f" ({ready} of {len(rows)} rows have theirs)" if 0 < ready < len(rows) else ""
        return Finding(name, "missing", f"{'; '.join(lacks)}{counted}", "; ".join(remedies))
    return Finding(name, "ok", f"{len(rows)} rows ready")


def _lacks(found: Inventory, *, images: bool) -> list[str]:
    lacks = []
    if images and (packages := missing_image_packages()):
        lacks.append(f"needs the packages {', '.join(packages)}")
    waiting = found.not_present()
    if missing := [item for item in waiting if item.state == "missing"]:
        size = total_bytes(missing)
        lacks.append(f"{len(missing)} of {len(found.items)} files are not here{size}")
    if raw := len(waiting) - len(missing):
        lacks.append(f"{raw} of {len(found.items)} files are downloaded, not yet converted")
    return lacks


def total_bytes(items: Sequence[Item]) -> str:
    """The size of files that would be fetched, in words; nothing where none is known."""
    known = [item.bytes for item in items if item.bytes is not None]
    if not known:
        return ""
    about = "" if all(i.exact for i in items) and len(known) == len(items) else "about "
    return f", {about}{gib(sum(known))}"
