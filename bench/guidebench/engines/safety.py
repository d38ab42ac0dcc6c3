"""What no recorded region may do, noticed operation by operation.

Recording itself fails on some of it, only on a GPU, and lets other things pass in silence: a
Python number that was read from a tensor, a copy from the host. This mode names the operation
on any device, also on fake CUDA tensors (`torch._subclasses.FakeTensorMode`) without a GPU.
"""

from collections.abc import Callable
from typing import Any, final

import torch
from torch import Tensor
from typing_extensions import override

from guidebench.engines.operations import EachOperation, Operator, tensors_in

_TAGS = {
    torch.Tag.data_dependent_output: "a value of the device is read by Python",
    torch.Tag.dynamic_output_shape: "the result's shape depends on values",
    torch.Tag.nondeterministic_seeded: "random numbers are drawn",
}
_FROM_PYTHON = {"lift_fresh", "lift", "lift_fresh_copy"}


class UnsafeRegionError(RuntimeError):
    """An operation that a recorded region may not hold."""


@final
class RegionGuard(EachOperation):
    """Raises `UnsafeRegionError` for the first operation that cannot be recorded.

    These are: reading a value (`.item()`, `bool()`), shapes that depend on values, random
    numbers, tensors made from Python data, copies between devices, and arguments on the host,
    zero-dimensional ones included, which torch lets pass.
    """

    def __init__(self, device: torch.device | str) -> None:
        super().__init__()
        self.device = torch.device(device)
        self.operations: list[str] = []

    @override
    def operation(self, func: Operator, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        check_operation(func, args, kwargs, self.device)
        self.operations.append(str(func))
        result = func(*args, **kwargs)
        for tensor in tensors_in(result):
            if tensor.device.type != self.device.type:
                msg = f"{func} makes a tensor on {tensor.device} in a region on {self.device}"
                raise UnsafeRegionError(msg)
        return result


def check_operation(
    func: Operator, args: tuple[object, ...], kwargs: dict[str, object], device: torch.device
) -> None:
    """Look at one operation before it runs.

    Raises:
        UnsafeRegionError: where a region on `device` may not hold it.
    """
    for tag, reason in _TAGS.items():
        if tag in func.tags and not _is_harmless(func, args, kwargs):
            msg = f"{func} in a region: {reason}"
            raise UnsafeRegionError(msg)
    if func.overloadpacket.__name__ in _FROM_PYTHON:
        msg = f"{func} in a region: a tensor is made from Python data; make it before"
        raise UnsafeRegionError(msg)
    for tensor in tensors_in((args, kwargs)):
        if tensor.device.type != device.type:
            msg = f"{func} in a region on {device} takes a tensor on {tensor.device}"
            raise UnsafeRegionError(msg)


def _is_harmless(func: Operator, args: tuple[object, ...], kwargs: dict[str, object]) -> bool:
    """Attention without dropout draws nothing; integer indices give shapes that are known."""
    name = func.overloadpacket.__name__
    if "scaled_dot_product" in name:
        names = [argument.name for argument in func._schema.arguments]  # noqa: SLF001
        given = dict(zip(names, args, strict=False)) | kwargs
        return not given.get("dropout_p", 0.0)
    if name == "index":
        return all(t.dtype not in {torch.bool, torch.uint8} for t in tensors_in(args[1]))
    return False


def checked(region: Callable[[], Tensor], device: torch.device | str) -> list[str]:
    """Run a region once under the guard; returns the operations that it ran, in order.

    Raises:
        UnsafeRegionError: for the first one that cannot be recorded.
    """
    guard = RegionGuard(device)
    with guard:
        region()
    return guard.operations
