"""Whole guided sampling by every engine of a CPU, taking turns in one process.

    python -m tests.bench.engines [THREADS] [BATCH ...]     prints the table of docs/engines.md

The baseline is the network as published code runs it (`tests.reference.edm2`: weights normalised
at each call, channels first, attention by einsum) under the plain sampler. Ratios are taken within
each round, so that a busy machine slows both sides.
"""

import statistics
import sys
import time
from collections.abc import Callable

import torch
from torch import Tensor

from guidebench.checkpoints.builtin import builtin_file
from guidebench.checkpoints.weights import load_snapshots
from guidebench.engines import EngineName
from guidebench.networks import EDM2Denoiser
from guidebench.runs.catalog import select
from guidebench.runs.domains import Start, domain_of
from guidebench.runs.execution import Execution
from guidebench.runs.sample import networks_of
from guidebench.runs.spec import NetworkRef, RunSpec
from guidebench.sampling import deterministic_heun, make_plan
from guidebench.sampling.guided import GuidedDenoiser
from guidebench.sampling.heun import heun
from tests.reference.edm2 import SlowEDM2

ROW = "digits::autoguidance-w1-5"
ENGINES: tuple[EngineName, ...] = ("eager", "static", "compiled")
ROUNDS, LEAST_SECONDS = 7, 0.3
Sample = Callable[[Start], Tensor]


def published_way(spec: RunSpec) -> Sample:
    """The slow networks under the plain sampler."""
    assert spec.sampler is not None
    assert spec.scheme is not None
    networks = {}
    for role, ref in spec.networks.items():
        assert isinstance(ref, NetworkRef)
        file = load_snapshots(builtin_file(ref.name)[0])
        loaded = file.reconstruct(ref.iteration, ref.ema)
        state = {name: loaded[name] for name in EDM2Denoiser(**file.config).state_dict()}
        networks[role] = SlowEDM2(state, channels_per_head=file.config["channels_per_head"])
    plan, scheme = make_plan(spec.sampler, spec.scheme), spec.scheme

    def sample(start: Start) -> Tensor:
        return heun(GuidedDenoiser(plan, scheme, networks, start.labels_BL), start.x, plan.steps)

    return sample


def by_engine(spec: RunSpec, engine: EngineName) -> Sample:
    """An engine of ours, prepared on its first call."""
    assert spec.sampler is not None
    assert spec.scheme is not None
    plan = make_plan(spec.sampler, spec.scheme)
    execution = Execution(spec.with_options(engine=engine), plan, networks_of(spec))
    return lambda start: execution.integrate(start)[0]


def seconds(call: Callable[[], object]) -> float:
    """Of one call, from as many as fill a third of a second."""
    began, calls = time.perf_counter(), 0
    while time.perf_counter() - began < LEAST_SECONDS:
        call()
        calls += 1
    return (time.perf_counter() - began) / calls


@torch.inference_mode()
def measure(size: int) -> None:
    """Print the rows of one batch size."""
    spec = select([ROW])[0].spec.with_options(
        sampler=deterministic_heun(32, sigma_max=80.0), batch_size=size, shard_size=size
    )
    start = domain_of(spec).start(range(size), 80.0, torch.device("cpu"))
    ways: dict[str, Sample] = {"published way": published_way(spec)}
    ways |= {name: by_engine(spec, name) for name in ENGINES}
    results = {name: way(start) for name, way in ways.items()}
    rounds = [
        {name: seconds(lambda way=way: way(start)) for name, way in ways.items()}  # type: ignore[misc]
        for _ in range(ROUNDS)
    ]
    for name, result in results.items():
        ratios = sorted(r["published way"] / r[name] for r in rounds)
        middle = statistics.median(r[name] for r in rounds)
        apart = (result - results["eager"]).abs().max().item()
        print(
            f"| {size} | {name} | {middle * 1e3:.0f} ms | {ratios[0]:.2f} / "
            f"{statistics.median(ratios):.2f} / {ratios[-1]:.2f} | {apart:.1e} |",
            flush=True,
        )


def main() -> None:
    """Measure every batch size."""
    threads, *sizes = [int(word) for word in sys.argv[1:]] or [1, 1, 4, 16, 128]
    torch.set_num_threads(threads)
    print(f"{ROW}, 32 Heun steps of 2 networks; {threads} thread(s), {ROUNDS} rounds\n")
    print("| batch | engine | a batch, median | ratio, min / median / max | farthest from eager |")
    print("|---|---|---|---|---|")
    for size in sizes:
        measure(size)


if __name__ == "__main__":
    main()
