"""NVML's logic, against a stand-in for its module. What a real GPU says: `nox -s gpu`."""

import time
from types import SimpleNamespace

import pytest
import torch

from guidebench.measure.nvml import Gpu, Meter, NvmlError

_NOT_SUPPORTED, _NOT_FOUND = "Not Supported", "Not Found"


class NvidiaModule:
    """What the code uses of pynvml, for one device whose counters the test sets."""

    class NVMLError(Exception):
        """As pynvml's base class."""

    def __init__(self, *, lacks: tuple[str, ...] = ()) -> None:
        self.lacks = lacks
        self.millijoules, self.milliwatts, self.used, self.reasons = 5_000, 68_250, 1 << 30, 0

    def _tell(self, what: str, value: object) -> object:
        if what in self.lacks:
            raise self.NVMLError(_NOT_SUPPORTED)
        return value

    def nvmlInit(self) -> None:  # noqa: N802
        self._tell("library", None)

    def nvmlDeviceGetHandleByUUID(self, uuid: str) -> object:  # noqa: N802
        if uuid != "GPU-1234":
            raise self.NVMLError(_NOT_FOUND)
        return "handle"

    def nvmlDeviceGetTotalEnergyConsumption(self, handle: str) -> object:  # noqa: N802
        assert handle == "handle"
        return self._tell("energy", self.millijoules)

    def nvmlDeviceGetPowerUsage(self, handle: str) -> object:  # noqa: N802
        assert handle == "handle"
        return self._tell("power", self.milliwatts)

    def nvmlDeviceGetMemoryInfo(self, handle: str) -> object:  # noqa: N802
        assert handle == "handle"
        return self._tell("memory", SimpleNamespace(used=self.used))

    def nvmlDeviceGetCurrentClocksEventReasons(self, handle: str) -> object:  # noqa: N802
        assert handle == "handle"
        return self._tell("reasons", self.reasons)

    def nvmlSystemGetDriverVersion(self) -> object:  # noqa: N802
        return self._tell("driver", b"570.86.15")


def test_units_are_joules_watts_and_bytes() -> None:
    gpu = Gpu("1234", NvidiaModule())
    assert gpu.energy_joules() == 5.0
    assert gpu.power_watts() == 68.25
    assert gpu.used_bytes() == 1 << 30
    assert gpu.driver() == "570.86.15"
    assert gpu.held_back() == ()


def test_a_meter_tells_the_energy_between_and_the_highest_memory_seen() -> None:
    module = NvidiaModule()
    with Meter(Gpu("GPU-1234", module), poll_seconds=0.001) as meter:
        module.used = 3 << 30
        give_up = time.monotonic() + 30
        while meter.peak_bytes != 3 << 30:
            assert time.monotonic() < give_up
            time.sleep(0.001)
        module.used, module.reasons, module.millijoules = 2 << 30, 0x4 | 0x40, 12_500
    assert meter.joules == 7.5
    assert meter.peak_bytes == 3 << 30
    assert meter.held_back == {"heat (hardware)"}, "the power cap alone is no reason to doubt"
    assert meter.problems == ()


def test_what_is_not_told_is_none_with_the_reason() -> None:
    with Meter(Gpu("1234", NvidiaModule(lacks=("energy", "memory")))) as meter:
        pass
    assert (meter.joules, meter.peak_bytes) == (None, None)
    assert meter.problems == (
        "NVML does not tell the energy used: Not Supported",
        "NVML does not tell the memory used: Not Supported",
    )


def test_no_library_and_no_such_device_are_said() -> None:
    with pytest.raises(NvmlError, match="NVML cannot be used: Not Supported"):
        Gpu("1234", NvidiaModule(lacks=("library",)))
    with pytest.raises(NvmlError, match="NVML does not tell this device: Not Found"):
        Gpu("4321", NvidiaModule())


def test_without_the_package_its_name_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(name: str) -> object:
        raise ImportError(name)

    monkeypatch.setattr("importlib.import_module", refuse)
    with pytest.raises(NvmlError, match="package nvidia-ml-py is not installed"):
        Gpu("1234")


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_a_real_gpu_uses_energy_for_a_product() -> None:
    gpu = Gpu(str(torch.cuda.get_device_properties(0).uuid))
    a = torch.randn(4096, 4096, device="cuda")
    with Meter(gpu) as meter:
        began = time.monotonic()
        while time.monotonic() - began < 1.0:
            a @ a
            torch.cuda.synchronize()
    assert meter.joules is not None
    assert 10 < meter.joules < 2000
    assert meter.peak_bytes is not None
    assert meter.peak_bytes >= 2 * a.nbytes
