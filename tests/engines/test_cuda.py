"""What is asked of `torch.cuda`, on a stand-in for it that keeps the order of work and no more."""

from collections import Counter
from collections.abc import Callable
from functools import partial
from typing import cast

import pytest
import torch
from torch import Tensor

from guidebench.engines.cuda import CudaGraphs
from guidebench.engines.graphs import WARM_UPS
from tests.engines.order_of_cuda import Cuda, OrderedStream, OrderError, Result

DEVICE = torch.device("cuda", 0)
_Made = list[Result]


def step(cuda: Cuda, graphs: CudaGraphs, num_calls: int) -> Callable[[], Tensor]:
    """A region like a guided step: independent calls between what they read and what reads them."""

    def call(index: int) -> Tensor:
        return cast("Tensor", cuda.work(f"network {index}", "state"))

    def evaluate(name: str) -> Tensor:
        cuda.work("state", *[name] * (name in dict(cuda.log)))
        found = graphs.together([partial(call, i) for i in range(num_calls)])
        assert all(cuda.current_stream(DEVICE) in made.streams for made in cast("_Made", found))
        return cast("Tensor", cuda.work(name, *(f"network {i}" for i in range(num_calls))))

    def region() -> Tensor:
        evaluate("predictor")
        return evaluate("corrector")

    return region


@pytest.mark.parametrize("num_calls", [1, 2, 3])
@pytest.mark.parametrize("streams", [1, 2])
def test_calls_together_fork_and_join(streams: int, num_calls: int) -> None:
    """In a recording and before: no call runs before its input or after its reader."""
    cuda = Cuda()
    graphs = CudaGraphs(DEVICE, streams=streams, cuda=cuda)
    graphs.record(step(cuda, graphs, num_calls), graphs.new_pool())
    used: dict[str, set[OrderedStream]] = {}
    for name, stream in cuda.log:
        used.setdefault(name, set()).add(stream)
    assert len(set[OrderedStream]().union(*used.values())) == min(streams, num_calls)
    assert len(used["predictor"] | used["state"] | used["network 0"]) == 1


def test_results_come_back_in_order() -> None:
    cuda = Cuda()
    graphs, made = CudaGraphs(DEVICE, streams=2, cuda=cuda), list[Tensor]()

    def call() -> Tensor:
        made.append(cast("Tensor", cuda.work("network")))
        return made[-1]

    assert graphs.together([call, call, call]) == made


@pytest.mark.parametrize("fails", [0, 1])
@pytest.mark.parametrize("streams", [1, 2])
def test_a_recording_that_fails_says_why_and_can_be_tried_again(streams: int, fails: int) -> None:
    """As where memory runs out in it: an unjoined stream would hide that and spoil the pool."""
    cuda = Cuda()
    graphs, runs = CudaGraphs(DEVICE, streams=streams, cuda=cuda), Counter[int]()

    def call(index: int) -> Tensor:
        made = cuda.work("network")
        runs[index] += 1
        if index == fails and runs[index] == WARM_UPS + 1:
            raise torch.OutOfMemoryError
        return cast("Tensor", made)

    def region() -> Tensor:
        return graphs.together([partial(call, 0), partial(call, 1)])[0]

    with pytest.raises(torch.OutOfMemoryError):
        graphs.record(region, graphs.new_pool())
    assert cuda.current_stream(DEVICE) is cuda.main
    assert cuda.recordings == []
    graphs.record(region, graphs.new_pool())
    assert len(cuda.recordings) == 1


def test_the_stream_of_before_comes_back_where_a_recording_cannot_end() -> None:
    cuda, side = Cuda(), OrderedStream()

    def unjoined() -> Tensor:
        with cuda.stream(side):
            return cast("Tensor", cuda.work("forked"))

    graphs = CudaGraphs(DEVICE, cuda=cuda)
    with pytest.raises(OrderError, match="has not joined"):
        graphs.record(unjoined, graphs.new_pool())
    assert cuda.current_stream(DEVICE) is cuda.main


def test_a_recording_is_warm_ordered_and_in_its_pool() -> None:
    cuda = Cuda()
    graphs = CudaGraphs(DEVICE, cuda=cuda)
    pool, runs = graphs.new_pool(), list[OrderedStream]()
    cuda.work("fill static tensors")

    def region() -> Tensor:
        runs.append(cuda.current_stream(DEVICE))
        return cast("Tensor", cuda.work("step", "fill static tensors"))

    replay = graphs.record(region, pool)
    cuda.work("fill again", "step")  # after the warm-up: it works on the same tensors
    assert len(runs) == WARM_UPS + 1
    ((graph, recorded_pool, stream, errors),) = cuda.recordings
    assert set(runs) == {stream}, "libraries keep their workspaces by stream"
    assert stream is not cuda.main
    assert (recorded_pool, errors) == (pool, "thread_local")
    first, second = replay(), replay()
    assert (graph.replays, len(runs)) == (2, WARM_UPS + 1)
    assert first is second
    graphs.record(region, pool)
    assert cuda.recordings[1][1:3] == (pool, stream), "one pool, one stream"


def test_the_stand_in_refuses_what_a_gpu_refuses() -> None:
    cuda, side = Cuda(), OrderedStream()
    with pytest.raises(OrderError, match="has not joined"), cuda.graph(
        cuda.CUDAGraph(), pool=None, stream=OrderedStream(), capture_error_mode="global"
    ), cuda.stream(side):  # fmt: skip
        cuda.work("forked")
    with cuda.stream(side):
        cuda.work("elsewhere")
    with pytest.raises(OrderError, match="combine may run before elsewhere"):
        cuda.work("combine", "elsewhere")
    with pytest.raises(OrderError, match="the host waits"), cuda.graph(
        cuda.CUDAGraph(), pool=None, stream=side, capture_error_mode="global"
    ):  # fmt: skip
        cuda.synchronize(DEVICE)
