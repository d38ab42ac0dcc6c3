"""Tensors and numpy arrays from records: exact names only, every size checked.

Values from a file are compared, never hashed: hashing a tuple a million deep ends the process.

Tensors are views of the file's bytes. Shapes: whatever the file says, as long as it fits.
"""

import math
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from typing_extensions import TypeIs

from guidebench.checkpoints.legacy_pickle.opcodes import read_pickle
from guidebench.checkpoints.legacy_pickle.records import (
    Call,
    Global,
    PersistentId,
    RefusedError,
    Seen,
)

_MAGIC: Final = 0x1950A86A20F9469CFC6C
_TORCH_PROTOCOL: Final = 1001
_STORAGES: Final = {
    "torch.HalfStorage": torch.float16,
    "torch.BFloat16Storage": torch.bfloat16,
    "torch.FloatStorage": torch.float32,
    "torch.DoubleStorage": torch.float64,
}
_DTYPES: Final = {"f2", "f4", "f8", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "b1"}
_DIMENSIONS: Final = 8
_ENCODE: Final = "_codecs.encode"


def is_call(value: Any, *names: str) -> TypeIs[Call]:  # noqa: ANN401
    """Whether a record is the call of one of these globals."""
    return isinstance(value, Call) and value.callee.name in names


def as_dict(value: Any, what: str) -> dict[str | int, Any]:  # noqa: ANN401
    """A dict, or a record of one of the dict classes that published files use."""
    if isinstance(value, dict):
        return value
    if is_call(value, "dnnlib.util.EasyDict", "collections.OrderedDict") and (
        value.arguments in ((), ((),)) and not value.state
    ):
        items: dict[str | int, Any] = value.items
        return items
    msg = f"{what} is {described(value)}, not a dict"
    raise RefusedError(msg)


def described(value: Any) -> str:  # noqa: ANN401
    """A record in a few words, whatever its size."""
    if isinstance(value, Call):
        return f"a call of {value.callee.name}"
    return f"the global {value.name}" if isinstance(value, Global) else type(value).__name__


def shown(value: Any) -> str:  # noqa: ANN401
    """A number or text itself, cut; anything else in words, for its text may be without end."""
    if value is None or isinstance(value, int | float):
        return str(value)[:30]
    return repr(value[:30]) if isinstance(value, str) else described(value)


def _non_negative(value: Any) -> int:  # noqa: ANN401
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 1 << 40:
        msg = f"a size or stride of {shown(value)}"
        raise RefusedError(msg)
    return value


def _sizes(value: Any) -> tuple[int, ...]:  # noqa: ANN401
    if not isinstance(value, tuple) or len(value) > _DIMENSIONS:
        msg = f"sizes that are {described(value)}"
        raise RefusedError(msg)
    return tuple(_non_negative(v) for v in value)


def tensor(record: Any, name: str, seen: Seen) -> Tensor:  # noqa: ANN401
    """A parameter or buffer, in its stored dtype, bit for bit; its storage is its own.

    Raises:
        RefusedError: for anything else than published files hold, or sizes beyond the storage.
    """
    if is_call(record, "torch._utils._rebuild_parameter"):
        data, _, hooks = record.arguments
        if as_dict(hooks, f"hooks of {name}"):
            msg = f"{name} has hooks"
            raise RefusedError(msg)
        return tensor(data, name, seen)
    if not is_call(record, "torch._utils._rebuild_tensor_v2") or record.built:
        msg = f"{name} is {described(record)}, not a tensor"
        raise RefusedError(msg)
    storage, start, size, stride, _, hooks, *metadata = record.arguments
    if as_dict(hooks, f"hooks of {name}") or any(metadata):
        msg = f"{name} has hooks or metadata"
        raise RefusedError(msg)
    flat, start = _storage(storage, name, seen), _non_negative(start)
    sizes, strides = _sizes(size), _sizes(stride)
    last = start + sum((n - 1) * s for n, s in zip(sizes, strides, strict=True))
    if math.prod(sizes) and last >= len(flat):
        msg = f"{name} of {sizes} reaches beyond its {len(flat)} stored numbers"
        raise RefusedError(msg)
    if math.prod(sizes) > len(flat):
        msg = f"{name} of {sizes} repeats its {len(flat)} stored numbers"
        raise RefusedError(msg)
    return flat.as_strided(sizes, strides, start)


def _storage(record: Any, name: str, seen: Seen) -> Tensor:  # noqa: ANN401
    """Torch's legacy stream: four small pickles, the keys, then a count and the raw numbers."""
    if not is_call(record, "torch.storage._load_from_bytes") or record.built:
        msg = f"the numbers of {name} are {described(record)}"
        raise RefusedError(msg)
    stored = record.arguments[0]
    seen.once(stored.arguments[0] if is_call(stored, _ENCODE) else stored, name)
    blob = _bytes(stored)
    if not isinstance(blob, memoryview):
        msg = f"the numbers of {name} are {described(blob)}"
        raise RefusedError(msg)
    parts, place = [], 0
    for _ in range(5):
        part, place = read_pickle(blob, place, persistent_ids=True)
        parts.append(part)
    magic, protocol, system, reference, keys = parts
    if magic != _MAGIC or protocol != _TORCH_PROTOCOL:
        msg = f"the numbers of {name} are not in torch's format 1001"
        raise RefusedError(msg)
    if not isinstance(system, dict) or system.get("little_endian") is not True:
        msg = f"the numbers of {name} are not little-endian"
        raise RefusedError(msg)
    dtype, key, numel = _reference(reference, name)
    if keys != [key] or int.from_bytes(blob[place : place + 8], "little") != numel:
        msg = f"the numbers of {name} are counted in two ways"
        raise RefusedError(msg)
    raw = blob[place + 8 :]
    if len(raw) != numel * dtype.itemsize:
        msg = f"{name} stores {len(raw)} bytes for {numel} numbers of {dtype.itemsize} bytes"
        raise RefusedError(msg)
    return torch.frombuffer(raw, dtype=dtype) if numel else torch.empty(0, dtype=dtype)


def _bytes(record: Any) -> Any:  # noqa: ANN401
    """Bytes, which protocol 2 writes as a text to be encoded; anything else stays as it is."""
    if is_call(record, _ENCODE) and record.arguments[1:] == ("latin1",):
        text = record.arguments[0]
        return memoryview(bytearray(text, "latin1")) if isinstance(text, str) else record
    return record


def _reference(record: Any, name: str) -> tuple[torch.dtype, str, int]:  # noqa: ANN401
    """What a persistent id says of its storage; the device is ignored."""
    found = record.value if isinstance(record, PersistentId) else None
    if not isinstance(found, tuple) or len(found) != 6 or found[0] != "storage":
        msg = f"the numbers of {name} are {described(record)}, not a storage"
        raise RefusedError(msg)
    _, kind, key, _, numel, view = found
    if not isinstance(kind, Global) or kind.name not in _STORAGES:
        msg = f"the numbers of {name} are of type {described(kind)}"
        raise RefusedError(msg)
    if not isinstance(key, str) or view is not None:
        msg = f"the numbers of {name} are a view of others"
        raise RefusedError(msg)
    return _STORAGES[kind.name], key, _non_negative(numel)


def _numpy(name: str) -> tuple[str, str]:
    """Both spellings of a numpy global: before and since numpy 2."""
    return f"numpy.core.{name}", f"numpy._core.{name}"


def array(record: Any, name: str) -> NDArray[Any]:  # noqa: ANN401
    """A numpy array of plain numbers, a copy.

    Raises:
        RefusedError: for objects, big-endian numbers, or sizes that do not fit.
    """
    if is_call(record, *_numpy("numeric._frombuffer")) and not record.built:
        data, dtype, shape, order = record.arguments
        return _filled(data, _dtype(dtype, name), shape, fortran=order == "F", name=name)
    if not is_call(record, *_numpy("multiarray._reconstruct")) or not record.built:
        msg = f"{name} is {described(record)}, not an array"
        raise RefusedError(msg)
    if record.arguments[0] != Global("numpy.ndarray") or not isinstance(record.state, tuple):
        msg = f"{name} is not a plain array"
        raise RefusedError(msg)
    _, shape, dtype, fortran, data = record.state
    return _filled(data, _dtype(dtype, name), shape, fortran=fortran is True, name=name)


def scalar(record: Any, name: str) -> int:  # noqa: ANN401
    """A whole number, plain or as a numpy scalar."""
    if isinstance(record, int) and not isinstance(record, bool):
        return record
    if is_call(record, *_numpy("multiarray.scalar")) and len(record.arguments) == 2:
        dtype, data = record.arguments
        value = _filled(data, _dtype(dtype, name), (), fortran=False, name=name)
        if value.dtype.kind in "iu":
            return int(value)
    msg = f"{name} is {described(record)}, not a whole number"
    raise RefusedError(msg)


def _dtype(record: Any, name: str) -> np.dtype[Any]:  # noqa: ANN401
    if is_call(record, "numpy.dtype") and isinstance(record.arguments[0], str):
        code, state = record.arguments[0], record.state
        order = state[1] if isinstance(state, tuple) and len(state) > 1 else None
        if code in _DTYPES and order in ("<", "|"):
            return np.dtype(f"<{code}")
        msg = f"{name} holds numbers of type {code!r}, byte order {shown(order)}"
        raise RefusedError(msg)
    msg = f"the type of {name} is {described(record)}"
    raise RefusedError(msg)


def _filled(
    data: Any,  # noqa: ANN401
    dtype: np.dtype[Any],
    shape: Any,  # noqa: ANN401
    *,
    fortran: bool,
    name: str,
) -> NDArray[Any]:
    sizes, data = _sizes(shape), _bytes(data)
    if not isinstance(data, memoryview) or len(data) != math.prod(sizes) * dtype.itemsize:
        msg = f"{name} of {sizes} does not fit its bytes"
        raise RefusedError(msg)
    flat = np.frombuffer(data, dtype=dtype)
    return flat.reshape(sizes, order="F" if fortran else "C").copy()
