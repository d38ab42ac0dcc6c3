"""Regions as CUDA graphs. Thin on purpose: every rule is tested without a GPU on the stand-in."""

from collections.abc import Callable, Sequence
from typing import Any, final

import torch
from torch import Tensor
from typing_extensions import override

from guidebench.engines.graphs import WARM_UPS, AbstractGraphs, Region


@final
class CudaGraphs(AbstractGraphs[Any]):
    """Records on a stream of its own; `streams` 2 runs independent predictions side by side."""

    def __init__(self, device: torch.device, *, streams: int = 1) -> None:
        self.device = device
        self._stream = torch.cuda.Stream(device)
        self._sides = [torch.cuda.Stream(device) for _ in range(streams - 1)]

    @override
    def new_pool(self) -> Any:
        return torch.cuda.graph_pool_handle()

    @override
    def record(self, region: Region, pool: Any) -> Region:
        current = torch.cuda.current_stream(self.device)
        self._stream.wait_stream(current)
        with torch.cuda.stream(self._stream):
            for _ in range(WARM_UPS):
                region()
        current.wait_stream(self._stream)
        self.synchronize()
        graph = torch.cuda.CUDAGraph()
        # thread_local: what other threads do (a loader that pins memory) cannot spoil it.
        with torch.cuda.graph(
            graph, pool=pool, stream=self._stream, capture_error_mode="thread_local"
        ):
            result = region()

        def replay() -> Tensor:
            graph.replay()
            return result

        return replay

    @override
    def together(self, calls: Sequence[Callable[[], Tensor]]) -> list[Tensor]:
        if not self._sides or len(calls) < 2:
            return [call() for call in calls]
        origin = torch.cuda.current_stream(self.device)
        fork = origin.record_event()
        found: list[Tensor] = []
        for index, call in enumerate(calls):
            stream = origin if index == 0 else self._sides[(index - 1) % len(self._sides)]
            if stream is not origin:
                stream.wait_event(fork)
            with torch.cuda.stream(stream):
                found.append(call())
        for stream in self._sides:
            origin.wait_stream(stream)  # every forked stream joins, or recording fails
        for tensor in found:
            tensor.record_stream(origin)
        return found

    @override
    def synchronize(self) -> None:
        torch.cuda.synchronize(self.device)
