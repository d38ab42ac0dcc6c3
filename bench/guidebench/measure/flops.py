"""Floating-point operations of one call, counted by torch: 2 per multiply-add."""

from collections.abc import Callable

from torch.utils.flop_counter import FlopCounterMode


def count_flops(call: Callable[[], object]) -> int:
    """FLOPs of matrix products, convolutions and attention in `call`.

    The papers' "GFLOPs" count multiply-adds once: half of this.
    """
    with FlopCounterMode(display=False) as counter:
        call()
    return int(counter.get_total_flops())
