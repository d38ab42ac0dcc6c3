"""What a device reaches at best: the two lines of its roofline, measured here and now.

Convention: a multiply-add is two operations, and a copy moves each byte twice, once to read and
once to write. The peak is the best square matrix product found, so that a fraction of it can pass
1 where an algorithm needs fewer multiplications (Winograd).
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, final

import torch

from guidebench.measure.clock import Stopwatch
from guidebench.measure.stopwatch import stopwatch

_SIZES: Final = (256, 512, 1024, 2048, 4096, 8192)
_REPEATS: Final = 5
_QUICKLY: Final = 0.3
_THOROUGHLY: Final = 3.0
_COPIED_BYTES: Final = {"cpu": 1 << 27, "cuda": 1 << 30}  # past the caches


@final
@dataclass(frozen=True, slots=True)
class Peak:
    """The best rate found, and the matrix size that reached it."""

    flops_per_second: float
    size: int


def best_seconds(call: Callable[[], object], watch: Stopwatch, repeats: int = _REPEATS) -> float:
    """The shortest of some calls, after one that is not counted."""
    call()
    found = []
    for _ in range(repeats):
        start = watch.mark()
        call()
        found.append(watch.seconds(start, watch.mark()))
    return min(found)


def matmul_peak(
    device: torch.device,
    dtype: torch.dtype,
    watch: Stopwatch | None = None,
    *,
    budget_seconds: float = _THOROUGHLY,
) -> Peak:
    """Best rate of [n, n] times [n, n] over growing n, with this process's threads and flags.

    A size that would take longer than the budget, eight times the last one's time, is left out.
    """
    clock, best = watch or stopwatch(device), Peak(0.0, 0)
    for n in _SIZES:
        a, b = (torch.randn(n, n, device=device).to(dtype) for _ in range(2))
        out = torch.empty_like(a)
        call = lambda a=a, b=b, out=out: torch.mm(a, b, out=out)  # noqa: E731
        seconds = best_seconds(call, clock)
        rate = 2 * n**3 / seconds if seconds > 0 else 0.0
        best = max(best, Peak(rate, n), key=lambda p: p.flops_per_second)
        if 8 * seconds * (_REPEATS + 1) > budget_seconds:
            break
    return best


@lru_cache(maxsize=8)
def process_peak(device: torch.device, dtype: torch.dtype) -> float:
    """`matmul_peak`, measured once in this process in a fraction of a second, in FLOP/s."""
    found = matmul_peak(device, dtype, budget_seconds=_QUICKLY).flops_per_second
    if device.type == "cuda":
        torch.cuda.empty_cache()  # the matrices would count as memory that the run reserved
    return found


def copy_bandwidth(device: torch.device, watch: Stopwatch | None = None) -> float:
    """Bytes read and written a second by copying an array larger than the caches."""
    source = torch.zeros(_COPIED_BYTES[device.type], dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    seconds = best_seconds(lambda: target.copy_(source), watch or stopwatch(device))
    return 2 * source.nbytes / seconds
