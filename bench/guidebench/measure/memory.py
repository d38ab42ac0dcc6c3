"""Peak memory, in bytes, as far as the device tells."""

import torch

from guidebench.measure.machine import peak_resident_bytes


def reset_peak(device: torch.device) -> None:
    """Start a new peak on a GPU; a process's resident peak cannot be reset."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)


def peak_memory(device: torch.device, seen: int | None = None) -> dict[str, int | None]:
    """Allocated, reserved and device-wide peaks on a GPU (None on a CPU), and the host's.

    `seen` is the device-wide peak that NVML was seen to tell; without it, what is in use now.
    """
    found: dict[str, int | None] = {
        "allocated": None,
        "reserved": None,
        "device": None,
        "host": peak_resident_bytes(),
    }
    if device.type == "cuda":
        free, total = torch.cuda.mem_get_info(device)
        found["allocated"] = torch.cuda.max_memory_allocated(device)
        found["reserved"] = torch.cuda.max_memory_reserved(device)
        found["device"] = max(total - free, seen or 0)
    return found
