"""The stopwatch of a device: CUDA events on the stream that works, the host's clock elsewhere."""

from typing import Any, final

import torch
from typing_extensions import override

from guidebench.measure.clock import HostStopwatch, Stopwatch


@final
class CudaStopwatch(Stopwatch):
    """Events on the current stream of the device: they see the work, not its launch.

    Work on other streams is seen where the current stream waits for it, as after a replay.
    """

    def __init__(self, device: torch.device, cuda: Any = torch.cuda) -> None:  # noqa: ANN401
        self._device, self._cuda = device, cuda

    @override
    def mark(self) -> Any:
        event = self._cuda.Event(enable_timing=True)
        event.record(self._cuda.current_stream(self._device))
        return event

    @override
    def seconds(self, start: Any, end: Any) -> float:
        end.synchronize()
        return float(start.elapsed_time(end)) / 1e3


def stopwatch(device: torch.device) -> Stopwatch:
    """The one to use on a device."""
    return CudaStopwatch(device) if device.type == "cuda" else HostStopwatch()
