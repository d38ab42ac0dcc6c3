"""Table 2 of arXiv:2312.02696, ImageNet-512: every size with and without CFG.

Each is set as it is best for FID and for FD_DINOv2. CFG always takes the unconditional XS with the
EMA length of the main network.
"""

from typing import Final

from guidebench.runs.spec import RunSpec
from guidebench.runs.suites._edm2 import (
    EDM2_PAPER,
    L_512,
    M_512,
    S_512,
    XL_512,
    XS_512,
    XS_UNCOND_512,
    XXL_512,
    At,
    Model,
    pair,
)

TITLE = "EDM2 sizes, ImageNet-512"

_SOURCE: Final = f"{EDM2_PAPER}, Table 2"
_FID_NOTE: Final = "minimum of several evaluations of 50,000 images"
_FD_NOTE: Final = "one evaluation of 50,000 images"
Printed = tuple[float, float]
Guided = tuple[float, float, float]


def _size(
    main: Model, *, fid: Printed, fid_cfg: Guided, fd: Printed, fd_cfg: Guided
) -> dict[str, RunSpec]:
    """Value and EMA length without guidance; value, weight and EMA length with CFG."""
    title = f"EDM2-{main.size.upper()}"
    alone = pair(
        title, _SOURCE, main,
        fid=At(value=fid[0], ema=fid[1], note=_FID_NOTE),
        fd_dinov2=At(value=fd[0], ema=fd[1], note=_FD_NOTE),
    )  # fmt: skip
    guided = pair(
        f"{title} + CFG", _SOURCE, main, XS_UNCOND_512,
        fid=At(value=fid_cfg[0], w=fid_cfg[1], ema=fid_cfg[2], guide_ema=fid_cfg[2],
               note=_FID_NOTE),
        fd_dinov2=At(value=fd_cfg[0], w=fd_cfg[1], ema=fd_cfg[2], guide_ema=fd_cfg[2],
                     note=_FD_NOTE),
    )  # fmt: skip
    rows = {f"none-{key}": spec for key, spec in alone.items()}
    return rows | {f"cfg-{key}": spec for key, spec in guided.items()}


def edm2_xs() -> dict[str, RunSpec]:
    """125 M parameters, 2147.5 M images."""
    return _size(
        XS_512, fid=(3.53, 0.135), fid_cfg=(2.91, 1.4, 0.045),
        fd=(103.39, 0.200), fd_cfg=(79.94, 1.7, 0.150),
    )  # fmt: skip


def edm2_s() -> dict[str, RunSpec]:
    """280 M parameters, 2147.5 M images."""
    return _size(
        S_512, fid=(2.56, 0.130), fid_cfg=(2.23, 1.4, 0.025),
        fd=(68.64, 0.190), fd_cfg=(52.32, 1.9, 0.085),
    )  # fmt: skip


def edm2_m() -> dict[str, RunSpec]:
    """498 M parameters, 2147.5 M images."""
    return _size(
        M_512, fid=(2.25, 0.100), fid_cfg=(2.01, 1.2, 0.030),
        fd=(58.44, 0.155), fd_cfg=(41.98, 2.0, 0.015),
    )  # fmt: skip


def edm2_l() -> dict[str, RunSpec]:
    """778 M parameters, 1879.0 M images."""
    return _size(
        L_512, fid=(2.06, 0.085), fid_cfg=(1.88, 1.2, 0.015),
        fd=(52.25, 0.155), fd_cfg=(38.20, 1.7, 0.035),
    )  # fmt: skip


def edm2_xl() -> dict[str, RunSpec]:
    """1119 M parameters, 1342.2 M images."""
    return _size(
        XL_512, fid=(1.96, 0.085), fid_cfg=(1.85, 1.2, 0.020),
        fd=(45.96, 0.155), fd_cfg=(35.67, 1.7, 0.030),
    )  # fmt: skip


def edm2_xxl() -> dict[str, RunSpec]:
    """1523 M parameters, 939.5 M images."""
    return _size(
        XXL_512, fid=(1.91, 0.070), fid_cfg=(1.81, 1.2, 0.015),
        fd=(42.84, 0.150), fd_cfg=(33.09, 1.7, 0.015),
    )  # fmt: skip
