"""Table 1 of arXiv:2406.02507, ImageNet-64: each row as best for FID and for FD_DINOv2."""

from typing import Final

from guidebench.runs.spec import RunSpec
from guidebench.runs.suites._edm2 import (
    AUTOGUIDANCE_PAPER,
    S_64,
    XS_64,
    XS_UNCOND_64,
    At,
    Unrunnable,
    pair,
)

TITLE = "Table 1, ImageNet-64"

_SOURCE: Final = f"{AUTOGUIDANCE_PAPER}, Table 1"

UNRUNNABLE: Final = (
    Unrunnable(
        title="RIN",
        value=1.23,
        ema=0.033,
        source=_SOURCE,
        reason="another architecture, sampled with 1000 stochastic steps, and no network of it in "
        "the formats that are read here",
    ),
)


def edm2_s_none() -> dict[str, RunSpec]:
    """EDM2-S alone."""
    return pair(
        "EDM2-S", _SOURCE, S_64,
        fid=At(value=1.58, ema=0.075),
        fd_dinov2=At(value=58.52, ema=0.160),
    )  # fmt: skip


def edm2_s_cfg() -> dict[str, RunSpec]:
    """Guided by the unconditional XS."""
    return pair(
        "EDM2-S + CFG", _SOURCE, S_64, XS_UNCOND_64,
        fid=At(value=1.48, w=1.15, ema=0.030, guide_ema=0.030),
        fd_dinov2=At(value=41.84, w=1.85, ema=0.040, guide_ema=0.040),
    )  # fmt: skip


def edm2_s_autoguidance() -> dict[str, RunSpec]:
    """The guide: XS after 1/8 of the training."""
    return pair(
        "EDM2-S + autoguidance", _SOURCE, S_64, XS_64.after(134217),
        fid=At(value=1.01, w=1.70, ema=0.045, guide_ema=0.110),
        fd_dinov2=At(value=31.85, w=2.20, ema=0.105, guide_ema=0.175),
    )  # fmt: skip
