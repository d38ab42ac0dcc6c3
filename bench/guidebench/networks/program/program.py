"""A denoiser as a static list of instructions over memory that is made once.

Shapes: B images (or points), C channels, H x W pixels, L labels.
"""

from collections.abc import Sequence
from typing import Final, Literal, final

import torch
from torch import Tensor

from guidebench.networks.fractal import FractalDenoiser
from guidebench.networks.precondition import EDM2Denoiser
from guidebench.networks.program.builder import Builder
from guidebench.networks.program.conditioning import (
    AbstractConditioning,
    EDM2Conditioning,
    FractalConditioning,
    Table,
)
from guidebench.networks.program.lower_edm2 import lower_edm2
from guidebench.networks.program.lower_fractal import lower_fractal
from guidebench.networks.program.memory import Memory
from guidebench.networks.program.ops import Op
from guidebench.networks.program.torch_backend import Frame, TorchBackend
from guidebench.networks.program.winograd import WinogradBackend

Backend = Literal["torch", "winograd"]
BACKENDS: Final[dict[Backend, type[TorchBackend]]] = {
    "torch": TorchBackend,
    "winograd": WinogradBackend,
}
_POINT_ROWS: Final = 16  # a product of few rows rounds otherwise: points are filled up to this


@final
class Program:
    """D(x; sigma, labels) for one batch size, on the CPU, in float32.

    An image's bits depend neither on the batch size nor on the number of threads: every algorithm
    is chosen from layer shapes alone. Made by `build_program`.

    Attributes:
        ops: the instructions.
        shape: of x and of the output.
    """

    def __init__(
        self,
        ops: list[Op],
        slot_sizes: list[int],
        conditioning: AbstractConditioning,
        shape: tuple[int, ...],
        backend: Backend,
    ) -> None:
        self.ops, self.shape, self.backend = ops, shape, backend
        self._conditioning = conditioning
        self._memory = Memory(slot_sizes)
        self._frame = Frame(shape, conditioning.num_columns)
        self._steps = BACKENDS[backend](self._memory, self._frame).bind(ops)

    def table(self, sigmas: Sequence[float], labels_BL: Tensor | None = None) -> Table:
        """Conditioning of all evaluations of a schedule, in one product.

        Args:
            sigmas: noise levels, in the order in which `index` counts them.
            labels_BL: one-hot; None asks a conditional network without labels.

        Raises:
            ValueError: for labels of another shape, or a noise level that is not positive.
        """
        label_dim = self._conditioning.label_dim
        if labels_BL is not None and label_dim and labels_BL.shape != (self.shape[0], label_dim):
            msg = (
                f"this program takes labels [{self.shape[0]}, {label_dim}]; "
                f"got {list(labels_BL.shape)}"
            )
            raise ValueError(msg)
        with torch.inference_mode():
            return self._conditioning.table(sigmas, labels_BL)

    @torch.inference_mode()
    def __call__(self, x: Tensor, table: Table, index: int) -> Tensor:
        """D(x; sigmas[index]), float32, of x's shape: this program's memory until the next call.

        Raises:
            ValueError: for x of another shape than the program's, or an index outside the table.
        """
        frame = self._frame
        if x.shape != self.shape:
            msg = f"this program was built for {list(self.shape)}; got {list(x.shape)}"
            raise ValueError(msg)
        if not 0 <= index < len(table.sigmas):
            msg = f"the table has {len(table.sigmas)} noise levels; there is no number {index}"
            raise ValueError(msg)
        if table.columns_SRM.shape[2] != frame.columns_BM.shape[1] or (
            table.row_B is not None and len(table.row_B) != self.shape[0]
        ):
            msg = "this table was made by a program of another network or batch size"
            raise ValueError(msg)
        frame.x.copy_(x)
        frame.coefficients_3.copy_(table.coefficients_S3[index])
        columns_RM = table.columns_SRM[index]
        if table.row_B is None:
            frame.columns_BM.copy_(columns_RM)
        else:
            torch.index_select(columns_RM, 0, table.row_B, out=frame.columns_BM)
        for step in self._steps:
            step()
        return frame.out

    @property
    def num_bytes(self) -> int:
        """Memory for activations, without weights."""
        return self._memory.num_bytes

    def describe(self) -> str:
        """One line for each instruction."""
        return "\n".join(str(op) for op in self.ops)


def build_program(
    denoiser: FractalDenoiser | EDM2Denoiser, *, batch_size: int, backend: Backend = "winograd"
) -> Program:
    """Lower a baked denoiser for one batch size.

    Args:
        denoiser: in inference form, float32, on the CPU.
        batch_size: of every call.
        backend: "torch", or "winograd": the same with fewer multiplications in wide 3x3
            convolutions.

    Raises:
        ValueError: for a denoiser, batch size or back end that it cannot lower, in words.
    """
    if batch_size < 1:
        msg = f"a program's batch size is at least 1; got {batch_size}"
        raise ValueError(msg)
    if backend not in BACKENDS:
        msg = f"unknown back end {backend}; there are {', '.join(BACKENDS)}"
        raise ValueError(msg)
    device = next(iter(denoiser.parameters())).device
    if device.type != "cpu":
        msg = f"a static program runs on the CPU, and this network is on {device}"
        raise ValueError(msg)
    shape = (batch_size, *denoiser.sample_shape)
    # Memory made in inference mode could not be written outside of it.
    with torch.inference_mode(False), torch.no_grad():
        if isinstance(denoiser, FractalDenoiser):
            builder = Builder(batch_size + -batch_size % _POINT_ROWS)
            lower_fractal(denoiser, builder)
            conditioning: AbstractConditioning = FractalConditioning(denoiser)
        else:
            builder = Builder(batch_size)
            lower_edm2(denoiser, builder)
            conditioning = EDM2Conditioning(denoiser)
        return Program(builder.ops, builder.slot_sizes, conditioning, shape, backend)
