"""Floating-point operations of one call, counted by torch: 2 per multiply-add."""

import sys
from collections.abc import Callable

from torch.utils import flop_counter
from torch.utils.flop_counter import FlopCounterMode


def count_flops(call: Callable[[], object]) -> int:
    """FLOPs of matrix products, convolutions and attention in `call`.

    The papers' "GFLOPs" count multiply-adds once: half of this.
    """
    _spare_the_compiler()
    with FlopCounterMode(display=False) as counter:
        call()
    return int(counter.get_total_flops())


def _spare_the_compiler() -> None:
    """Keep torch from importing its compiler, for seconds, to say that it shall not be used.

    The counter's hook is wrapped to be left out of compiled code, and the wrapper imports the
    compiler unless that answer is there already. Where torch changes this, nothing is set.
    """
    mode = getattr(flop_counter, "_FlopCounterMode", None)
    hook = getattr(getattr(mode, "__torch_dispatch__", None), "__wrapped__", None)
    if hook is not None and "torch._dynamo" not in sys.modules:
        setattr(hook, "__dynamo_disable", hook)
