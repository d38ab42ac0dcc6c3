"""A guidance scheme as data: D_guided = D + sum_k g_k(sigma) shape_k(plus_k - minus_k)."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Annotated, Literal, Self, final

from pydantic import Field, model_validator

from guidebench.guidance.predictions import Frozen, NetworkPrediction, Prediction
from guidebench.guidance.schedules import Schedule
from guidebench.guidance.shapes import Shape

if TYPE_CHECKING:
    from torch import Tensor


@final
class Term(Frozen, frozen=True):
    """One signed difference of predictions, shaped and weighted."""

    plus: Annotated[Prediction, Field(discriminator="kind")]
    minus: Annotated[Prediction, Field(discriminator="kind")]
    shape: Shape
    schedule: Annotated[Schedule, Field(discriminator="kind")]


@final
class Scheme(Frozen, frozen=True):
    """A named sum of terms on top of a primary prediction.

    `renoise_from` says from which prediction the sampler takes the noise direction; all
    schemes here use the guided one.
    """

    name: str
    primary: NetworkPrediction
    terms: tuple[Term, ...]
    renoise_from: Literal["guided"] = "guided"

    @model_validator(mode="after")
    def _no_empty_name(self) -> Self:
        if not self.name:
            msg = "a scheme needs a name"
            raise ValueError(msg)
        return self

    def gains(self, sigma: float, step_sigma: float) -> tuple[float, ...]:
        """G of each term at one evaluation; 0 means that the term is not computed."""
        return tuple(t.schedule.gain(sigma, step_sigma) for t in self.terms)

    def needed(self, gains: Sequence[float]) -> tuple[Prediction, ...]:
        """Predictions that an evaluation with these gains computes, each once, in order."""
        found: dict[Prediction, None] = {self.primary: None}
        for term, gain in zip(self.terms, gains, strict=True):
            if gain != 0:
                found |= {term.plus: None, term.minus: None}
        return tuple(found)

    def roles(self) -> tuple[str, ...]:
        """Roles of the networks that the scheme can call, the primary's first."""
        found = {self.primary.network: None}
        for term in self.terms:
            for side in (term.plus, term.minus):
                if isinstance(side, NetworkPrediction):
                    found[side.network] = None
        return tuple(found)

    def combine(
        self,
        predict: Callable[[Prediction], "Tensor"],
        gains: "Sequence[float | Tensor]",
        active: Sequence[bool] | None = None,
    ) -> "Tensor":
        """Guided prediction of the clean sample, of the shape and dtype of the primary's.

        Args:
            predict: computes one prediction; called at most once for each that is needed.
            gains: what `gains` returned for this evaluation, or the same as tensors.
            active: which terms are computed; without it, those whose gain is not 0. Given for
                gains that are tensors, at whose values nothing looks.
        """
        used = tuple(bool(gain != 0) for gain in gains) if active is None else tuple(active)
        found = {p: predict(p) for p in self.needed(used)}
        guided = found[self.primary]
        for term, gain, is_used in zip(self.terms, gains, used, strict=True):
            if is_used:
                guided = guided + gain * term.shape.apply(found[term.plus] - found[term.minus])
        return guided
