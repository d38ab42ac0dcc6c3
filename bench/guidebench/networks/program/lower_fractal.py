"""The 2D MLP, whose output is a gradient, as a list of instructions.

D(x; sigma) = x + sigma^2 grad G is linear in the last activations' gradient, so that its factors
are c_skip and c_out of an ordinary denoiser:

    c_skip = sigma_data^2 / (sigma_data^2 + sigma^2),  c_out = 2 gain sigma c_in / hidden,

with c_in = (sigma_data^2 + sigma^2)^(-1/2); see `FractalDenoiser`. The last layer goes forward
and back without an activation between, so that both are one product with W^T W.

A point is an image of one pixel. Shapes: O x I weights, H hidden units.
"""

from torch import Tensor

from guidebench.networks.fractal import FractalDenoiser
from guidebench.networks.layers import SILU_MAGNITUDE
from guidebench.networks.program.builder import Builder
from guidebench.networks.program.ops import Buffer


def lower_fractal(denoiser: FractalDenoiser, builder: Builder) -> None:
    """Append the instructions of D(x; sigma).

    Raises:
        ValueError: for a network that is not baked in float32.
    """
    first, *middle, last = scaled_weights(denoiser)
    hidden = denoiser.hidden
    x = builder.emit("input", "input", (), builder.new(1, 1, 2))
    before: list[Buffer] = []

    def linear(name: str, weight: Tensor, read: Buffer, columns: tuple[int, int] | None) -> Buffer:
        out = builder.new(1, 1, len(weight))
        weight = weight.float().contiguous()
        return builder.emit("linear", name, (read,), out, weight=weight, columns=columns)

    # The noise level and the constant are the same for all points: a row of the table.
    a = linear("layers.0", first[:, :2], x, (0, hidden))
    for index, weight in enumerate(middle, 1):
        before.append(a)
        y = builder.emit("silu", f"layers.{2 * index - 1}", (a,), builder.new(1, 1, hidden))
        a = linear(f"layers.{2 * index}", weight, y, None)
        builder.free(y)
    before.append(a)
    y = builder.emit("silu", f"layers.{2 * len(middle) + 1}", (a,), builder.new(1, 1, hidden))
    back = linear("layers.last and back", last.T @ last, y, None)
    for index, weight in reversed(list(enumerate([first[:, :2], *middle]))):
        name = f"back.{2 * index}"
        back = builder.emit("silu_gradient", name, (before.pop(),), back)
        back = linear(name, weight.T, back, None)
    builder.emit("output", "output", (), back)


def scaled_weights(denoiser: FractalDenoiser) -> list[Tensor]:
    """Each layer's weight in float64, with the 1 / 0.596 of the SiLU before it.

    Raises:
        ValueError: for a network that is not baked in float32.
    """
    weights: list[Tensor] = []
    for layer in denoiser.linear_layers:
        if denoiser.training or layer.baked is None:
            msg = "a static program is made of a baked network; call bake() first"
            raise ValueError(msg)
        if str(layer.baked.dtype) != "torch.float32":
            msg = f"a static program has float32 weights, and this network has {layer.baked.dtype}"
            raise ValueError(msg)
        weights.append(layer.baked.double() / (SILU_MAGNITUDE if weights else 1.0))
    return weights
