"""Writes a list of instructions while giving each value its memory."""

from collections import Counter
from typing import Any, final

from guidebench.networks.program.ops import Buffer, Kind, Op


@final
class Builder:
    """Instructions so far, and which memory is free.

    Memory is handed out as slots of a number of float32 elements. A buffer with a border has a
    slot for its shape, since nothing else may write on its zeros.
    """

    def __init__(self, batch_size: int) -> None:
        self.batch_size = batch_size
        self.ops: list[Op] = []
        self.slot_sizes: list[int] = []
        self._free: set[int] = set()
        self._owners: Counter[int] = Counter()
        self._bordered: dict[tuple[int, int, int], Buffer] = {}

    def new(self, height: int, width: int, channels: int) -> Buffer:
        """A buffer whose memory nobody else has until it is freed."""
        shape = (self.batch_size, height, width, channels)
        wanted = self.batch_size * height * width * channels
        enough = [slot for slot in self._free if self.slot_sizes[slot] >= wanted]
        if enough:
            slot = min(enough, key=self.slot_sizes.__getitem__)
        elif self._free:  # the largest grows
            slot = max(self._free, key=self.slot_sizes.__getitem__)
            self.slot_sizes[slot] = wanted
        else:
            slot = self._new_slot(wanted)
        self._free.discard(slot)
        self._owners[slot] = 1
        return Buffer(shape, 0, slot)

    def bordered(self, height: int, width: int, channels: int, *, own: bool = False) -> Buffer:
        """The buffer of this shape for a convolution's input: read it before asking again.

        `own` makes one that no later call gets.
        """
        key = (height, width, channels)
        if own or key not in self._bordered:
            elements = self.batch_size * (height + 2) * (width + 2) * channels
            shape = (self.batch_size, height, width, channels)
            made = Buffer(shape, 1, self._new_slot(elements))
            if own:
                return made
            self._bordered[key] = made
        return self._bordered[key]

    def share(self, buffer: Buffer) -> Buffer:
        """One more owner must free it."""
        self._owners[buffer.slot] += 1
        return buffer

    def is_shared(self, buffer: Buffer) -> bool:
        """Whether it has more than one owner."""
        return self._owners[buffer.slot] > 1

    def free(self, buffer: Buffer) -> None:
        """One owner needs it no more; after the last, its memory is used again."""
        assert self._owners[buffer.slot] > 0, f"{buffer} was freed before"
        self._owners[buffer.slot] -= 1
        if not self._owners[buffer.slot]:
            self._free.add(buffer.slot)

    def emit(
        self,
        kind: Kind,
        name: str,
        reads: tuple[Buffer, ...],
        writes: Buffer,
        **constants: Any,  # noqa: ANN401
    ) -> Buffer:
        """Append an instruction; returns what it writes."""
        self.ops.append(Op(kind=kind, name=name, reads=reads, writes=writes, **constants))
        return writes

    def _new_slot(self, elements: int) -> int:
        self.slot_sizes.append(elements)
        return len(self.slot_sizes) - 1
