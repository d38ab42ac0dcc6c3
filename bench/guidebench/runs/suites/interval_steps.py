"""Other step counts in Table 1 of arXiv:2404.07724: EDM2-S, FID, CFG with and without an interval.

The weight and EMA length are those of 32 steps: the paper names no others.
"""

from typing import Final

from guidebench.runs.spec import RunSpec
from guidebench.runs.suites._edm2 import S_512, XS_UNCOND_512, At, setting
from guidebench.sampling import deterministic_heun

TITLE = "CFG in an interval at 16 and 64 steps, ImageNet-512"

INTERVAL_PAPER: Final = "arXiv:2404.07724"
_SOURCE: Final = f"{INTERVAL_PAPER}, Table 1"
_NOTE: Final = "50,000 images; weight and EMA lengths taken as at 32 steps"
_FULL: Final = {16: 2.49, 64: 2.27}
_INTERVAL: Final = {16: 1.84, 64: 1.70}


def _row(title: str, steps: int, at: At) -> RunSpec:
    words = f"{title}, {steps} steps"
    row = setting(words, _SOURCE, S_512, XS_UNCOND_512, metric="fid", at=at)
    return row.with_options(metrics=("fid",), sampler=deterministic_heun(steps, sigma_max=80.0))


def cfg() -> dict[str, RunSpec]:
    """At all noise levels."""
    return {
        str(steps): _row(
            "EDM2-S + CFG", steps, At(value=value, w=1.4, ema=0.025, guide_ema=0.025, note=_NOTE)
        )
        for steps, value in _FULL.items()
    }


def cfg_interval() -> dict[str, RunSpec]:
    """In the interval of 32 steps."""
    return {
        str(steps): _row(
            "EDM2-S + CFG in an interval",
            steps,
            At(value=value, w=2.1, ema=0.025, guide_ema=0.025, interval=(0.28, 2.90), note=_NOTE),
        )
        for steps, value in _INTERVAL.items()
    }
