"""Regions recorded and replayed without a GPU, by the rules of CUDA graphs, strictly.

Recording tapes every operation; a replay runs the tape again into the very tensors that recording
made. The rules that a GPU breaks in silence are errors here:

- recording computes nothing: what it made is not a number until the first replay,
- between replays from one pool, everything that any of its regions made is overwritten,
- a lent result fails when it is used after the next replay,
- each replay walks the Python code once more beside the tape: another operation, number or tensor
  than the recorded one is an error (a frozen Python number, a rebound input, a branch).

Sources: https://docs.nvidia.com/dl-cuda-graph and PyTorch's notes on CUDA graph semantics.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, final

import torch
from torch import Tensor
from torch.utils._pytree import tree_flatten, tree_leaves
from typing_extensions import override

from guidebench.engines.graphs import WARM_UPS, AbstractGraphs, Region
from guidebench.engines.operations import EachOperation, Operator, tensors_in
from guidebench.engines.safety import UnsafeRegionError, check_operation


class ReplayError(RuntimeError):
    """A replay would not do what the region's Python code now says, or a result is stale."""


@final
@dataclass(slots=True)
class _Operation:
    """One taped operation with its arguments and what it gave while recording."""

    func: Operator
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    results: list[Tensor]
    result: Any
    is_view: bool


@final
@dataclass(slots=True)
class StandInPool:
    """Tensors that the regions of one pool made, and how many replays there have been."""

    made: list[Tensor] = field(default_factory=list)
    replays: int = 0

    def poison(self) -> None:
        """Overwrite everything, as another region of the pool might."""
        for tensor in self.made:
            tensor.fill_(float("nan") if tensor.is_floating_point() else 0)


@final
class StandInGraphs(AbstractGraphs[StandInPool]):
    """Records on the CPU. `together` runs calls in reverse order: they may not need each other."""

    def __init__(self, device: torch.device | str = "cpu") -> None:
        self.device = torch.device(device)

    @override
    def new_pool(self) -> StandInPool:
        return StandInPool()

    @override
    @torch.inference_mode()
    def record(self, region: Region, pool: StandInPool) -> Region:
        for _ in range(WARM_UPS):
            region()
        tape = _Tape(self.device)
        with tape:
            result = region()
        tape.restore()
        pool.made += tape.made()
        pool.poison()

        @torch.inference_mode()
        def replay() -> Tensor:
            pool.replays += 1
            with _Walk(tape.operations) as walk:
                again = region()
            walk.finish(again, result)
            pool.poison()
            for operation in tape.operations:
                _run(operation)
            return _Lent.of(result, pool)

        return replay

    @override
    def together(self, calls: Sequence[Callable[[], Tensor]]) -> list[Tensor]:
        return [call() for call in reversed(calls)][::-1]


@final
class _Tape(EachOperation):
    """Writes down operations, and keeps a copy of what they are about to overwrite."""

    def __init__(self, device: torch.device) -> None:
        super().__init__()
        self.device = device
        self.operations: list[_Operation] = []
        self._before: list[tuple[Tensor, Tensor]] = []
        self._storages: set[int] = set()

    @override
    def operation(self, func: Operator, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        check_operation(func, args, kwargs, self.device)
        for tensor in _overwritten(func, args, kwargs):
            if _storage(tensor) not in self._storages:
                self._before.append((tensor, tensor.clone()))
        result = func(*args, **kwargs)
        results = [leaf for leaf in tree_leaves(result) if isinstance(leaf, Tensor)]
        known = {_storage(t) for t in tensors_in((args, kwargs))}
        is_view = all(_storage(t) in known for t in results) and not func._schema.is_mutable  # noqa: SLF001
        if not func._schema.is_mutable:  # noqa: SLF001
            self._storages |= {_storage(t) for t in results if _storage(t) not in known}
        self.operations.append(_Operation(func, args, kwargs, results, result, is_view))
        return result

    def made(self) -> list[Tensor]:
        """Each tensor that an operation allocated; views of it are not told apart."""
        return [
            t
            for o in self.operations
            if not o.is_view and not o.func._schema.is_mutable  # noqa: SLF001
            for t in o.results
            if _storage(t) in self._storages
        ]

    def restore(self) -> None:
        """Undo what was written to tensors from outside: recording runs nothing on a GPU."""
        for tensor, before in reversed(self._before):
            tensor.copy_(before)


@final
class _Walk(EachOperation):
    """Follows a tape without computing: each operation must be the recorded one."""

    def __init__(self, operations: Sequence[_Operation]) -> None:
        super().__init__()
        self._left: Iterator[_Operation] = iter(operations)

    @override
    def operation(self, func: Operator, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        taped = next(self._left, None)
        if taped is None or taped.func is not func:
            recorded = "nothing" if taped is None else taped.func
            msg = f"the region now runs {func} where {recorded} was recorded"
            raise ReplayError(msg)
        now, now_form = tree_flatten((args, kwargs))
        then, then_form = tree_flatten((taped.args, taped.kwargs))
        if now_form != then_form:
            msg = f"{func} now takes other arguments than were recorded"
            raise ReplayError(msg)
        for new, old in zip(now, then, strict=True):
            _same(func, new, old)
        return taped.result

    def finish(self, result: Tensor, recorded: Tensor) -> None:
        """The region has ended: so must the tape."""
        if (rest := next(self._left, None)) is not None:
            msg = f"the region now ends before {rest.func}, which was recorded"
            raise ReplayError(msg)
        if result is not recorded:
            msg = "the region now returns another tensor than was recorded"
            raise ReplayError(msg)


def _same(func: Operator, new: object, old: object) -> None:
    if isinstance(new, Tensor) or isinstance(old, Tensor):
        if new is not old:
            msg = f"{func} now takes another tensor than the recorded one: an input was rebound"
            raise ReplayError(msg)
    elif new != old:
        msg = f"{func} now takes {new!r}, but {old!r} was recorded: a Python value is frozen"
        raise ReplayError(msg)


def _run(operation: _Operation) -> None:
    """Again, into the recorded tensors. Views need nothing: they look at their base's memory."""
    if operation.is_view:
        return
    found = operation.func(*operation.args, **operation.kwargs)
    if operation.func._schema.is_mutable:  # noqa: SLF001
        return
    new = [leaf for leaf in tree_leaves(found) if isinstance(leaf, Tensor)]
    for old, now in zip(operation.results, new, strict=True):
        old.copy_(now)


@final
class _Lent(Tensor):
    """A result in a pool's memory: usable until the pool's next replay."""

    pool: StandInPool
    replay: int

    @staticmethod
    def of(tensor: Tensor, pool: StandInPool) -> "_Lent":
        lent: _Lent = tensor.as_subclass(_Lent)
        lent.pool, lent.replay = pool, pool.replays
        return lent

    @classmethod
    @override
    def __torch_function__(
        cls,
        func: Any,
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        for leaf in tree_leaves((args, kwargs)):
            if isinstance(leaf, _Lent) and leaf.replay != leaf.pool.replays:
                msg = "a lent result was used after the next replay; copy it out before"
                raise ReplayError(msg)
        with torch._C.DisableTorchFunctionSubclass():  # noqa: SLF001
            return func(*args, **(kwargs or {}))


def _overwritten(
    func: Operator, args: tuple[object, ...], kwargs: dict[str, object]
) -> Iterator[Tensor]:
    """Arguments that an operation writes to, from its schema."""
    for index, argument in enumerate(func._schema.arguments):  # noqa: SLF001
        if argument.alias_info is not None and argument.alias_info.is_write:
            value = args[index] if index < len(args) else kwargs.get(argument.name)
            yield from tensors_in(value)


def _storage(tensor: Tensor) -> int:
    return tensor.untyped_storage().data_ptr()


__all__ = ["ReplayError", "StandInGraphs", "StandInPool", "UnsafeRegionError"]
