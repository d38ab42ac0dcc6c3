"""What a suite samples and how it is measured, one module a domain."""

from guidebench.runs.domains._base import AbstractDomain as AbstractDomain
from guidebench.runs.domains._base import Measured as Measured
from guidebench.runs.domains._base import Start as Start
from guidebench.runs.domains.digits import DigitsDomain as DigitsDomain
from guidebench.runs.domains.fractal import FractalDomain as FractalDomain
from guidebench.runs.domains.images import METRIC_NAMES, ImagesDomain
from guidebench.runs.spec import RunSpec

DOMAINS: dict[str, AbstractDomain] = {"fractal": FractalDomain(), "digits": DigitsDomain()}
"""The domains that are the same for every spec."""


def domain_of(spec: RunSpec) -> AbstractDomain:
    """The domain of a spec; images take their shape and encoder from the main network's file."""
    return ImagesDomain(spec) if spec.domain == "images" else DOMAINS[spec.domain]


def metric_names() -> dict[str, dict[str, str]]:
    """Every domain's metrics, with one line on each."""
    return {name: d.metric_names() for name, d in DOMAINS.items()} | {"images": METRIC_NAMES}
