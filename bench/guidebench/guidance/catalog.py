"""The list of schemes by name: the only place that knows them all."""

from collections.abc import Callable
from typing import Final

from guidebench.guidance.predictions import GUIDE, INPUT, MAIN, UNCONDITIONAL, Prediction
from guidebench.guidance.schedules import Constant, Interval, Schedule
from guidebench.guidance.scheme import Scheme, Term
from guidebench.guidance.shapes import Identity


def _away_from(name: str, minus: Prediction, schedule: Schedule) -> Scheme:
    term = Term(plus=MAIN, minus=minus, shape=Identity(), schedule=schedule)
    return Scheme(name=name, primary=MAIN, terms=(term,))


def none() -> Scheme:
    """No guidance: the main network alone."""
    return Scheme(name="none", primary=MAIN, terms=())


def cfg(weight: float) -> Scheme:
    """Classifier-free guidance, away from an unconditional network; Ho & Salimans 2022."""
    return _away_from("cfg", UNCONDITIONAL, Constant(weight=weight))


def cfg_interval(weight: float, sigma_lo: float, sigma_hi: float) -> Scheme:
    """CFG within a noise interval only; Kynkäänniemi et al. 2024, arXiv:2404.07724."""
    schedule = Interval(weight=weight, sigma_lo=sigma_lo, sigma_hi=sigma_hi, stage="step")
    return _away_from("cfg-interval", UNCONDITIONAL, schedule)


def autoguidance(weight: float) -> Scheme:
    """Away from a worse version of the same network; arXiv:2406.02507."""
    return _away_from("autoguidance", GUIDE, Constant(weight=weight))


def naive_truncation(scale: float) -> Scheme:
    """The score times `scale`: D = x + scale (D_main - x), Fig. 1d of arXiv:2406.02507."""
    return _away_from("naive-truncation", INPUT, Constant(weight=scale))


SCHEMES: Final[dict[str, Callable[..., Scheme]]] = {
    "none": none,
    "cfg": cfg,
    "cfg-interval": cfg_interval,
    "autoguidance": autoguidance,
    "naive-truncation": naive_truncation,
}
