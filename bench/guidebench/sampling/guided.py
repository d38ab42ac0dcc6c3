"""The guided denoiser: a plan, its scheme and the networks in their roles, made one function.

Shapes: B samples, L class labels.
"""

from collections import Counter
from collections.abc import Callable, Mapping
from typing import final

from torch import Tensor

from guidebench.guidance import InputPrediction, Prediction, Scheme
from guidebench.sampling.plan import Plan

NetworkCall = Callable[[Tensor, float, Tensor | None], Tensor]
"""(x, sigma, one-hot labels or None) -> D(x; sigma, labels)."""


@final
class GuidedDenoiser:
    """Evaluates a plan's predictions and nothing else, and counts the network calls it made."""

    def __init__(
        self,
        plan: Plan,
        scheme: Scheme,
        networks: Mapping[str, NetworkCall],
        labels_BL: Tensor | None,
    ) -> None:
        self.plan, self.scheme = plan, scheme
        self.networks, self.labels_BL = networks, labels_BL
        self.calls: Counter[str] = Counter()

    def __call__(self, x: Tensor, index: int) -> Tensor:
        """D_guided(x; sigma) of evaluation `index`."""
        evaluation = self.plan.evaluations[index]

        def predict(prediction: Prediction) -> Tensor:
            if isinstance(prediction, InputPrediction):
                return x
            labels = self.labels_BL if prediction.labels == "asked" else None
            self.calls[prediction.network] += 1
            return self.networks[prediction.network](x, evaluation.sigma, labels)

        return self.scheme.combine(predict, evaluation.gains)
