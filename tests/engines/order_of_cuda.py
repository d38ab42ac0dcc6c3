"""A `torch.cuda` that keeps one thing: which work is ordered before which, on its streams.

Work on a stream comes after earlier work there and after whatever the stream has waited for.
Nothing else orders it, as on a GPU. Recording has its own rules: no waiting by the host, and
every stream that was forked from the recording one has to join it again.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import final


class OrderError(RuntimeError):
    """Work that may run before what it needs, or a recording that a GPU refuses."""


@final
class OrderedStream:
    """`before` is the work that whatever comes next on the stream is ordered after."""

    def __init__(self, device: object = None) -> None:
        self.device = device
        self.before: frozenset[int] = frozenset()

    def record_event(self) -> frozenset[int]:
        return self.before

    def wait_event(self, event: frozenset[int]) -> None:
        self.before |= event

    def wait_stream(self, stream: "OrderedStream") -> None:
        self.wait_event(stream.record_event())


@final
class Graph:
    def __init__(self) -> None:
        self.replays = 0

    def replay(self) -> None:
        self.replays += 1


@final
class Result:
    """Memory that a stream allocated, and other streams that were told to use it."""

    def __init__(self, stream: OrderedStream) -> None:
        self.streams = {stream}

    def record_stream(self, stream: OrderedStream) -> None:
        self.streams.add(stream)


@final
class Cuda:
    """The functions of `torch.cuda` that the code uses; `log` has the name of all work done."""

    CUDAGraph, Stream = Graph, OrderedStream

    def __init__(self) -> None:
        self.main = self._current = OrderedStream()
        self.log: list[tuple[str, OrderedStream]] = []
        self.recordings: list[tuple[Graph, object, OrderedStream, str]] = []
        self._recording = False
        self._recorded: set[int] = set()

    def work(self, name: str, *needs: str) -> Result:
        """Enqueue work on the current stream; the latest work of each name it needs is ordered."""
        seen = set(range(len(self.log))) - (set() if self._recording else self._recorded)
        latest = {self.log[index][0]: index for index in sorted(seen)}
        for other in needs:
            if latest[other] not in self._current.before:
                msg = f"{name} may run before {other}"
                raise OrderError(msg)
        self.log.append((name, self._current))
        self._current.before |= {len(self.log) - 1}
        return Result(self._current)

    def current_stream(self, device: object) -> OrderedStream:
        assert device is not None
        return self._current

    @contextmanager
    def stream(self, stream: OrderedStream) -> Iterator[None]:
        previous, self._current = self._current, stream
        try:
            yield
        finally:
            self._current = previous

    def synchronize(self, device: object) -> None:
        assert device is not None
        if self._recording:
            msg = "the host waits in a recording"
            raise OrderError(msg)
        self.main.before = frozenset(range(len(self.log)))

    def graph_pool_handle(self) -> object:
        return object()

    @contextmanager
    def graph(
        self, graph: Graph, *, pool: object, stream: OrderedStream, capture_error_mode: str
    ) -> Iterator[None]:
        first, self._recording = len(self.log), True
        previous, self._current = self._current, stream
        try:
            yield
        finally:
            self._recording = False
            inside = set(range(first, len(self.log)))
            self._recorded |= inside  # and not run
            if not stream.before >= inside:  # the stream stays current, as with torch
                msg = "a forked stream has not joined"
                raise OrderError(msg)
            self._current = previous
        self.recordings.append((graph, pool, stream, capture_error_mode))
