"""Recorded steps on the strict stand-in against the plain sampler, bit for bit."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import final

import pytest
import torch
from torch import Tensor
from typing_extensions import override

from guidebench.engines.direct import DirectGraphs
from guidebench.engines.graphs import AbstractGraphs, Region
from guidebench.engines.stand_in import ReplayError, StandInGraphs, StandInPool
from guidebench.guidance import SCHEMES, Scheme
from guidebench.runs.catalog import select
from guidebench.runs.sample import networks_of
from guidebench.sampling import HeunSpec, deterministic_heun, make_plan
from guidebench.sampling.fused import StepKind, coefficient_table, step_kinds
from guidebench.sampling.guided import GuidedDenoiser
from guidebench.sampling.heun import heun
from guidebench.sampling.noise import PerSeed
from guidebench.sampling.steps import RecordedSteps
from tests.guidance.test_all import NAMES, example

LABELS, SHAPE = 4, (2, 3)
INTERVAL = example("cfg-interval")


def network(factor: float) -> Callable[[Tensor, Tensor | float, Tensor | None], Tensor]:
    def call(x: Tensor, sigma: Tensor | float, labels_BL: Tensor | None) -> Tensor:
        level = torch.as_tensor(sigma, dtype=torch.float32)  # as the networks do
        mean = x * factor / (1 + level)
        return mean if labels_BL is None else mean + labels_BL.sum(1)[:, None, None]

    return call


NETWORKS = {"main": network(0.9), "guide": network(0.7), "unconditional": network(0.5)}


def sampler(*, s_churn: float = 0.0, num_steps: int = 12) -> HeunSpec:
    return HeunSpec(
        num_steps=num_steps, sigma_min=0.002, sigma_max=80.0, rho=7.0, s_churn=s_churn,
        s_min=0.05, s_max=50.0, s_noise=1.003,
    )  # fmt: skip


def batch(seeds: range, *, labels: bool = True) -> tuple[Tensor, Tensor | None, PerSeed]:
    noise = PerSeed(seeds)
    x = noise.normal(SHAPE) * 80.0
    return x, (noise.uniform((LABELS,)) if labels else None), noise


def recorded(scheme: Scheme, spec: HeunSpec) -> RecordedSteps:
    plan = make_plan(spec, scheme)
    return RecordedSteps(plan, scheme, NETWORKS, StandInGraphs(), s_noise=spec.s_noise)


def plain(scheme: Scheme, spec: HeunSpec, seeds: range, *, labels: bool = True) -> Tensor:
    x, labels_BL, noise = batch(seeds, labels=labels)
    plan = make_plan(spec, scheme)
    denoiser = GuidedDenoiser(plan, scheme, NETWORKS, labels_BL)
    return heun(denoiser, x, plan.steps, s_noise=spec.s_noise, draw=lambda: noise.normal(SHAPE))


def replayed(steps: RecordedSteps, seeds: range, *, labels: bool = True) -> Tensor:
    x, labels_BL, noise = batch(seeds, labels=labels)
    found, calls = steps.sample(x, labels_BL, lambda: noise.normal(SHAPE))
    assert dict(calls) == steps.plan.network_calls()
    return found


@pytest.mark.parametrize("s_churn", [0.0, 5.0])
@pytest.mark.parametrize("name", NAMES)
def test_is_the_plain_sampler_bit_for_bit_again_and_again(name: str, s_churn: float) -> None:
    """Twice on other values, then a smaller last batch, then the first size once more."""
    scheme, spec = example(name), sampler(s_churn=s_churn)
    steps = recorded(scheme, spec)
    runs = [(seeds, replayed(steps, seeds)) for seeds in (range(4), range(4, 8), range(8, 11))]
    runs.append((range(4), replayed(steps, range(4))))
    for seeds, found in runs:
        assert torch.equal(found, plain(scheme, spec, seeds))


def test_without_labels() -> None:
    scheme, spec = example("autoguidance"), sampler()
    found = replayed(recorded(scheme, spec), range(3), labels=False)
    assert torch.equal(found, plain(scheme, spec, range(3), labels=False))


def test_one_recording_serves_all_steps_of_a_kind() -> None:
    steps = recorded(INTERVAL, sampler(num_steps=32))
    replayed(steps, range(2))
    (made,) = steps._sizes.values()
    assert len(steps.kinds) == 32
    assert set(made.calls) == {
        StepKind((False,), (False,), raises_noise=False),
        StepKind((True,), (True,), raises_noise=False),
        StepKind((False,), None, raises_noise=False),
    }


@final
class Watched(AbstractGraphs[StandInPool]):
    """The stand-in, with notes of what was asked of it."""

    def __init__(self) -> None:
        self.graphs = StandInGraphs()
        self.pools, self.together_sizes = list[StandInPool](), list[int]()

    @override
    def new_pool(self) -> StandInPool:
        return self.graphs.new_pool()

    @override
    def record(self, region: Region, pool: StandInPool) -> Region:
        self.pools.append(pool)
        return self.graphs.record(region, pool)

    @override
    def together(self, calls: Sequence[Callable[[], Tensor]]) -> list[Tensor]:
        self.together_sizes.append(len(calls))
        return self.graphs.together(calls)


def test_each_kind_of_each_size_is_recorded_once_and_all_share_a_pool() -> None:
    spec, graphs = sampler(num_steps=8), Watched()
    steps = RecordedSteps(
        make_plan(spec, INTERVAL), INTERVAL, NETWORKS, graphs, s_noise=spec.s_noise
    )
    for seeds in (range(4), range(4, 7), range(4)):
        replayed(steps, seeds)
    assert len(graphs.pools) == 2 * len(set(steps.kinds))
    assert len({id(pool) for pool in graphs.pools}) == 1


def test_predictions_of_one_evaluation_may_run_at_the_same_time() -> None:
    spec, graphs = sampler(num_steps=2), Watched()
    scheme = example("autoguidance")
    replayed(RecordedSteps(make_plan(spec, scheme), scheme, NETWORKS, graphs), range(2))
    assert set(graphs.together_sizes) == {2}


def test_a_batch_that_failed_midway_leaves_nothing_to_the_next() -> None:
    scheme, spec = example("cfg"), sampler(s_churn=5.0)
    steps = recorded(scheme, spec)
    x, labels_BL, noise = batch(range(4))
    draws = iter([noise.normal(SHAPE)] * 3)
    with pytest.raises(StopIteration):
        steps.sample(x, labels_BL, lambda: next(draws))
    assert torch.equal(replayed(steps, range(4, 8)), plain(scheme, spec, range(4, 8)))


def test_steps_that_cross_an_interval_are_kinds_of_their_own() -> None:
    """Where each evaluation follows its own noise level."""
    (term,) = INTERVAL.terms
    schedule = term.schedule.model_copy(update={"stage": "own"})
    own = INTERVAL.model_copy(update={"terms": (term.model_copy(update={"schedule": schedule}),)})
    spec = sampler(num_steps=32)
    kinds = step_kinds(make_plan(spec, own))
    pairs = {(kind.first, kind.second) for kind in kinds}
    assert ((False,), (True,)) in pairs
    assert ((True,), (False,)) in pairs
    assert torch.equal(replayed(recorded(own, spec), range(3)), plain(own, spec, range(3)))


def test_steps_that_raise_the_noise_are_told_apart() -> None:
    kinds = step_kinds(make_plan(sampler(s_churn=5.0), SCHEMES["none"]()))
    assert {kind.raises_noise for kind in kinds} == {True, False}


def test_the_table_holds_what_the_plan_says() -> None:
    spec = sampler(s_churn=5.0)
    plan = make_plan(spec, INTERVAL)
    table = coefficient_table(plan, s_noise=2.0).double()
    first = [plan.evaluations[2 * i].gains[0] for i in range(len(plan.steps))]
    assert table[:, 1].tolist() == pytest.approx([s.sigma_hat for s in plan.steps])
    assert table[:, 3].tolist() == pytest.approx([s.sigma_next for s in plan.steps])
    assert table[:, 2].tolist() == pytest.approx([s.sigma_next - s.sigma_hat for s in plan.steps])
    raised = [2 * (s.sigma_hat**2 - s.sigma**2) ** 0.5 for s in plan.steps]
    assert table[:, 0].tolist() == pytest.approx(raised)
    assert table[:, 4].tolist() == pytest.approx(first)


@pytest.mark.parametrize("change", ["dtype", "shape", "labels", "no labels"])
def test_what_differs_from_the_recorded_batch_is_refused(change: str) -> None:
    steps = recorded(example("cfg"), sampler(num_steps=2))
    replayed(steps, range(3))
    x, labels_BL, _ = batch(range(3))
    assert labels_BL is not None
    given: dict[str, tuple[Tensor, Tensor | None]] = {
        "dtype": (x.double(), labels_BL),
        "shape": (x[..., :2], labels_BL),
        "labels": (x, labels_BL[:, :2]),
        "no labels": (x, None),
    }
    with pytest.raises(ValueError, match=r"(x|labels) was prepared as .*, got .*; prepare this"):
        steps.sample(*given[change], lambda: x)


def test_a_rebound_state_is_refused() -> None:
    steps = recorded(example("cfg"), sampler(num_steps=2))
    replayed(steps, range(3))
    steps._sizes[3].x = torch.zeros(3, *SHAPE)
    with pytest.raises(ValueError, match="x was rebound after recording"):
        replayed(steps, range(3))


def test_a_python_number_for_sigma_would_be_found() -> None:
    """What the device table is for: a step that takes sigma from Python replays a frozen one."""
    spec, scheme = sampler(num_steps=4), example("none")
    plan = make_plan(spec, scheme)
    sigmas = iter([s for step in plan.steps for s in step.sigmas] * 20)

    def frozen(x: Tensor, _sigma: Tensor, _labels: Tensor | None) -> Tensor:
        return x / (1 + next(sigmas))

    steps = RecordedSteps(plan, scheme, {"main": frozen}, StandInGraphs())
    with pytest.raises(ReplayError, match="a Python value is frozen"):
        replayed(steps, range(2))


def test_direct_calls_are_the_same() -> None:
    scheme, spec = example("cfg-interval"), sampler()
    steps = RecordedSteps(
        make_plan(spec, scheme), scheme, NETWORKS, DirectGraphs(), s_noise=spec.s_noise
    )
    for seeds in (range(4), range(4, 6)):
        assert torch.equal(replayed(steps, seeds), plain(scheme, spec, seeds))


def test_what_is_compiled_is_each_network_once() -> None:
    compiled, calls = [], []

    def compile_(network: Callable[..., Tensor]) -> Callable[..., Tensor]:
        compiled.append(network)

        def wrapped(*args: object) -> Tensor:
            calls.append(network)
            return network(*args)

        return wrapped

    scheme, spec = example("cfg"), sampler(num_steps=3)
    plan = make_plan(spec, scheme)
    one = dict.fromkeys(scheme.roles(), NETWORKS["main"]) | {"more": NETWORKS["guide"]}
    as_they_are, faster = (
        RecordedSteps(plan, scheme, one, DirectGraphs(), s_noise=spec.s_noise, compiled=how)
        for how in (None, compile_)
    )
    assert torch.equal(replayed(faster, range(2)), replayed(as_they_are, range(2)))
    assert compiled == [NETWORKS["main"], NETWORKS["guide"]]
    assert calls == [NETWORKS["main"]] * sum(plan.network_calls().values())


@torch.inference_mode()
@pytest.mark.parametrize(
    ("label", "precision"),
    [
        ("fractal::autoguidance-w3", "fp32"),
        ("digits::autoguidance-w1-5", "fp32"),
        ("digits::cfg-interval-w2", "fp16"),
        ("digits::autoguidance-w1-5", "bf16"),
    ],
)
def test_networks_of_the_suites_are_recorded_bit_for_bit(label: str, precision: str) -> None:
    """On other values each time, and in two sizes."""
    spec = select([label])[0].spec.with_options(precision=precision)
    assert spec.sampler is not None
    assert spec.scheme is not None
    heun_spec = deterministic_heun(4, sigma_max=spec.sampler.sigma_max)
    networks, plan = networks_of(spec), make_plan(heun_spec, spec.scheme)
    steps = RecordedSteps(plan, spec.scheme, networks, StandInGraphs())
    for seeds in (range(3), range(3, 5), range(5, 8)):
        main, noise = networks["main"], PerSeed(seeds)
        x = noise.normal(main.sample_shape) * spec.sampler.sigma_max
        labels = (
            torch.eye(main.label_dim)[noise.integer(main.label_dim)] if main.label_dim else None
        )
        found, _ = steps.sample(x, labels, partial(noise.normal, main.sample_shape))
        denoiser = GuidedDenoiser(plan, spec.scheme, networks, labels)
        assert torch.equal(found, heun(denoiser, x, plan.steps))
