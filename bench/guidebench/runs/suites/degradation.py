"""Networks made worse on purpose, Sec. 4 of arXiv:2406.02507: what a guide must have in common.

EDM2-S with dropout or input noise (D1) is guided by itself with more of it (D0). A guide made
worse in the other way is no help: the paper's best weight is then 1.
"""

from typing import Final

from guidebench.guidance.catalog import autoguidance, none
from guidebench.runs.spec import CheckpointRef, CurveRef, Degradation, Published, RunSpec
from guidebench.runs.suites._edm2 import AUTOGUIDANCE_PAPER, BEST_OF_3, S_512, image_row

TITLE = "Degraded EDM2-S, ImageNet-512"

_EMA: Final = 0.130
_SOURCE: Final = f"{AUTOGUIDANCE_PAPER}, Sec. 4"
_NOTE: Final = "50,000 images; whether best of 3 is not said"
_DROPOUT_5: Final = Degradation(kind="dropout", amount=0.05)
_DROPOUT_10: Final = Degradation(kind="dropout", amount=0.10)
_NOISE_10: Final = Degradation(kind="input-noise", amount=0.10)
_NOISE_20: Final = Degradation(kind="input-noise", amount=0.20)
_BY_DROPOUT: Final = {_DROPOUT_5: "dropout", _NOISE_10: "input noise, guide with dropout"}
_BY_NOISE: Final = {_DROPOUT_5: "dropout, guide with input noise", _NOISE_10: "input noise"}
_SERIES: Final = {_DROPOUT_10: _BY_DROPOUT, _NOISE_20: _BY_NOISE}
_MISMATCHED: Final = 1.5
_WEIGHTS: Final = (1.25, 1.5, 1.75, 2.0, 2.25, 2.5)


def _network(degradation: Degradation | None) -> CheckpointRef:
    return S_512.averaged(_EMA, degradation)


def _words(degradation: Degradation) -> str:
    return f"{degradation.kind.replace('-', ' ')} {degradation.amount:.0%}"


def _published(value: float, source: str = _SOURCE, note: str = _NOTE) -> dict[str, Published]:
    return {"fid": Published(value=value, source=source, note=note)}


def _alone(degradation: Degradation, value: float) -> RunSpec:
    starts = [
        CurveRef(series=series[degradation], at=1.0)
        for series in _SERIES.values()
        if degradation in series
    ]
    title = f"EDM2-S, {_words(degradation)}"
    return image_row(
        title, "img512", {"main": _network(degradation)}, none(), *starts,
        published=_published(value), metrics=("fid",),
    )  # fmt: skip


def _guided(
    main: Degradation, guide: Degradation, weight: float, value: float | None = None
) -> RunSpec:
    return image_row(
        f"EDM2-S, {_words(main)}, guided by {_words(guide)}, w = {weight:g}",
        "img512",
        {"main": _network(main), "guide": _network(guide)},
        autoguidance(weight),
        CurveRef(series=_SERIES[guide][main], at=weight),
        published={} if value is None else _published(value),
        metrics=("fid",),
    )


def none_() -> RunSpec:
    """EDM2-S as it is."""
    published = _published(2.56, f"{AUTOGUIDANCE_PAPER}, Table 1", BEST_OF_3)
    networks = {"main": _network(None)}
    return image_row(
        "EDM2-S", "img512", networks, none(), published=published, metrics=("fid",)
    )  # fmt: skip


def dropout() -> dict[str, RunSpec]:
    """Dropout after training: D1, D0, and D1 guided by D0."""
    return {
        "main": _alone(_DROPOUT_5, 4.98),
        "guide": _alone(_DROPOUT_10, 15.00),
        "guided": _guided(_DROPOUT_5, _DROPOUT_10, 2.25, 2.55),
    }


def input_noise() -> dict[str, RunSpec]:
    """A raised noise level that the network knows of: D1, D0, and D1 guided by D0."""
    return {
        "main": _alone(_NOISE_10, 3.96),
        "guide": _alone(_NOISE_20, 9.73),
        "guided": _guided(_NOISE_10, _NOISE_20, 2.00, 2.56),
    }


def mismatched() -> dict[str, RunSpec]:
    """Each D1 guided by the other D0: no published value, for the best weight is 1."""
    return {
        "dropout-by-input-noise": _guided(_DROPOUT_5, _NOISE_20, _MISMATCHED),
        "input-noise-by-dropout": _guided(_NOISE_10, _DROPOUT_10, _MISMATCHED),
    }


def weights() -> dict[str, RunSpec]:
    """More weights for the curves of all four pairs."""
    done = {
        (_DROPOUT_5, _DROPOUT_10): 2.25,
        (_NOISE_10, _NOISE_20): 2.00,
        (_DROPOUT_5, _NOISE_20): _MISMATCHED,
        (_NOISE_10, _DROPOUT_10): _MISMATCHED,
    }
    return {
        f"{main.kind}-by-{guide.kind}-{weight:g}": _guided(main, guide, weight).with_options(
            role="curve"
        )
        for (main, guide), in_table in done.items()
        for weight in _WEIGHTS
        if weight != in_table
    }
