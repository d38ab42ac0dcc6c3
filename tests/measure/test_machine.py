import math
import os
import platform
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
import torch

from guidebench.base import canonical_json
from guidebench.measure import environment, find_device, machine
from guidebench.measure.machine import peak_resident_bytes
from guidebench.measure.memory import peak_memory, reset_peak

KEYS = {
    "guidebench", "commit", "python", "torch", "numpy", "platform", "cpu", "cores",
    "load_average", "cuda", "driver", "gpu", "time",
}  # fmt: skip


def test_environment_names_software_and_machine() -> None:
    found = environment("cpu")
    assert set(found) == KEYS
    assert canonical_json(found)  # nothing in it that JSON has not
    assert all(not isinstance(v, float) or math.isfinite(v) for v in found.values())
    assert found["python"] == platform.python_version()
    assert torch.__version__.startswith(str(found["torch"]))
    assert found["cores"] == os.cpu_count()
    assert (found["cuda"], found["driver"], found["gpu"]) == (None, None, None)
    assert str(found["time"]).endswith("+00:00")


def test_no_git_is_no_commit(monkeypatch: pytest.MonkeyPatch) -> None:
    machine._commit.cache_clear()
    monkeypatch.setenv("PATH", "")
    try:
        assert machine._commit() is None
    finally:
        machine._commit.cache_clear()


def test_driver_is_read_from_the_kernel(tmp_path: Path) -> None:
    path = tmp_path / "version"
    assert machine._driver(path) is None
    path.write_text(
        "NVRM version: NVIDIA UNIX x86_64 Kernel Module  570.86.15  Thu Jan 23 2025\n"
        "GCC version:  gcc version 12.3.0\n"
    )
    assert machine._driver(path) == "570.86.15"
    path.write_text(
        "NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  575.51  Release Build\n"
    )
    assert machine._driver(path) == "575.51"
    path.write_text("hidden\n")
    assert machine._driver(path) is None


def test_peak_holds_what_was_there() -> None:
    before = peak_resident_bytes()
    held = bytearray(os.urandom(1)) * 400_000_000
    after = peak_resident_bytes()
    assert len(held) <= after <= psutil.virtual_memory().total
    assert after >= before > 10_000_000


def test_peak_memory_of_a_cpu_is_the_hosts() -> None:
    cpu = torch.device("cpu")
    reset_peak(cpu)
    found = peak_memory(cpu)
    assert found == {"allocated": None, "reserved": None, "device": None, "host": found["host"]}
    assert found["host"] == peak_resident_bytes()


@pytest.mark.gpu
def test_peak_memory_of_a_gpu_sees_an_allocation(device: torch.device) -> None:
    if device.type != "cuda":
        pytest.skip("host memory is another test")
    reset_peak(device)
    held = torch.zeros(1 << 20, device=device)
    found = peak_memory(device)
    assert (found["allocated"] or 0) >= held.nbytes
    assert (found["device"] or 0) >= (found["reserved"] or 0) >= (found["allocated"] or 0)


def test_found_device_can_be_used() -> None:
    device = find_device()
    assert device == ("cuda" if torch.cuda.is_available() else "cpu")
    assert torch.ones(1, device=device).item() == 1


def test_the_package_imports_no_torch() -> None:
    code = (
        "import sys, guidebench.measure as m; m.environment('cpu'); print('torch' in sys.modules)"
    )
    found = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
    assert found.stdout == b"False\n"
