"""A plan as replays of recorded steps: static tensors, one region a kind, one pool for all.

Shapes: B samples of a batch, L class labels, N steps, K coefficients of a step.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, Final, final

import torch
from torch import Tensor

from guidebench.engines._base import require_like
from guidebench.engines.graphs import AbstractGraphs, Replay
from guidebench.guidance import InputPrediction, Prediction, Scheme
from guidebench.sampling.fused import (
    Active,
    StepKind,
    coefficient_table,
    guided_step,
    step_kinds,
)
from guidebench.sampling.plan import Plan

NetworkOfTensors = Callable[[Tensor, Tensor, Tensor | None], Tensor]
"""(x, sigma [], one-hot labels or None) -> D(x; sigma, labels), nothing read by Python."""

Compile = Callable[[NetworkOfTensors], NetworkOfTensors]
_STATICS: Final = ("x", "labels_BL", "noise", "table_NK", "index_1")


@final
class RecordedSteps:
    """Samples batches of any sizes; the regions of a size are recorded when it first comes.

    The largest size should come first: later ones then fit into the pool's memory.

    Args:
        plan: what each evaluation computes.
        scheme: how predictions are combined.
        networks: by role.
        graphs: the device's way of recording.
        s_noise: inflation of churn noise.
        compiled: makes a network faster before it is recorded. Networks and not the guided
            denoiser: which predictions a scheme needs is Python's to say, not a compiler's.
    """

    def __init__(
        self,
        plan: Plan,
        scheme: Scheme,
        networks: Mapping[str, NetworkOfTensors],
        graphs: AbstractGraphs[Any],
        *,
        s_noise: float = 1.0,
        compiled: Compile | None = None,
    ) -> None:
        self.plan, self.scheme, self.graphs = plan, scheme, graphs
        self.networks = networks if compiled is None else _compiled(networks, compiled)
        self.kinds = step_kinds(plan)
        self._table_NK = coefficient_table(plan, s_noise=s_noise)
        self._pool = graphs.new_pool()
        self._sizes: dict[int, _Batch] = {}

    def sample(
        self, x_start: Tensor, labels_BL: Tensor | None, draw: Callable[[], Tensor]
    ) -> tuple[Tensor, Counter[str]]:
        """Integrate from `x_start`; also the network calls of all steps, by role.

        The result is the caller's to keep.

        Raises:
            ValueError: for a batch of another shape, type or device than that size was
                recorded with.
        """
        size = len(x_start)
        if size not in self._sizes:
            table_NK = self._table_NK.to(x_start.device)
            self._sizes[size] = _Batch(self, x_start, labels_BL, table_NK, self._pool)
        batch = self._sizes[size]
        batch.load(x_start, labels_BL)
        state, calls = batch.x, Counter[str]()
        for kind in self.kinds:
            if kind.raises_noise:
                batch.load_noise(draw())
            state = batch.replay(kind)
            calls += batch.calls[kind]
        return state.clone(), calls


@final
class _Batch:
    """Static tensors of one batch size and the replays that work on them."""

    def __init__(
        self,
        steps: RecordedSteps,
        x: Tensor,
        labels_BL: Tensor | None,
        table_NK: Tensor,
        pool: Any,  # noqa: ANN401  the device's own kind
    ) -> None:
        self.steps = steps
        self.x = torch.zeros_like(x)
        self.noise = torch.zeros_like(x)
        self.labels_BL = None if labels_BL is None else torch.zeros_like(labels_BL)
        self.table_NK = table_NK
        self.index_1 = torch.zeros(1, dtype=torch.int64, device=x.device)
        self._replays: dict[StepKind, Replay] = {}
        self.calls: dict[StepKind, Counter[str]] = {}
        for kind in dict.fromkeys(steps.kinds):
            self.x.zero_()
            self.index_1.zero_()
            recorded = steps.graphs.record(partial(self._region, kind), pool)
            self._replays[kind] = Replay(recorded, self._statics)

    def load(self, x: Tensor, labels_BL: Tensor | None) -> None:
        """Copy a batch into the static tensors and go to the first step."""
        _copy_into("x", self.x, x)
        require_like("labels", self.labels_BL, labels_BL)
        if self.labels_BL is not None and labels_BL is not None:
            self.labels_BL.copy_(labels_BL)
        self.index_1.zero_()

    def load_noise(self, noise: Tensor) -> None:
        """Copy the noise of the next step, drawn outside: it belongs to the samples' seeds."""
        _copy_into("noise", self.noise, noise)

    def replay(self, kind: StepKind) -> Tensor:
        """Take the next step, which is of this kind; lends the state."""
        return self._replays[kind]()

    def _statics(self) -> dict[str, Tensor]:
        found = {name: getattr(self, name) for name in _STATICS}
        return {name: tensor for name, tensor in found.items() if tensor is not None}

    def _region(self, kind: StepKind) -> Tensor:
        made = self.calls[kind] = Counter[str]()
        row_K = self.table_NK.index_select(0, self.index_1)[0]
        evaluate = partial(self._guided, made)
        self.x.copy_(guided_step(evaluate, kind, self.x, row_K, self.noise))
        self.index_1.add_(1).remainder_(len(self.table_NK))
        return self.x

    def _guided(
        self,
        made: Counter[str],
        x: Tensor,
        sigma: Tensor,
        gains: Sequence[Tensor],
        active: Active,
    ) -> Tensor:
        """The guided denoiser; counts its network calls in `made`."""
        steps = self.steps

        def predict(prediction: Prediction) -> Tensor:
            if isinstance(prediction, InputPrediction):
                return x
            made[prediction.network] += 1
            labels = self.labels_BL if prediction.labels == "asked" else None
            return steps.networks[prediction.network](x, sigma, labels)

        needed = steps.scheme.needed(active)
        found = steps.graphs.together([partial(predict, p) for p in needed])
        return steps.scheme.combine(
            dict(zip(needed, found, strict=True)).__getitem__, gains, active
        )


def _compiled(
    networks: Mapping[str, NetworkOfTensors], compiled: Compile
) -> dict[str, NetworkOfTensors]:
    """Each network compiled once, whatever the number of its roles."""
    each = {id(network): network for network in networks.values()}
    made = {key: compiled(network) for key, network in each.items()}
    return {role: made[id(network)] for role, network in networks.items()}


def _copy_into(name: str, static: Tensor, new: Tensor) -> None:
    require_like(name, static, new)
    static.copy_(new)
