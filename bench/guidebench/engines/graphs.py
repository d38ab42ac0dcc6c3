"""Regions, recorded once and replayed: what an engine needs of a device, and the rules it keeps.

A region is a function of no arguments that reads and writes tensors made before it. Recording
fixes its operations and the addresses they work on; a replay repeats them, and nothing of the
Python code runs again. So these rules hold on every device:

- inputs are copied *into* the static tensors; one that was rebound is refused,
- what a replay lends is valid until the next replay from the same pool,
- regions of one pool share memory and never run at the same time,
- nothing in a region waits for the device, looks at a value of it, or draws random numbers.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Final, Generic, TypeVar, final

from torch import Tensor

Region = Callable[[], Tensor]
"""Works on static tensors and returns the one that holds its result."""

WARM_UPS: Final = 3
"""Calls before recording: libraries choose kernels, make workspaces and load modules in them."""

PoolT = TypeVar("PoolT")


class AbstractGraphs(ABC, Generic[PoolT]):
    """Records regions on one kind of device."""

    @abstractmethod
    def new_pool(self) -> PoolT:
        """Memory that the regions recorded into it share."""

    @abstractmethod
    def record(self, region: Region, pool: PoolT) -> Region:
        """Call it `WARM_UPS` times and record it; returns the replay.

        Static tensors hold no defined value afterwards.
        """

    @abstractmethod
    def together(self, calls: Sequence[Callable[[], Tensor]]) -> list[Tensor]:
        """Results of independent calls, at the same time where the device can do that.

        Called inside a region: forks from the stream that records and joins it again.
        """

    def synchronize(self) -> None:
        """Wait until the device is idle; nothing to do where calls do not return early."""


@final
class Replay:
    """A recorded region, with the static tensors that it reads by name.

    Args:
        replay: what `AbstractGraphs.record` returned.
        statics: gives the static tensors as their owner holds them now.
    """

    def __init__(self, replay: Region, statics: Callable[[], Mapping[str, Tensor]]) -> None:
        self._replay, self._statics = replay, statics
        self._recorded = dict(statics())  # also keeps them alive: a graph holds addresses alone

    def __call__(self) -> Tensor:
        """Replay once; the result is lent until the next replay from the same pool.

        Raises:
            ValueError: where a static tensor is no longer the recorded one.
        """
        for name, now in self._statics().items():
            if now is not self._recorded[name]:
                msg = f"{name} was rebound after recording; copy new values into it instead"
                raise ValueError(msg)
        return self._replay()
