"""Table 1 of arXiv:2406.02507 at ImageNet-512: every row, as it is best for FID and for FD_DINOv2.

Weights, EMA lengths and guides are the paper's; intervals are those of arXiv:2404.07724.
"""

from typing import Final

from guidebench.runs.spec import RunSpec
from guidebench.runs.suites._edm2 import (
    AUTOGUIDANCE_PAPER,
    M_512,
    S_512,
    S_UNCOND_512,
    XS_512,
    XS_UNCOND_512,
    XXL_512,
    At,
    pair,
)

TITLE = "Table 1, ImageNet-512"

_SOURCE: Final = f"{AUTOGUIDANCE_PAPER}, Table 1"
_CALLED: Final = "50,000 images; called best of 3 there, but equal to"
_ONCE: Final = f"{_CALLED} arXiv:2312.02696, which evaluated it once"
_UNSAID: Final = f"{_CALLED} arXiv:2404.07724, which does not say so"


def edm2_s_none() -> dict[str, RunSpec]:
    """EDM2-S alone."""
    return pair(
        "EDM2-S", _SOURCE, S_512,
        fid=At(value=2.56, ema=0.130),
        fd_dinov2=At(value=68.64, ema=0.190, note=_ONCE),
    )  # fmt: skip


def edm2_s_cfg() -> dict[str, RunSpec]:
    """Guided by the unconditional XS, trained as long."""
    return pair(
        "EDM2-S + CFG", _SOURCE, S_512, XS_UNCOND_512,
        fid=At(value=2.23, w=1.40, ema=0.025, guide_ema=0.025),
        fd_dinov2=At(value=52.32, w=1.90, ema=0.085, guide_ema=0.085, note=_ONCE),
    )  # fmt: skip


def edm2_s_cfg_interval() -> dict[str, RunSpec]:
    """CFG at middle noise levels only."""
    return pair(
        "EDM2-S + CFG in an interval", _SOURCE, S_512, XS_UNCOND_512,
        fid=At(value=1.68, w=2.10, ema=0.025, guide_ema=0.025, interval=(0.28, 2.90), note=_UNSAID),
        fd_dinov2=At(value=46.25, w=3.20, ema=0.085, guide_ema=0.085, interval=(0.60, 5.00),
                     note=_UNSAID),
    )  # fmt: skip


def edm2_s_autoguidance() -> dict[str, RunSpec]:
    """The guide: XS after 1/16 of the training."""
    return pair(
        "EDM2-S + autoguidance", _SOURCE, S_512, XS_512.after(134217),
        fid=At(value=1.34, w=2.10, ema=0.070, guide_ema=0.125),
        fd_dinov2=At(value=36.67, w=2.45, ema=0.120, guide_ema=0.165),
    )  # fmt: skip


def edm2_s_autoguidance_same_ema() -> dict[str, RunSpec]:
    """The same guide, with one EMA length for both."""
    return pair(
        "EDM2-S + autoguidance, same EMA", _SOURCE, S_512, XS_512.after(134217),
        fid=At(value=1.53, w=1.95, ema=0.050, guide_ema=0.050),
        fd_dinov2=At(value=40.81, w=2.25, ema=0.115, guide_ema=0.115),
    )  # fmt: skip


def edm2_s_autoguidance_reduce_training() -> dict[str, RunSpec]:
    """The guide: the main network after 1/16 of its training."""
    return pair(
        "EDM2-S + autoguidance, less training only", _SOURCE, S_512, S_512.after(134217),
        fid=At(value=1.51, w=2.20, ema=0.090, guide_ema=0.130),
        fd_dinov2=At(value=42.27, w=2.55, ema=0.130, guide_ema=0.170),
    )  # fmt: skip


def edm2_s_autoguidance_reduce_capacity() -> dict[str, RunSpec]:
    """The guide: XS, trained as long."""
    return pair(
        "EDM2-S + autoguidance, less capacity only", _SOURCE, S_512, XS_512,
        fid=At(value=2.13, w=1.80, ema=0.120, guide_ema=0.160),
        fd_dinov2=At(value=59.89, w=1.90, ema=0.140, guide_ema=0.085),
    )  # fmt: skip


def edm2_xxl_none() -> dict[str, RunSpec]:
    """EDM2-XXL alone."""
    return pair(
        "EDM2-XXL", _SOURCE, XXL_512,
        fid=At(value=1.91, ema=0.070),
        fd_dinov2=At(value=42.84, ema=0.150, note=_ONCE),
    )  # fmt: skip


def edm2_xxl_cfg() -> dict[str, RunSpec]:
    """Guided by the unconditional XS."""
    return pair(
        "EDM2-XXL + CFG", _SOURCE, XXL_512, XS_UNCOND_512,
        fid=At(value=1.81, w=1.20, ema=0.015, guide_ema=0.015),
        fd_dinov2=At(value=33.09, w=1.70, ema=0.015, guide_ema=0.015, note=_ONCE),
    )  # fmt: skip


def edm2_xxl_cfg_interval() -> dict[str, RunSpec]:
    """CFG at middle noise levels only."""
    return pair(
        "EDM2-XXL + CFG in an interval", _SOURCE, XXL_512, XS_UNCOND_512,
        fid=At(value=1.40, w=2.00, ema=0.015, guide_ema=0.015, interval=(0.19, 1.61), note=_UNSAID),
        fd_dinov2=At(value=29.16, w=2.90, ema=0.015, guide_ema=0.015, interval=(0.60, 5.00),
                     note=_UNSAID),
    )  # fmt: skip


def edm2_xxl_autoguidance() -> dict[str, RunSpec]:
    """The guide: M, trained on 1/3.5 of the images."""
    return pair(
        "EDM2-XXL + autoguidance", _SOURCE, XXL_512, M_512.after(268435),
        fid=At(value=1.25, w=2.05, ema=0.075, guide_ema=0.155),
        fd_dinov2=At(value=24.18, w=2.30, ema=0.130, guide_ema=0.205),
    )  # fmt: skip


def edm2_s_uncond_none() -> dict[str, RunSpec]:
    """The unconditional EDM2-S alone."""
    return pair(
        "EDM2-S unconditional", _SOURCE, S_UNCOND_512,
        fid=At(value=11.67, ema=0.145),
        fd_dinov2=At(value=209.53, ema=0.170),
    )  # fmt: skip


def edm2_s_uncond_autoguidance() -> dict[str, RunSpec]:
    """The guide: the unconditional XS after 1/16 of its training."""
    return pair(
        "EDM2-S unconditional + autoguidance", _SOURCE, S_UNCOND_512, XS_UNCOND_512.after(134217),
        fid=At(value=3.86, w=2.85, ema=0.070, guide_ema=0.110),
        fd_dinov2=At(value=90.39, w=2.90, ema=0.090, guide_ema=0.125),
    )  # fmt: skip
