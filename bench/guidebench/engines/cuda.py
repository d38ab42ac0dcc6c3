"""Regions as CUDA graphs, thin on purpose.

Without a GPU the rules of regions are tested on the stand-in, and what is asked of `torch.cuda`,
streams and their order above all, on a substitute that keeps order and nothing else.
"""

from collections.abc import Callable, Sequence
from typing import Any, final

import torch
from torch import Tensor
from typing_extensions import override

from guidebench.engines.graphs import WARM_UPS, AbstractGraphs, Region


@final
class CudaGraphs(AbstractGraphs[Any]):
    """Records on a stream of its own; `streams` 2 runs independent predictions side by side."""

    def __init__(
        self,
        device: torch.device,
        *,
        streams: int = 1,
        cuda: Any = torch.cuda,  # noqa: ANN401
    ) -> None:
        self.device, self._cuda = device, cuda
        self._stream = cuda.Stream(device)
        self._sides = [cuda.Stream(device) for _ in range(streams - 1)]

    @override
    def new_pool(self) -> Any:
        return self._cuda.graph_pool_handle()

    @override
    def record(self, region: Region, pool: Any) -> Region:
        current = self._cuda.current_stream(self.device)
        self._stream.wait_stream(current)
        with self._cuda.stream(self._stream):
            for _ in range(WARM_UPS):
                region()
        current.wait_stream(self._stream)
        self.synchronize()
        graph = self._cuda.CUDAGraph()
        # thread_local: what other threads do (a loader that pins memory) cannot spoil it.
        recording = self._cuda.graph(
            graph, pool=pool, stream=self._stream, capture_error_mode="thread_local"
        )
        with self._cuda.stream(current), recording:  # which keeps its stream where it cannot end
            result = region()

        def replay() -> Tensor:
            graph.replay()
            return result

        return replay

    @override
    def together(self, calls: Sequence[Callable[[], Tensor]]) -> list[Tensor]:
        if not self._sides or len(calls) < 2:
            return [call() for call in calls]
        origin = self._cuda.current_stream(self.device)
        fork = origin.record_event()
        for side in self._sides:
            side.wait_event(fork)
        found: list[Tensor] = []
        try:
            for index, call in enumerate(calls):
                stream = origin if index == 0 else self._sides[(index - 1) % len(self._sides)]
                with self._cuda.stream(stream):
                    found.append(call())
        finally:  # every forked stream joins, or recording cannot end, not even after an error
            for side in self._sides:
                origin.wait_stream(side)
        for tensor in found:
            tensor.record_stream(origin)
        return found

    @override
    def synchronize(self) -> None:
        self._cuda.synchronize(self.device)
