"""The EDM2 networks of ImageNet-64 without guidance, arXiv:2312.02696, as they are best for FID.

A suite of its own: values against different references do not share a table.
"""

from typing import Final

from guidebench.runs.spec import RunSpec
from guidebench.runs.suites._edm2 import EDM2_PAPER, L_64, M_64, S_64, XL_64, At, setting

TITLE = "EDM2 sizes, ImageNet-64"

_SOURCE: Final = f"{EDM2_PAPER}, ImageNet-64"
_NOTE: Final = "minimum of several evaluations of 50,000 images"
_SIZES: Final = (
    (S_64, 1.58, 0.075),
    (M_64, 1.43, 0.060),
    (L_64, 1.33, 0.040),
    (XL_64, 1.33, 0.040),
)


def edm2() -> dict[str, RunSpec]:
    """S to XL alone."""
    return {
        f"{main.size}-none-fid": setting(
            f"EDM2-{main.size.upper()}", _SOURCE, main, metric="fid",
            at=At(value=value, ema=ema, note=_NOTE),
        )
        for main, value, ema in _SIZES
    }  # fmt: skip
