"""Small convolutions as matrix products, for networks that inductor compiles on a CPU.

A call of the convolution library costs about 100 us before it computes anything, a product about
5. Measured to pay up to about a thousand pixels in a batch. There are two forms: pixels by
channels, and in thin networks channels by pixels, since a product of few columns leaves most of a
vector register empty.

Shapes: B images, C input and O output channels, H x W pixels, k x k weights.
"""

import functools
from typing import Any, Final, final

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from typing_extensions import override

_PIXELS: Final = 1024
_CHANNELS: Final = 64
_THIN: Final = 32
_VECTOR: Final = 16  # numbers in a register
_CACHED: Final = 2**17  # numbers: half of a core's own cache, on many processors


def is_narrow(network: nn.Module) -> bool:
    """Whether no convolution is wide enough for the convolution library to pay."""
    return all(min(shape[:2]) < _CHANNELS for shape in _kernels(network))


def is_thin(network: nn.Module) -> bool:
    """Whether no 3x3 convolution has more output channels than two registers hold."""
    return all(shape[0] <= _THIN for shape in _kernels(network) if shape[-1] > 1)


def images_at_once(network: nn.Module, x: Tensor) -> int:
    """How many of a batch one call takes: in a thin network, what stays in the cache."""
    fitting = _PIXELS // x[0, 0].numel() if x.ndim == 4 and is_thin(network) else 0
    return min(len(x), fitting or len(x))


def _kernels(network: nn.Module) -> list[torch.Size]:
    return [t.shape for t in (*network.parameters(), *network.buffers()) if t.ndim == 4]


@final
class SmallConvolutions(TorchFunctionMode):
    """Writes a network's small convolutions as products while the network is traced."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self._thin = is_thin(network)

    @override
    def __torch_function__(
        self,
        func: Any,
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        if func in {F.conv2d, torch.conv2d} and _is_small(args[0], *args[1].shape[:2]):
            product = channels_by_pixels if self._thin else pixels_by_channels
            return product(args[0], args[1])
        if self._thin and func is torch.cat and _is_small(args[0][0]):
            return _joined(args[0])
        return func(*args, **(kwargs or {}))


def _is_small(x: Tensor, *channels: int) -> bool:
    few = all(number <= _CHANNELS for number in channels)
    return few and x.ndim == 4 and x[:, 0].numel() <= _PIXELS


def pixels_by_channels(x_BCHW: Tensor, weight_OCkk: Tensor) -> Tensor:
    """A convolution of stride 1 that keeps the size: B H W rows of k k C values."""
    batch, channels, height, width = x_BCHW.shape
    out_channels, side = weight_OCkk.shape[0], weight_OCkk.shape[-1]
    edge = side // 2
    x_BHWC = F.pad(x_BCHW.permute(0, 2, 3, 1), (0, 0, edge, edge, edge, edge))
    moved = [x_BHWC[:, i : i + height, j : j + width] for i in range(side) for j in range(side)]
    columns = torch.cat(moved, dim=-1).reshape(-1, side * side * channels)
    weight = weight_OCkk.permute(2, 3, 1, 0).reshape(-1, out_channels)
    product = columns @ weight
    return product.reshape(batch, height, width, out_channels).permute(0, 3, 1, 2)


def channels_by_pixels(x_BCHW: Tensor, weight_OCkk: Tensor) -> Tensor:
    """The same with k k C rows; where these pass the cache, a product for each of the k rows."""
    batch, (out_channels, _, side, _) = len(x_BCHW), weight_OCkk.shape
    x = x_BCHW.permute(_order(batch))
    shape = x.shape[1:]
    if edge := side // 2:
        beside = (0, 0) if _images_last(batch) else ()
        # Memory of its own, or what comes before is computed anew for each of the k k neighbours.
        padded = F.pad(x, (*beside, edge, edge, edge, edge)).contiguous()
        row, pixel = padded.stride()[1:3] if beside else padded.stride()[2:]
        x = padded.as_strided((side, side, *x.shape), (row, pixel, *padded.stride()))
    weight = weight_OCkk.permute(0, 2, 3, 1).reshape(out_channels, -1)
    pieces = side if x.numel() > _CACHED else 1
    parts = zip(weight.chunk(pieces, dim=1), x.chunk(pieces), strict=True)
    product = functools.reduce(torch.add, (w @ p.reshape(w.shape[1], -1) for w, p in parts))
    return product.reshape(out_channels, *shape).permute(_back(batch))


def _joined(tensors: list[Tensor]) -> Tensor:
    """Channels joined in the order of `channels_by_pixels`: a plain `cat` would undo it."""
    batch = len(tensors[0])
    return torch.cat([t.permute(_order(batch)) for t in tensors]).permute(_back(batch))


def _images_last(batch: int) -> bool:
    """Whether images fill whole registers: then they are innermost, else pixels are."""
    return batch % _VECTOR == 0


def _order(batch: int) -> tuple[int, ...]:
    return (1, 2, 3, 0) if _images_last(batch) else (1, 0, 2, 3)


def _back(batch: int) -> tuple[int, ...]:
    return (3, 0, 1, 2) if _images_last(batch) else (1, 0, 2, 3)
