"""How fast one denoiser call is against the same network run as published code runs it.

    python -m docs.performance [CASE ...]            prints the table; all cases take five minutes
    python -m docs.performance --write               and writes it into docs/performance.md

Float32, random weights whose every path matters, two threads unless told otherwise by --threads.
All ways take turns in one process; ratios are taken within each round, so that a busy machine
slows both sides. Errors are the largest difference over the largest value, against float64.

Shapes: B images, L labels.
"""

import argparse
import statistics
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, final

import torch
from torch import Tensor

from guidebench.networks import EDM2Denoiser
from guidebench.networks.program import build_program
from tests.reference.edm2 import SlowEDM2

TARGET: Final = Path(__file__).with_name("performance.md")
BEGIN, END = "<!-- table -->\n", "<!-- end -->\n"
ROUNDS: Final = 7
LEAST_SECONDS: Final = 0.1
SIGMA: Final = 1.3

XS: Final[dict[str, Any]] = {
    "img_resolution": 64, "img_channels": 3, "label_dim": 1000, "model_channels": 128,
}  # fmt: skip
DIGITS: Final[dict[str, Any]] = {
    "img_resolution": 8, "img_channels": 1, "label_dim": 10, "model_channels": 8,
    "channel_mult": [1, 2], "num_blocks": 1, "attn_resolutions": [4], "channels_per_head": 8,
}  # fmt: skip
TINY: Final = DIGITS | {"img_channels": 3, "model_channels": 16, "channels_per_head": 16}


@final
@dataclass(frozen=True, slots=True)
class Case:
    """A network's size, a batch, and the least ratio that is aimed at."""

    name: str
    config: dict[str, Any]
    batch: int
    goal: float


CASES: Final = (
    Case("EDM2-XS, 64 x 64", XS, 1, 2.1),
    Case("EDM2-XS, 64 x 64", XS, 4, 2.0),
    Case("digits, 8 x 8", DIGITS, 1, 3.0),
    Case("digits, 8 x 8", DIGITS, 16, 3.0),
    Case("16 channels, 8 x 8", TINY, 1, 3.0),
    Case("16 channels, 8 x 8", TINY, 4, 3.0),
)


def network(config: dict[str, Any]) -> EDM2Denoiser:
    """Random weights; the gains that start at 0 are opened, or half the network would be idle."""
    torch.manual_seed(0)
    made = EDM2Denoiser(**config)
    with torch.no_grad():
        for name, parameter in made.named_parameters():
            if name.endswith("emb_gain"):
                parameter.fill_(0.4)
            if name.endswith("out_gain"):
                parameter.fill_(0.8)
    return made.bake()


@torch.inference_mode()
def measured(case: Case) -> Iterable[str]:
    """Rows of one case."""
    made = network(case.config)
    heads = {"channels_per_head": case.config.get("channels_per_head", 64)}
    state = made.state_dict()
    slow = SlowEDM2(state, **heads)
    x = torch.randn(case.batch, *made.sample_shape) * 2
    labels = torch.eye(made.label_dim)[torch.arange(case.batch) % made.label_dim]
    calls: dict[str, Callable[[], Tensor]] = {
        "published way": lambda: slow(x, SIGMA, labels),
        "eager": lambda: made(x, SIGMA, labels),
    }
    for backend in ("torch", "winograd"):
        program = build_program(made, batch_size=case.batch, backend=backend)
        table = program.table([SIGMA], labels)
        calls[f"static, {backend}"] = lambda p=program, t=table: p(x, t, 0)  # type: ignore[misc]
    wide = SlowEDM2({name: tensor.double() for name, tensor in state.items()}, **heads)
    truth = wide(x.double(), SIGMA, labels.double())
    errors = {n: float((f().double() - truth).abs().max() / truth.abs().max())
              for n, f in calls.items()}  # fmt: skip
    seconds = turns(calls)
    base = seconds["published way"]
    for name, spent in seconds.items():
        ratios = [a / b for a, b in zip(base, spent, strict=True)]
        spread = f"{min(ratios):.2f} / {statistics.median(ratios):.2f} / {max(ratios):.2f}"
        goal = f"{case.goal:g}" if name == "static, winograd" else ""
        yield (
            f"| {case.name}, batch {case.batch} | {name} | {1e3 * statistics.median(spent):.3g} ms "
            f"| {spread} | {goal} | {errors[name]:.1e} |"
        )


def turns(calls: dict[str, Callable[[], Tensor]]) -> dict[str, list[float]]:
    """Seconds a call in each round; every round begins with another way."""
    names = list(calls)
    began = time.perf_counter()
    calls[names[-1]]()
    each = max(1, round(LEAST_SECONDS / (time.perf_counter() - began)))
    found: dict[str, list[float]] = {name: [] for name in names}
    for turn in range(ROUNDS):
        for name in names[turn % len(names) :] + names[: turn % len(names)]:
            began = time.perf_counter()
            for _ in range(each):
                calls[name]()
            found[name].append((time.perf_counter() - began) / each)
    return found


def main() -> None:
    """Print, and write where asked."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("cases", nargs="*", help="parts of names, as XS; default: all")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--write", action="store_true")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    lines = [
        "| network | way | a call, median | ratio, min / median / max | goal | error |",
        "|---|---|---|---|---|---|",
    ]
    for case in CASES:
        if not args.cases or any(part in case.name for part in args.cases):
            lines += measured(case)
            print("\n".join(lines[-4:]), flush=True)
    if args.write:
        page = TARGET.read_text(encoding="utf-8")
        before, rest = page.split(BEGIN)
        after = rest.split(END)[1]
        table = "\n".join(lines) + "\n"
        TARGET.write_text(before + BEGIN + "\n" + table + "\n" + END + after, encoding="utf-8")


if __name__ == "__main__":
    main()
