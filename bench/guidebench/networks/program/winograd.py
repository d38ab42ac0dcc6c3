"""3x3 convolutions with a quarter of the multiplications: Winograd's F(4 x 4, 3 x 3).

An output tile of 4 x 4 pixels comes from 6 x 6 input pixels as A^T [(G g G^T) . (B^T d B)] A
(Lavin and Gray 2016, arXiv:1509.09308). B^T and A^T act on both axes in turn, in sums of whole
planes; the products in between are one grouped 1x1 convolution of oneDNN, a group for each of the
36 positions.

The interpolation points are 0, +-sqrt(1/2), +-sqrt(2) and infinity: in float32 they keep the error
near the direct convolution's, where the usual 0, +-1, +-2 make it several times as large. The
transformed weights are four times the size.

Shapes: B images, I and O channels, T tiles, u x v tiles per image, 6 x 6 positions in a tile.
"""

import math
from typing import Final, final

import torch
from torch import Tensor
from typing_extensions import override

from guidebench.networks.program.convolution import AbstractConvolution, Step, choose_direct
from guidebench.networks.program.memory import Memory
from guidebench.networks.program.ops import Op
from guidebench.networks.program.prepacked import PackedConvolution
from guidebench.networks.program.torch_backend import TorchBackend

_A: Final = math.sqrt(0.5)
_B: Final = math.sqrt(2.0)
_MIN_SIZE: Final = 2**15
_LANES: Final = 32
_PIECE_ELEMENTS: Final = 2**20

# G: values at the points of a filter's polynomial over the products of point differences. Rows of
# +-a are also times 1/2 and those of +-b times 2, which saves sums of the output transform.
_G63: Final = (
    (1.0, 0.0, 0.0),
    (-1 / 3, -_A / 3, -1 / 6),
    (-1 / 3, _A / 3, -1 / 6),
    (1 / 3, _B / 3, 2 / 3),
    (1 / 3, -_B / 3, 2 / 3),
    (0.0, 0.0, 1.0),
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
    def reserve(self, op: Op, memory: Memory) -> None:
        width, c_in = op.reads[0].shape[2:]
        c_out, strips = op.writes.channels, max(b * u for b, u in map(_extent, _pieces(op)))
        tiles = strips * (width // 4)
        memory.reserve("winograd rows", max(strips * 6 * (width + 2) * c_in, tiles * 24 * c_out))
        memory.reserve("winograd tiles", max(tiles * 36 * c_in, tiles * 16 * c_out))

    @override
    def bind(self, op: Op, memory: Memory) -> list[Step]:
        assert op.weight is not None
        pieces = _pieces(op)
        weight = transform_weight(op.weight)
        packed = None
        steps: list[Step] = []
        for piece in pieces:
            (b, u), (_, _, width, c_in) = _extent(piece), op.reads[0].shape
            tiles_BuvijI = memory.scratch("winograd tiles", b, u, width // 4, 6, 6, c_in)
            x_1GT1 = tiles_BuvijI.view(1, -1, 1, 36 * c_in).permute(0, 3, 1, 2)
            packed = packed or PackedConvolution(weight, x_1GT1, groups=36)
            steps.append(transform_input(memory, op, piece, tiles_BuvijI))
            steps += multiply_and_transform(memory, op, piece, packed, x_1GT1)
        return steps


Piece = tuple[slice, slice]
"""Some images, and some strips of their tiles."""


def _extent(piece: Piece) -> tuple[int, int]:
    images, strips = piece
    return images.stop - images.start, strips.stop - strips.start


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


def multiply_and_transform(
    memory: Memory, op: Op, piece: Piece, packed: PackedConvolution, x_1GT1: Tensor
) -> list[Step]:
    """From transformed input tiles to the layer's output."""
    (b, u), (_, h, w, c_out) = _extent(piece), op.writes.shape
    v = w // 4
    rows_BuvijO = memory.scratch("winograd rows", b, u, v, 4, 6, c_out)
    whole = memory.stored(op.writes).view(-1, h // 4, 4, v, 4, c_out)
    out_BuvijO = whole[piece].permute(0, 1, 3, 2, 4, 5)
    # Where the old value is still wanted, the new one is made beside it.
    made_BuvijO = memory.scratch("winograd tiles", b, u, v, 4, 4, c_out) if op.beta else out_BuvijO
    rows, columns, made = rows_BuvijO.unbind(3), rows_BuvijO.unbind(4), made_BuvijO.unbind(4)

    def run() -> None:
        products_BuvijO = packed(x_1GT1).permute(0, 2, 3, 1).view(b, u, v, 6, 6, c_out)
        transform_output(products_BuvijO.unbind(3), rows)
        transform_output(columns, made)

    if not op.beta:
        return [run]
    return [run, lambda: torch.add(made_BuvijO, out_BuvijO, alpha=op.beta, out=out_BuvijO)]


def transform_weight(weight_OI33: Tensor) -> Tensor:
    """G g G^T for each pair of channels, [36 O, I, 1, 1]; in float64, rounded once."""
    g_63 = torch.tensor(_G63, dtype=torch.float64)
    transformed = torch.einsum("ik,jl,ockl->ijoc", g_63, g_63, weight_OI33.double())
    return transformed.reshape(-1, weight_OI33.shape[1], 1, 1).float()


def transform_input(memory: Memory, op: Op, piece: Piece, tiles_BuvijI: Tensor) -> Step:
    """B^T d B for every tile of a piece, which is read where it lies with its border."""
    b, u, v, _, _, c = tiles_BuvijI.shape
    source = memory.stored(op.reads[0])[piece[0]][:, 4 * piece[1].start :]
    rows_BuiwI = memory.scratch("winograd rows", b, u, 6, source.shape[2], c)
    image, row, pixel, _ = source.stride()
    image_2, strip_2, row_2, pixel_2, _ = rows_BuiwI.stride()
    lines = [
        source[:, i:].as_strided((b, u, source.shape[2], c), (image, 4 * row, pixel, 1))
        for i in range(6)
    ]
    columns = [
        rows_BuiwI[:, :, :, j:].as_strided(
            (b, u, 6, v, c), (image_2, strip_2, row_2, 4 * pixel_2, 1)
        )
        for j in range(6)
    ]
    made_rows, made_tiles = rows_BuiwI.unbind(2), tiles_BuvijI.transpose(2, 3).unbind(4)

    def transform() -> None:
        _along_one_axis(lines, made_rows)
        _along_one_axis(columns, made_tiles)

    return transform


def _along_one_axis(d: list[Tensor], out: tuple[Tensor, ...]) -> None:
    """B^T d: coefficients of the points' polynomials. `out` may not share memory with d."""
    first, last = out[0], out[5]
    for squared, point, plus, minus in ((2.0, _A, out[1], out[2]), (0.5, _B, out[3], out[4])):
        even = torch.add(d[4], d[2], alpha=-squared, out=first)
        odd = torch.add(d[3], d[1], alpha=-squared, out=last)
        torch.add(even, odd, alpha=point, out=plus)
        torch.add(even, odd, alpha=-point, out=minus)
    torch.add(d[0], d[2], alpha=-2.5, out=first).add_(d[4])
    torch.add(d[1], d[3], alpha=-2.5, out=last).add_(d[5])


def transform_output(m: tuple[Tensor, ...], out: tuple[Tensor, ...]) -> None:
    """A^T m: powers of the points. Uses up m[1], m[2] and m[4]."""
    even_a = torch.add(m[1], m[2], out=out[0])
    odd_a = torch.sub(m[1], m[2], out=m[2])
    even_b = torch.add(m[3], m[4], out=m[1])
    odd_b = torch.sub(m[3], m[4], out=m[4])
    torch.add(even_a, even_b, out=out[2])
    torch.add(m[0], even_a, alpha=2.0, out=out[0]).add_(even_b, alpha=0.5)
    torch.add(odd_a, odd_b, alpha=0.5, out=out[1]).mul_(_B)
    torch.add(odd_a, odd_b, alpha=2.0, out=out[3])
    torch.add(m[5], out[3], alpha=_A, out=out[3])
