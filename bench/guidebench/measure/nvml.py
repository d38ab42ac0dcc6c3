"""A GPU's energy, power and memory as its driver counts them, through NVML. Imports no torch.

Every number is the whole device's, whoever uses it.
"""

import importlib
import threading
from collections.abc import Callable
from typing import Any, Final, TypeVar, final

T = TypeVar("T")

MODULE: Final = "pynvml"  # of the distribution nvidia-ml-py
POLL_SECONDS: Final = 0.05
HELD_BACK: Final = {
    0x08: "hardware slowdown",
    0x20: "heat (software)",
    0x40: "heat (hardware)",
    0x80: "power brake",
}
"""Clock event reasons that make a time doubtful, by NVML's bits; the usual power cap is none."""
_MILLI: Final = 1e-3


class NvmlError(Exception):
    """NVML or one of its counters is not there; the message says which, for a record."""


@final
class Gpu:
    """One GPU by its UUID: torch and NVML may number them in different orders."""

    def __init__(self, uuid: str, nvml: Any = None) -> None:  # noqa: ANN401
        """Open the device; `nvml` is the module pynvml or one that offers the same.

        Raises:
            NvmlError: where there is no NVML, or no such device in it.
        """
        self._nvml = nvml or _load()
        self.uuid = uuid if uuid.startswith(("GPU-", "MIG-")) else f"GPU-{uuid}"
        try:
            self._nvml.nvmlInit()
        except self._nvml.NVMLError as error:
            msg = f"NVML cannot be used: {error}"
            raise NvmlError(msg) from error
        self._handle = self._ask(lambda n: n.nvmlDeviceGetHandleByUUID(self.uuid), "this device")

    def _ask(self, question: Callable[[Any], Any], what: str) -> Any:  # noqa: ANN401
        try:
            return question(self._nvml)
        except self._nvml.NVMLError as error:
            msg = f"NVML does not tell {what}: {error}"
            raise NvmlError(msg) from error

    def energy_joules(self) -> float:
        """Energy since the driver was loaded; the counter moves every 20 to 100 ms."""
        counter = self._ask(
            lambda n: n.nvmlDeviceGetTotalEnergyConsumption(self._handle), "the energy used"
        )
        return float(counter) * _MILLI

    def power_watts(self) -> float:
        """Power drawn now."""
        power = self._ask(lambda n: n.nvmlDeviceGetPowerUsage(self._handle), "the power drawn")
        return float(power) * _MILLI

    def used_bytes(self) -> int:
        """Memory in use now, by all processes and the driver itself."""
        info = self._ask(lambda n: n.nvmlDeviceGetMemoryInfo(self._handle), "the memory used")
        return int(info.used)

    def held_back(self) -> tuple[str, ...]:
        """Why the clocks are lower now than the power limit alone would have them."""
        bits = self._ask(
            lambda n: n.nvmlDeviceGetCurrentClocksEventReasons(self._handle), "the clocks' limits"
        )
        return tuple(words for bit, words in HELD_BACK.items() if int(bits) & bit)

    def driver(self) -> str:
        """Version of the driver."""
        found = self._ask(lambda n: n.nvmlSystemGetDriverVersion(), "the driver's version")
        return found.decode() if isinstance(found, bytes) else str(found)


def _load() -> Any:  # noqa: ANN401
    try:
        return importlib.import_module(MODULE)
    except ImportError as error:
        msg = "NVML cannot be used: the package nvidia-ml-py is not installed"
        raise NvmlError(msg) from error


@final
class Meter:
    """Energy, highest memory use and slowed clocks of a GPU over a `with` block; None if not told.

    NVML keeps no peak of its own, so a thread looks every 50 ms: shorter peaks may be missed.
    """

    def __init__(self, gpu: Gpu, *, poll_seconds: float = POLL_SECONDS) -> None:
        self._gpu, self._poll = gpu, poll_seconds
        self._stop = threading.Event()
        self.joules: float | None = None
        self.peak_bytes: int | None = None
        self.held_back: frozenset[str] = frozenset()
        self.problems: tuple[str, ...] = ()

    def _try(self, read: Callable[[], T]) -> T | None:
        try:
            return read()
        except NvmlError as error:
            if str(error) not in self.problems:
                self.problems += (str(error),)
            return None

    def _look(self) -> None:
        used = self._try(self._gpu.used_bytes)
        if used is not None:
            self.peak_bytes = max(used, self.peak_bytes or 0)
        self.held_back |= frozenset(self._try(self._gpu.held_back) or ())

    def _watch(self) -> None:
        while not self._stop.wait(self._poll):
            self._look()

    def __enter__(self) -> "Meter":
        self._before = self._try(self._gpu.energy_joules)
        self._look()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
        self._look()
        after = self._try(self._gpu.energy_joules)
        if self._before is not None and after is not None:
            self.joules = after - self._before
