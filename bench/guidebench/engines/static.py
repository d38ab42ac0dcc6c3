"""Networks as static programs on a CPU, with the conditioning of all noise levels made at once.

Shapes: B samples of a batch, L class labels.
"""

from collections.abc import Callable, Sequence
from typing import Any, Protocol, final

import torch
from torch import Tensor
from typing_extensions import override

from guidebench.engines._base import AbstractEngine, Forward, require_like

Table = Any
"""A program's conditioning; only the program itself looks into it."""


class Program(Protocol):
    """A denoiser as a list of operations over its own buffers, for one batch size."""

    def table(self, sigmas: Sequence[float], labels_BL: Tensor | None) -> Table:
        """Conditioning of every noise level."""
        ...

    def __call__(self, x: Tensor, table: Table, index: int) -> Tensor:
        """D(x; sigmas[index]), in the program's own memory until the next call."""
        ...


@final
class Static(AbstractEngine):
    """One program a network and batch size.

    Args:
        build: makes a program from a network and a batch size.
        sigmas: every noise level that will be asked for.
    """

    name = "static"

    def __init__(self, build: Callable[[Any, int], Program], sigmas: Sequence[float]) -> None:
        self._build = build
        self._index = {sigma: i for i, sigma in enumerate(dict.fromkeys(sigmas))}
        self._programs: dict[tuple[int, int], tuple[Forward, Program]] = {}

    @override
    def prepare(self, network: Forward, x: Tensor, labels_BL: Tensor | None) -> Forward:
        key = (id(network), len(x))
        if key not in self._programs:  # holding the network keeps its id its own
            self._programs[key] = (network, self._build(network, len(x)))
        program, index, example = self._programs[key][1], self._index, x
        tables: dict[bool, tuple[Tensor | None, Table]] = {}

        def forward(x: Tensor, sigma: float, labels_BL: Tensor | None) -> Tensor:
            require_like("x", example, x)
            if sigma not in index:
                msg = f"sigma {sigma:g} is not among the {len(index)} prepared noise levels"
                raise ValueError(msg)
            asked = labels_BL is not None
            if asked not in tables or not _same(tables[asked][0], labels_BL):
                kept = None if labels_BL is None else labels_BL.clone()
                tables[asked] = (kept, program.table(tuple(index), labels_BL))
            return program(x, tables[asked][1], index[sigma]).clone()

        return forward


def _same(before: Tensor | None, now: Tensor | None) -> bool:
    """By value: a caller may fill one tensor anew for each batch."""
    return before is now or (before is not None and now is not None and torch.equal(before, now))
