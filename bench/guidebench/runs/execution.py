"""A spec's engine, ready on its device: start in, sample and network calls out."""

import sys
from collections import Counter
from collections.abc import Mapping
from typing import final

import torch
from torch import Tensor

from guidebench.base import cache_folder
from guidebench.engines._base import AbstractEngine, Eager, Forward
from guidebench.engines.compiled import Compiled, compile_for_gpu
from guidebench.engines.cuda import CudaGraphs
from guidebench.engines.direct import DirectGraphs
from guidebench.engines.static import Static
from guidebench.networks import Denoiser
from guidebench.networks.program import build_program
from guidebench.runs.domains import Start
from guidebench.runs.spec import CheckpointRef, RunSpec
from guidebench.sampling import Plan
from guidebench.sampling.degraded import with_dropout, with_input_noise
from guidebench.sampling.guided import GuidedDenoiser
from guidebench.sampling.heun import heun
from guidebench.sampling.steps import RecordedSteps


@final
class Execution:
    """Integrates batches with the engine that a spec names.

    Args:
        spec: a sampled row.
        plan: of its scheme on its sampler.
        networks: by role, on the spec's device.
    """

    def __init__(self, spec: RunSpec, plan: Plan, networks: Mapping[str, Denoiser]) -> None:
        assert spec.sampler is not None
        assert spec.scheme is not None
        self.spec, self.plan, self.networks = spec, plan, networks
        self.sampler, self.scheme = spec.sampler, spec.scheme
        self._calls: AbstractEngine | None = _call_engine(spec, plan)
        self._steps: RecordedSteps | None = None
        if self._calls is None:
            self._steps = self._recorded_steps()

    def integrate(self, start: Start) -> tuple[Tensor, Counter[str]]:
        """The sample at noise level 0, and the network calls made for it, by role."""

        def draw() -> Tensor:
            return start.noise.normal(start.x.shape[1:])

        if self._steps is not None:
            return self._steps.sample(start.x, start.labels_BL, draw)
        assert self._calls is not None
        forwards = {
            role: self._calls.prepare(self._forward(role, start), start.x, start.labels_BL)
            for role in self.networks
        }
        denoiser = GuidedDenoiser(self.plan, self.scheme, forwards, start.labels_BL)
        x = heun(denoiser, start.x, self.plan.steps, s_noise=self.sampler.s_noise, draw=draw)
        return x, denoiser.calls

    def _recorded_steps(self) -> RecordedSteps:
        device, streams = torch.device(self.spec.device), self.spec.streams or 1
        direct = self.spec.engine == "compiled"
        return RecordedSteps(
            self.plan,
            self.scheme,
            self.networks,
            DirectGraphs() if direct else CudaGraphs(device, streams=streams),
            s_noise=self.sampler.s_noise,
            compiled=None if self.spec.engine == "cuda-graph" else compile_for_gpu,
        )

    def _forward(self, role: str, start: Start) -> Forward:
        network, ref = self.networks[role], self.spec.networks[role]
        worse = ref.degradation if isinstance(ref, CheckpointRef) else None
        if worse is None:
            return network
        if worse.kind == "dropout":
            return with_dropout(network, worse.amount, start.noise)
        return with_input_noise(network, worse.amount, start.noise)


def _call_engine(spec: RunSpec, plan: Plan) -> AbstractEngine | None:
    """The engine of single network calls; None where whole steps are recorded."""
    if spec.engine == "eager":
        return Eager()
    if spec.engine == "static":
        sigmas = [evaluation.sigma for evaluation in plan.evaluations]
        return Static(lambda network, size: build_program(network, batch_size=size), sigmas)
    if spec.engine == "compiled" and spec.device == "cpu":
        return Compiled(cache_folder() / "compiled", lambda text: print(text, file=sys.stderr))
    return None
