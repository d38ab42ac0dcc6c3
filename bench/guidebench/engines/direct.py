"""Regions that are called again instead of replayed: for devices and engines without recording."""

from collections.abc import Callable, Sequence
from typing import final

from torch import Tensor
from typing_extensions import override

from guidebench.engines.graphs import AbstractGraphs, Region


@final
class DirectGraphs(AbstractGraphs[None]):
    """Records nothing: a replay is a call."""

    @override
    def new_pool(self) -> None:
        return None

    @override
    def record(self, region: Region, pool: None) -> Region:
        return region

    @override
    def together(self, calls: Sequence[Callable[[], Tensor]]) -> list[Tensor]:
        return [call() for call in calls]
