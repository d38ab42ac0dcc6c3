"""The fused guided step: predictor, corrector, every network and their combination as one region.

Everything that varies between steps is a row of one table on the device, chosen by an index on
the device that the step itself moves on. So one recorded region serves all steps of a kind, and
nothing in it looks at a number of Python's.

Shapes: B samples of a batch, N steps, K coefficients of a step, T terms of the scheme.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor

from guidebench.sampling.plan import Plan

Active = tuple[bool, ...]
"""Which terms of the scheme are computed."""

Evaluate = Callable[[Tensor, Tensor, Sequence[Tensor], Active], Tensor]
"""(x, sigma, gains, active terms) -> guided D(x; sigma); sigma and gains are 0-dimensional."""


@final
@dataclass(frozen=True, slots=True)
class StepKind:
    """What a step computes. Steps of one kind differ in numbers alone and share a region.

    Attributes:
        first: terms of the predictor's evaluation.
        second: terms of the corrector's; None in the last step, which has none.
        raises_noise: whether fresh noise is added first.
    """

    first: Active
    second: Active | None
    raises_noise: bool


def step_kinds(plan: Plan) -> tuple[StepKind, ...]:
    """The kind of each step: inside an interval, outside, crossing it, the last one, ..."""
    evaluations = iter(plan.evaluations)
    kinds = []
    for step in plan.steps:
        active = [tuple(g != 0 for g in next(evaluations).gains) for _ in step.sigmas]
        second = active[1] if len(active) > 1 else None
        kinds.append(StepKind(active[0], second, raises_noise=step.sigma_hat > step.sigma))
    return tuple(kinds)


def coefficient_table(plan: Plan, *, s_noise: float) -> Tensor:
    """Each step's numbers, rounded once from double precision, float32 [N, K].

    Columns: churn, sigma, h = sigma_next - sigma, sigma_next, then T gains of each evaluation.
    """
    evaluations, rows = iter(plan.evaluations), []
    for step in plan.steps:
        churn = math.sqrt(step.sigma_hat**2 - step.sigma**2) * s_noise
        gains = [next(evaluations).gains for _ in step.sigmas]
        second = gains[1] if len(gains) > 1 else (0.0,) * len(gains[0])
        h = step.sigma_next - step.sigma_hat
        rows.append([churn, step.sigma_hat, h, step.sigma_next, *gains[0], *second])
    return torch.tensor(rows, dtype=torch.float32)


def guided_step(
    evaluate: Evaluate, kind: StepKind, x: Tensor, row_K: Tensor, noise: Tensor | None
) -> Tensor:
    """One step of Alg. 2 in Karras et al. 2022, arXiv:2206.00364, in the order of `heun`.

    Args:
        evaluate: the guided denoiser.
        kind: of this step.
        x: state at the step's noise level.
        row_K: the step's row of `coefficient_table`.
        noise: standard normal, like x; for steps that raise the noise.
    """
    churn, sigma, h, sigma_next, *gains = row_K.unbind()
    terms = len(kind.first)
    if kind.raises_noise:
        assert noise is not None
        x = x + churn * noise
    slope = (x - evaluate(x, sigma, gains[:terms], kind.first)) / sigma
    euler = x + h * slope
    if kind.second is None:
        return euler
    denoised = evaluate(euler, sigma_next, gains[terms:], kind.second)
    return x + h * (0.5 * slope + 0.5 * ((euler - denoised) / sigma_next))
