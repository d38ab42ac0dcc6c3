"""Reference statistics as the pickle that EDM2's tools read, written opcode by opcode.

Only numpy's own names are in it: any loader of the public tools accepts it.
"""

import struct
from collections.abc import Mapping
from typing import Final

import numpy as np
from numpy.typing import NDArray

Float64s = NDArray[np.float64]
_START: Final = b"\x80\x04"
_MARK, _STOP, _DICT, _SETITEMS = b"(", b".", b"}", b"u"
_TUPLE, _TUPLE_1, _TUPLE_2, _TUPLE_3 = b"t", b"\x85", b"\x86", b"\x87"
_CALL, _STATE, _NONE, _FALSE, _TRUE = b"R", b"b", b"N", b"\x89", b"\x88"


def written_reference(
    num_images: int | None, statistics: Mapping[str, tuple[Float64s, Float64s]]
) -> bytes:
    """A dict of num_images (left out where not known), and mu and sigma for each metric."""
    items = b"" if num_images is None else _text("num_images") + _integer(num_images)
    for metric, (mean_D, cov_DD) in statistics.items():
        found = _text("mu") + _array(mean_D) + _text("sigma") + _array(cov_DD)
        items += _text(metric) + _DICT + _MARK + found + _SETITEMS
    return _START + _DICT + _MARK + items + _SETITEMS + _STOP


def _array(values: Float64s) -> bytes:
    """An array as numpy itself writes it: an empty one, then its state."""
    data = np.ascontiguousarray(values, dtype="<f8").tobytes()
    empty = (
        _name("numpy.core.multiarray", "_reconstruct")  # the name that numpy 1 and 2 both know
        + _name("numpy", "ndarray") + _integer(0) + _TUPLE_1 + _bytes(b"b") + _TUPLE_3 + _CALL
    )  # fmt: skip
    kind = _name("numpy", "dtype") + _text("f8") + _FALSE + _TRUE + _TUPLE_3 + _CALL
    kind += (
        _MARK + _integer(3) + _text("<") + _NONE * 3 + _integer(-1) * 2 + _integer(0)
        + _TUPLE + _STATE
    )  # fmt: skip
    shape = b"".join(map(_integer, values.shape)) + (_TUPLE_1, _TUPLE_2)[values.ndim - 1]
    return empty + _MARK + _integer(1) + shape + kind + _FALSE + _bytes(data) + _TUPLE + _STATE


def _name(module: str, name: str) -> bytes:
    return f"c{module}\n{name}\n".encode()


def _text(value: str) -> bytes:
    data = value.encode()
    return b"X" + struct.pack("<I", len(data)) + data


def _integer(value: int) -> bytes:
    return b"J" + struct.pack("<i", value)


def _bytes(value: bytes) -> bytes:
    return b"\x8e" + struct.pack("<Q", len(value)) + value
