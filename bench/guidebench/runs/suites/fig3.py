"""Figure 3 of arXiv:2406.02507: autoguidance of EDM2-S by other guides, weights and EMA lengths.

All else stays at the optimum of Table 1: w = 2.10, EMA lengths 0.070 and 0.125. The paper prints
the minimum of each curve; which guide has which is inferred from its text.
"""

from dataclasses import dataclass
from typing import Final, final

from guidebench.guidance.catalog import autoguidance
from guidebench.reports.record import CurveAxis
from guidebench.runs.spec import CurveRef, Published, RunSpec
from guidebench.runs.suites._edm2 import (
    AUTOGUIDANCE_PAPER,
    BEST_OF_3,
    S_512,
    XS_512,
    XXS_512,
    Model,
    image_row,
)

TITLE = "Figure 3, EDM2-S, ImageNet-512"

_SOURCE: Final = f"{AUTOGUIDANCE_PAPER}, Fig. 3"
_NOTE: Final = f"minimum of its curve over weights, {BEST_OF_3}"
_INFERRED: Final = f"{_NOTE}; which guide it belongs to is inferred from the text"
_W: Final = 2.10
_EMA: Final = 0.070
_GUIDE_EMA: Final = 0.125
_WEIGHTS: Final = (1.25, 1.50, 1.75, 2.00, 2.25, 2.50, 2.75, 3.00)
_LENGTHS: Final = (0.050, 0.060, 0.070, 0.080, 0.090, 0.100, 0.110, 0.125, 0.140, 0.150)


@final
@dataclass(frozen=True, slots=True)
class _Guide:
    """A guide, what its curves are called, and the printed minimum."""

    words: str
    model: Model
    value: float
    note: str = _INFERRED

    def place(self, at: float, axis: CurveAxis = "weight") -> CurveRef:
        return CurveRef(series=f"guide {self.words}", at=at, axis=axis)


_GUIDES: Final = {
    "xs-t16": _Guide("XS, T/16", XS_512.after(134217), 1.34, _NOTE),
    "xs-t32": _Guide("XS, T/32", XS_512.after(67108), 1.40),
    "xs-t8": _Guide("XS, T/8", XS_512.after(268435), 1.47),
    "xxs-t16": _Guide("XXS, T/16", XXS_512.after(134217), 1.41),
    "s-t16": _Guide("S, T/16", S_512.after(134217), 1.51),
}
_BEST: Final = _GUIDES["xs-t16"]


def _row(
    guide: _Guide, w: float, ema: float, guide_ema: float, *curves: CurveRef, in_table: bool
) -> RunSpec:
    published = Published(value=guide.value, source=_SOURCE, note=guide.note)
    return image_row(
        f"guide {guide.words}, w = {w:g}, EMA {ema:.3f} and {guide_ema:.3f}",
        "img512",
        {"main": S_512.averaged(ema), "guide": guide.model.averaged(guide_ema)},
        autoguidance(w),
        *curves,
        published={"fid": published} if in_table else {},
        metrics=("fid",),
        role="table" if in_table else "curve",
    )


def guide() -> dict[str, RunSpec]:
    """The weight of Table 1 with each guide; the best one is on all curves."""
    lengths = (_BEST.place(_EMA, "ema_main"), _BEST.place(_GUIDE_EMA, "ema_guide"))
    return {
        key: _row(
            guide, _W, _EMA, _GUIDE_EMA, guide.place(_W), *(lengths if guide is _BEST else ()),
            in_table=True,
        )
        for key, guide in _GUIDES.items()
    }  # fmt: skip


def weights() -> dict[str, RunSpec]:
    """Panels (a) and (b): guides of other training and capacity, over weights."""
    return {
        f"{key}-{w:g}": _row(guide, w, _EMA, _GUIDE_EMA, guide.place(w), in_table=False)
        for key, guide in _GUIDES.items()
        for w in _WEIGHTS
    }


def ema_main() -> dict[str, RunSpec]:
    """Panel (c): EMA lengths of the main network."""
    return {
        f"{ema:.3f}": _row(_BEST, _W, ema, _GUIDE_EMA, _BEST.place(ema, "ema_main"), in_table=False)
        for ema in _LENGTHS
        if ema != _EMA
    }


def ema_guide() -> dict[str, RunSpec]:
    """Panel (c): EMA lengths of the guide."""
    return {
        f"{ema:.3f}": _row(_BEST, _W, _EMA, ema, _BEST.place(ema, "ema_guide"), in_table=False)
        for ema in _LENGTHS
        if ema != _GUIDE_EMA
    }
