"""Each operation that torch runs, one by one, as the modes of this part see it."""

from abc import abstractmethod
from collections.abc import Iterator
from typing import Any, final

from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from typing_extensions import override

Operator = Any
"""An operator of torch as a dispatch mode gets it: it has no public type."""


class EachOperation(TorchDispatchMode):
    """Calls `operation` for each one.

    Composite operators come as what they are made of: in inference mode torch hands them over
    whole, `bool()` of a tensor included.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]

    @abstractmethod
    def operation(self, func: Operator, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:  # noqa: ANN401  what the operator gives
        """Run it, or what stands for it."""

    @final
    @override
    def __torch_dispatch__(
        self,
        func: Operator,
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        kwargs = kwargs or {}
        if func.namespace == "aten":  # others are questions about a tensor
            with self:
                if (parts := func.decompose(*args, **kwargs)) is not NotImplemented:
                    return parts
        return self.operation(func, args, kwargs)


def tensors_in(value: object) -> Iterator[Tensor]:
    """Every tensor in nested arguments or results."""
    return (leaf for leaf in tree_leaves(value) if isinstance(leaf, Tensor))
