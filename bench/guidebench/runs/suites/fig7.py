"""Figure 7 of arXiv:2406.02507: EDM2-S under three methods over weights, for each metric.

The paper tunes EMA lengths anew for each method and metric; here those of Table 1's optimum hold
for all weights. It prints the minimum of each curve; the other points are in a picture alone.
"""

from dataclasses import dataclass, replace
from typing import Final, final

from guidebench.runs.spec import CurveRef, RunSpec
from guidebench.runs.suites._edm2 import (
    AUTOGUIDANCE_PAPER,
    BEST_OF_3,
    S_512,
    XS_512,
    XS_UNCOND_512,
    At,
    Model,
    setting,
)

TITLE = "Figure 7, EDM2-S, ImageNet-512"

_SOURCE: Final = f"{AUTOGUIDANCE_PAPER}, Fig. 7"
_NOTE: Final = f"minimum of its curve over weights, {BEST_OF_3}"
_WEIGHTS: Final = (1.00, 1.25, 1.50, 1.75, 2.00, 2.25, 2.50, 2.75, 3.00)
_KEYS: Final = {"fid": "fid", "fd_dinov2": "fd-dinov2"}


@final
@dataclass(frozen=True, slots=True)
class _Method:
    """A method, its guide, and its optimum for each metric."""

    words: str
    guide: Model
    fid: At
    fd_dinov2: At

    def rows(self) -> dict[str, RunSpec]:
        """The optimum is a row of the table, the other weights are points of the curve."""
        optima = {"fid": self.fid, "fd_dinov2": self.fd_dinov2}
        return {
            f"{_KEYS[metric]}-{w:g}": self._row(metric, best, w)
            for metric, best in optima.items()
            for w in sorted({*_WEIGHTS, best.w})
        }

    def _row(self, metric: str, best: At, w: float) -> RunSpec:
        title = f"EDM2-S + {self.words}"
        at = replace(best, w=w, note=_NOTE)
        row = setting(title, _SOURCE, S_512, self.guide, metric=metric, at=at)
        curve = CurveRef(series=self.words, at=w)
        options: dict[str, object] = {"curves": (curve,), "metrics": (metric,)}
        if w != best.w:
            options |= {"role": "curve", "published": {}}
        return row.with_options(**options)


def cfg() -> dict[str, RunSpec]:
    """Guided by the unconditional XS at all noise levels."""
    return _Method(
        "CFG", XS_UNCOND_512,
        fid=At(value=2.23, w=1.40, ema=0.025, guide_ema=0.025),
        fd_dinov2=At(value=52.32, w=1.90, ema=0.085, guide_ema=0.085),
    ).rows()  # fmt: skip


def cfg_interval() -> dict[str, RunSpec]:
    """CFG at middle noise levels only."""
    return _Method(
        "CFG in an interval", XS_UNCOND_512,
        fid=At(value=1.68, w=2.10, ema=0.025, guide_ema=0.025, interval=(0.28, 2.90)),
        fd_dinov2=At(value=46.25, w=3.20, ema=0.085, guide_ema=0.085, interval=(0.60, 5.00)),
    ).rows()  # fmt: skip


def autoguidance() -> dict[str, RunSpec]:
    """The guide: XS after 1/16 of the training."""
    return _Method(
        "autoguidance", XS_512.after(134217),
        fid=At(value=1.34, w=2.10, ema=0.070, guide_ema=0.125),
        fd_dinov2=At(value=36.67, w=2.45, ema=0.120, guide_ema=0.165),
    ).rows()  # fmt: skip
