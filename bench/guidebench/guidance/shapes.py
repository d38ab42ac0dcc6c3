"""Second axis: pure functions of the difference between two predictions.

Only the identity is here yet. A shape that is not linear depends on the space in which
predictions are compared, so each declares it.

Shapes: the letters of the sampler's state, B first.
"""

from typing import TYPE_CHECKING, Literal, final

from guidebench.guidance.predictions import Frozen

if TYPE_CHECKING:
    from torch import Tensor


@final
class Identity(Frozen, frozen=True):
    """The difference as it is: linear extrapolation, the same in x0, eps and v."""

    kind: Literal["identity"] = "identity"
    space: Literal["x0"] = "x0"

    def apply(self, delta: "Tensor") -> "Tensor":
        """`delta`, unchanged."""
        return delta


Shape = Identity
