"""3x3 convolutions with a quarter of the multiplications: Winograd's F(4 x 4, 3 x 3).

An output tile of 4 x 4 pixels comes from 6 x 6 input pixels as A^T [(G g G^T) . (B^T d B)] A
(Lavin and Gray 2016, arXiv:1509.09308). B^T . B and A^T . A are sums of whole pixels with constant
weights, each in one pass over memory; the products in between are one grouped 1x1 convolution of
oneDNN, a group for each of the 36 positions.

The interpolation points are 0, +-sqrt(1/2), +-sqrt(2) and infinity: in float32 they keep the error
near the direct convolution's, where the usual 0, +-1, +-2 make it several times as large. The
transformed weights are four times the size.

Shapes: B images, I and O channels, T tiles, u x v tiles per image, 6 x 6 positions in a tile, P
pixels of a piece, Q pixels with the border from the piece's first on.
"""

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import Final, final

import torch
from torch import Tensor
from typing_extensions import override

from guidebench.networks.program.convolution import AbstractConvolution, Step, choose_direct
from guidebench.networks.program.memory import Memory
from guidebench.networks.program.ops import Op
from guidebench.networks.program.prepacked import PackedConvolution
from guidebench.networks.program.torch_backend import TorchBackend
from guidebench.networks.program.weighted_sums import WeightedSums

_A: Final = math.sqrt(0.5)
_B: Final = math.sqrt(2.0)
_MIN_SIZE: Final = 2**15
_LANES: Final = 32
_PIECE_ELEMENTS: Final = 2**21  # 8 MB of transformed tiles

# G, B^T and A^T. Against the powers of the points in A^T, its columns of +-a are times 2 and those
# of +-b times 1/2, and G's rows the other way round, which keeps both near 1.
_G63: Final = (
    (1.0, 0.0, 0.0),
    (-1 / 3, -_A / 3, -1 / 6),
    (-1 / 3, _A / 3, -1 / 6),
    (1 / 3, _B / 3, 2 / 3),
    (1 / 3, -_B / 3, 2 / 3),
    (0.0, 0.0, 1.0),
)

_B66: Final = (
    (1.0, 0.0, -2.5, 0.0, 1.0, 0.0),
    (0.0, -2.0 * _A, -2.0, _A, 1.0, 0.0),
    (0.0, 2.0 * _A, -2.0, -_A, 1.0, 0.0),
    (0.0, -0.5 * _B, -0.5, _B, 1.0, 0.0),
    (0.0, 0.5 * _B, -0.5, -_B, 1.0, 0.0),
    (0.0, 1.0, 0.0, -2.5, 0.0, 1.0),
)
_A46: Final = (
    (1.0, 2.0, 2.0, 0.5, 0.5, 0.0),
    (0.0, _B, -_B, _A, -_A, 0.0),
    (0.0, 1.0, 1.0, 1.0, 1.0, 0.0),
    (0.0, _A, -_A, _B, -_B, 1.0),
)


def is_wide(op: Op) -> bool:
    """Whether a layer of this shape gains: wide, large, and whole tiles of whole vectors.

    At 8 x 8 pixels and below the larger weights cost more to read than the multiplications save.
    """
    _, height, width, channels = op.reads[0].shape
    narrower = min(channels, op.writes.channels)
    return (
        height % 4 == width % 4 == channels % _LANES == op.writes.channels % _LANES == 0
        and min(height, width) >= 16
        and narrower >= 64
        and height * width * narrower >= _MIN_SIZE
    )


@final
class WinogradBackend(TorchBackend):
    """The back end "torch" with fewer multiplications in wide 3x3 convolutions."""

    @override
    def algorithm(self, op: Op) -> AbstractConvolution:
        return Winograd() if is_wide(op) else choose_direct(op)


@final
class Winograd(AbstractConvolution):
    """F(4 x 4, 3 x 3); images of whole tiles, some strips of tiles at a time."""

    @override
    def bind(self, op: Op, memory: Memory) -> list[Step]:
        assert op.weight is not None
        (x,), source_BHWI = op.reads, memory.stored(op.reads[0])
        _, height, width, c_in = x.shape
        weight, packed, steps = transform_weight(op.weight), None, []
        for images, strips in _pieces(op):
            b, u, v = images.stop - images.start, strips.stop - strips.start, width // 4
            first_row = 4 * strips.start
            source_QI = source_BHWI[images].flatten(0, 2)[first_row * (width + 2) :]
            first_pixel = (images.start * height + first_row) * width
            y_PO = memory.pixels(op.writes)[first_pixel : first_pixel + b * u * v * 16]
            packed = packed or PackedConvolution(
                weight, _as_groups(torch.empty(b * u * v * 36, c_in)), groups=36
            )
            sums = tile_sums(b, u, v, height + 2), pixel_sums(b, u, v)
            steps.append(_convolve(source_QI, sums, packed, y_PO, op.beta))
        return steps


def _convolve(
    source_QI: Tensor,
    sums: tuple[WeightedSums, WeightedSums],
    packed: PackedConvolution,
    y_PO: Tensor,
    beta: float,
) -> Step:
    """What sets y to the convolution + beta y."""
    to_tiles, to_pixels = sums

    def run() -> None:
        products = packed(_as_groups(to_tiles(source_QI)))
        made_PO = to_pixels(products.permute(0, 2, 3, 1).view(-1, y_PO.shape[1]))
        torch.add(made_PO, y_PO, alpha=beta, out=y_PO) if beta else y_PO.copy_(made_PO)

    return run


def _as_groups(tiles_RI: Tensor) -> Tensor:
    """[36 T, I] as an image [1, 36 I, T, 1], channels last: a pixel for each tile."""
    return tiles_RI.view(1, -1, 1, 36 * tiles_RI.shape[1]).permute(0, 3, 1, 2)


Piece = tuple[slice, slice]
"""Some images, and some strips of their tiles."""


def _pieces(op: Op) -> list[Piece]:
    """Cut so that a piece's transformed tiles stay in the cache; in halves of an image at least."""
    batch, height, width, c_in = op.reads[0].shape
    strip = (width // 4) * 36 * max(c_in, op.writes.channels)
    strips = height // 4
    while strips % 2 == 0 and strips * strip > _PIECE_ELEMENTS:
        strips //= 2
    if strips < height // 4:
        return [
            (slice(b, b + 1), slice(u, u + strips))
            for b in range(batch)
            for u in range(0, height // 4, strips)
        ]
    images = max(1, _PIECE_ELEMENTS // (strips * strip))
    return [
        (slice(b, min(b + images, batch)), slice(0, strips)) for b in range(0, batch, images)
    ]  # fmt: skip


def transform_weight(weight_OI33: Tensor) -> Tensor:
    """G g G^T for each pair of channels, [36 O, I, 1, 1]; in float64, rounded once."""
    g_63 = torch.tensor(_G63, dtype=torch.float64)
    transformed = torch.einsum("ik,jl,ockl->ijoc", g_63, g_63, weight_OI33.double())
    return transformed.reshape(-1, weight_OI33.shape[1], 1, 1).float()


@lru_cache(maxsize=64)
def tile_sums(b: int, u: int, v: int, stored_height: int) -> WeightedSums:
    """B^T d B: [Q, I] to [36 T, I], the positions of a tile side by side."""
    stored_width = 4 * v + 2
    rows_BU = torch.arange(b)[:, None] * stored_height + 4 * torch.arange(u)
    corners_T = (rows_BU[:, :, None] * stored_width + 4 * torch.arange(v)).flatten()
    inside_36 = (torch.arange(6)[:, None] * stored_width + torch.arange(6)).flatten()
    pixels_RK = (corners_T[:, None] + inside_36).repeat_interleave(36, 0)
    return WeightedSums(pixels_RK, _on_both_axes(_B66).repeat(b * u * v, 1))


@lru_cache(maxsize=64)
def pixel_sums(b: int, u: int, v: int) -> WeightedSums:
    """A^T m A: [36 T, O] to [P, O], pixels in the image's order."""
    tiles_P = torch.arange(b * u * v).view(b * u, 1, v, 1).expand(-1, 4, -1, 4).flatten()
    weights = _on_both_axes(_A46).view(1, 4, 1, 4, 36).expand(b * u, -1, v, -1, -1)
    return WeightedSums(36 * tiles_P[:, None] + torch.arange(36), weights.reshape(-1, 36))


def _on_both_axes(matrix: Sequence[Sequence[float]]) -> Tensor:
    """The Kronecker product with itself, in float64."""
    both = torch.tensor(matrix, dtype=torch.float64)
    return torch.kron(both, both)
