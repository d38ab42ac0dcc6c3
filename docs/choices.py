"""How the built-in suites' free choices were made: prints the tables of docs/choices.md.

    python docs/choices.py digits        EMA lengths, guides and weights, about 10 minutes
    python docs/choices.py guide-seeds   four trainings of the fractal's guide, about 5 minutes

Everything is measured on seeds that the suites do not use.
"""

import sys
from dataclasses import replace

import torch

from guidebench.guidance.catalog import autoguidance, cfg, cfg_interval, none
from guidebench.guidance.scheme import Scheme
from guidebench.networks import build_denoiser
from guidebench.runs.catalog import select
from guidebench.runs.domains import DOMAINS
from guidebench.runs.sample import Sampler
from guidebench.runs.spec import NetworkRef, RunSpec
from guidebench.training.loop import train
from guidebench.training.recipes import RECIPES

FIRST_SEED = 1_000_000


def measured(sampler: Sampler) -> str:
    """Every metric of a spec, as cells of a Markdown row."""
    spec = sampler.spec
    arrays = sampler.sample(range(spec.first_seed, spec.first_seed + spec.num_images)).arrays
    found = DOMAINS[spec.domain].measure(spec.metrics, [arrays])
    cells = [m.pooled() for m in found.values()]
    return " | ".join(f"{e.value:.4f} ± {e.standard_error:.4f}" for e in cells)


def header(name: str, metrics: tuple[str, ...]) -> None:
    """First two lines of a Markdown table."""
    print(f"| {name} | {' | '.join(metrics)} |\n|{'---|' * (len(metrics) + 1)}", flush=True)


def digits() -> None:
    """Candidates for each row of the digits suite, 1,024 images each."""
    base = select(["digits::none"])[0].spec.with_options(first_seed=FIRST_SEED, num_images=1024)

    def net(name: str, iteration: int = 1000, ema: float = 0.10) -> NetworkRef:
        return NetworkRef(name=f"digits-{name}", iteration=iteration, ema=ema)

    def show(text: str, scheme: Scheme, **networks: NetworkRef) -> None:
        spec: RunSpec = base.with_options(scheme=scheme, networks=networks, curves=())
        print(f"| {text} | {measured(Sampler(spec))} |", flush=True)

    header("candidate", base.metrics)
    for ema in (0.05, 0.10, 0.15, 0.20):
        show(f"none, EMA {ema}", none(), main=net("main", ema=ema))
    for iteration in (250, 375, 500):
        for w in (1.5, 2.0):
            guide = net("small", iteration)
            text = f"autoguidance, small guide at {iteration}, w = {w}"
            show(text, autoguidance(w), main=net("main"), guide=guide)
    for ema in (0.05, 0.15, 0.20):
        text = f"autoguidance, small guide at 375, w = 1.5, guide EMA {ema}"
        show(text, autoguidance(1.5), main=net("main"), guide=net("small", 375, ema))
    for w in (1.5, 2.0, 2.5):
        text = f"reduce training only: main at 250, w = {w}"
        show(text, autoguidance(w), main=net("main"), guide=net("main", 250))
        text = f"reduce capacity only: small at 1000, w = {w}"
        show(text, autoguidance(w), main=net("main"), guide=net("small"))
        show(f"CFG, w = {w}", cfg(w), main=net("main"), unconditional=net("unconditional"))
    for lo, hi in ((0.1, 1.0), (0.3, 3.0), (0.3, 10.0), (0.5, 5.0)):
        for w in (2.0, 3.0):
            text = f"CFG in ({lo}, {hi}], w = {w}"
            scheme = cfg_interval(w, lo, hi)
            show(text, scheme, main=net("main"), unconditional=net("unconditional"))


def guide_seeds() -> None:
    """Autoguidance of the fractal with guides that differ in their training seed alone."""
    spec = select(["fractal::autoguidance-w3"])[0].spec.with_options(first_seed=FIRST_SEED)
    recipe = next(r for r in RECIPES["fractal"] if r.name == "fractal-guide")
    header("training seed of the guide", spec.metrics)
    for seed in range(4):
        file = train(replace(recipe, seed=seed)).file
        state = file.reconstruct(recipe.iterations, recipe.ema_lengths[0])
        sampler = Sampler(spec)
        sampler.networks["guide"] = build_denoiser(file.architecture, file.config, state)
        print(f"| {seed} | {measured(sampler)} |", flush=True)


if __name__ == "__main__":
    torch.set_num_threads(1)
    {"digits": digits, "guide-seeds": guide_seeds}[sys.argv[1]]()
