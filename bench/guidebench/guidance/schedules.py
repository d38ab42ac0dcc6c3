"""Third axis: the guidance weight w over noise levels, as host floats.

Users read and write w, where 1 is unguided, as the papers of this family do. Inside,
g = w - 1: off is exactly 0, and then the prediction is never computed.
"""

from typing import Literal, Self, final

from pydantic import model_validator

from guidebench.guidance.predictions import Frozen


@final
class Constant(Frozen, frozen=True):
    """The same weight at every noise level."""

    kind: Literal["constant"] = "constant"
    weight: float

    def gain(self, sigma: float, step_sigma: float) -> float:
        """G = w - 1 for an evaluation at `sigma` in the step that began at `step_sigma`."""
        del sigma, step_sigma
        return self.weight - 1


@final
class Interval(Frozen, frozen=True):
    """Weight w where sigma_lo < sigma <= sigma_hi and 1 elsewhere, arXiv:2404.07724.

    `stage` says which sigma counts in Heun's second evaluation: "step" takes the one at which
    the step began, as the paper's code does, so both evaluations of a step agree; "own" takes
    the evaluation's own.
    """

    kind: Literal["interval"] = "interval"
    weight: float
    sigma_lo: float
    sigma_hi: float
    stage: Literal["step", "own"]

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if not 0 <= self.sigma_lo < self.sigma_hi:
            msg = f"need 0 <= sigma_lo < sigma_hi, got ({self.sigma_lo}, {self.sigma_hi}]"
            raise ValueError(msg)
        return self

    def gain(self, sigma: float, step_sigma: float) -> float:
        """G = w - 1 for an evaluation at `sigma` in the step that began at `step_sigma`."""
        at = step_sigma if self.stage == "step" else sigma
        return self.weight - 1 if self.sigma_lo < at <= self.sigma_hi else 0.0


Schedule = Constant | Interval
