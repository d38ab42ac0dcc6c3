"""The memory of a program, and views of it.

Shapes: B images, H x W pixels, C channels, P = B H W.
"""

from typing import final

import torch
from torch import Tensor

from guidebench.networks.program.ops import Buffer


@final
class Memory:
    """One piece of memory for each slot, all zero at first, so that borders are."""

    def __init__(self, slot_sizes: list[int]) -> None:
        self._slots = [torch.zeros(size) for size in slot_sizes]
        self._scratch: dict[str, Tensor] = {}

    @property
    def num_bytes(self) -> int:
        """Of buffers and scratch."""
        held = (*self._slots, *self._scratch.values())
        return sum(t.numel() * t.element_size() for t in held)

    def stored(self, buffer: Buffer) -> Tensor:
        """[B, H, W, C] with the border, contiguous."""
        b, h, w, c = buffer.stored_shape
        return self._slots[buffer.slot][: b * h * w * c].view(b, h, w, c)

    def inside(self, buffer: Buffer) -> Tensor:
        """[B, H, W, C] without the border."""
        if not buffer.border:
            return self.stored(buffer)
        return self.stored(buffer)[:, 1:-1, 1:-1]

    def pixels(self, buffer: Buffer) -> Tensor:
        """[P, C] of a buffer without border."""
        assert not buffer.border
        return self.stored(buffer).flatten(0, 2)

    def reserve(self, name: str, elements: int) -> None:
        """Make sure that `scratch` of this name has so many; before anyone takes a view of it."""
        held = self._scratch.get(name)
        if held is None or held.numel() < elements:
            self._scratch[name] = torch.zeros(elements)

    def scratch(self, name: str, *shape: int) -> Tensor:
        """Memory that holds nothing between instructions; all askers of a name share it."""
        return self._scratch[name][: torch.Size(shape).numel()].view(shape)
