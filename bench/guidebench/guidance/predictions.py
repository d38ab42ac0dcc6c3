"""First axis: predictions of the clean sample, each with the network calls that it costs."""

from typing import Literal, final

from pydantic import BaseModel


class Frozen(BaseModel, frozen=True, extra="forbid", allow_inf_nan=False):
    """Base of all guidance data: immutable, hashable, no unknown fields, finite numbers."""


@final
class NetworkPrediction(Frozen, frozen=True):
    """D(x; sigma, labels) of the network in the given role, with the asked or no labels."""

    kind: Literal["network"] = "network"
    network: str
    labels: Literal["asked", "none"]


@final
class InputPrediction(Frozen, frozen=True):
    """The noisy input itself, x: as a prediction, the zero score. Costs no network call."""

    kind: Literal["input"] = "input"


Prediction = NetworkPrediction | InputPrediction

MAIN = NetworkPrediction(network="main", labels="asked")
"""The network that is guided: what a run without guidance samples from."""

GUIDE = NetworkPrediction(network="guide", labels="asked")
"""A worse version of the main network, asked for the same thing (autoguidance)."""

UNCONDITIONAL = NetworkPrediction(network="unconditional", labels="none")
"""A network that is not told the condition (classifier-free guidance)."""

INPUT = InputPrediction()
