"""What the built-in networks reach of this machine's peaks, all measured in one process."""

import statistics
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final, final

import torch

from guidebench.checkpoints.builtin import builtin_file, builtin_networks
from guidebench.checkpoints.weights import load_snapshots
from guidebench.measure.flops import count_flops
from guidebench.measure.roofline import copy_bandwidth, matmul_peak
from guidebench.measure.stopwatch import stopwatch
from guidebench.runs.extractors import CLASSIFIER
from guidebench.runs.sample import DTYPES, load_denoiser
from guidebench.runs.spec import NetworkRef

BATCHES: Final = (1, 256)
_REPEATS: Final = 9
_LONGEST_SECONDS: Final = 1.0


@final
@dataclass(frozen=True, slots=True)
class Roof:
    """The matrix product's best rate at a precision, in FLOP/s, with so many threads."""

    precision: str
    threads: int
    flops_per_second: float
    size: int


@final
@dataclass(frozen=True, slots=True)
class Reached:
    """One network call at a batch size: median of repeats, and their spread about it.

    `spread` is the range of the middle half of the repeats over their median.
    """

    network: str
    batch: int
    flops: int
    seconds: float
    spread: float
    fraction_of_peak: float

    @property
    def flops_per_second(self) -> float:
        """Rate at the median."""
        return self.flops / self.seconds


def roofs(device: torch.device, say: Callable[[str], None]) -> list[Roof]:
    """Peaks at each precision: on a CPU with one thread, as ranks have, and with all."""
    before = torch.get_num_threads()
    counts = sorted({1, before}) if device.type == "cpu" else [before]
    found = []
    try:
        for precision, dtype in DTYPES.items():
            for threads in counts:
                torch.set_num_threads(threads)
                say(f"matrix products in {precision}, {threads} thread{'s' * (threads > 1)}")
                peak = matmul_peak(device, dtype)
                found.append(Roof(precision, threads, peak.flops_per_second, peak.size))
    finally:
        torch.set_num_threads(before)
    return found


def bandwidth(device: torch.device, say: Callable[[str], None]) -> float:
    """Bytes read and written a second."""
    say("copying memory")
    return copy_bandwidth(device)


@torch.inference_mode()
def reached(
    device: torch.device, say: Callable[[str], None], names: tuple[str, ...] | None = None
) -> Iterator[Reached]:
    """Each built-in network called eagerly in fp32, on one thread on a CPU.

    The peak is measured again before each, so that a machine whose clock moves is not compared
    with what it was a minute ago.
    """
    before = torch.get_num_threads()
    try:
        if device.type == "cpu":
            torch.set_num_threads(1)
        for name in names or tuple(n for n in builtin_networks() if n != CLASSIFIER):
            say(name)
            peak = matmul_peak(device, torch.float32, budget_seconds=0.3).flops_per_second
            for batch in BATCHES:
                yield _reached(name, batch, device, peak)
    finally:
        torch.set_num_threads(before)


def _reached(name: str, batch: int, device: torch.device, peak: float) -> Reached:
    last = load_snapshots(builtin_file(name)[0]).snapshots[-1]
    network = load_denoiser(
        NetworkRef(name=name, iteration=last.iteration, ema=last.ema), str(device)
    )
    x = torch.randn(batch, *network.sample_shape, device=device)
    labels = None
    if network.label_dim:
        labels = torch.eye(network.label_dim, device=device)[
            torch.arange(batch) % network.label_dim
        ]
    flops = count_flops(lambda: network(x, 1.0, labels))
    watch, times = stopwatch(device), list[float]()
    network(x, 1.0, labels)
    while len(times) < _REPEATS and sum(times) < _LONGEST_SECONDS:
        start = watch.mark()
        network(x, 1.0, labels)
        times.append(watch.seconds(start, watch.mark()))
    median = statistics.median(times)
    low, _, high = statistics.quantiles(times, n=4) if len(times) > 1 else (median,) * 3
    return Reached(name, batch, flops, median, (high - low) / median, flops / median / peak)
