"""What a suite samples and how it is measured, one module a domain."""

from guidebench.runs.domains._base import AbstractDomain as AbstractDomain
from guidebench.runs.domains._base import Measured as Measured
from guidebench.runs.domains._base import Start as Start
from guidebench.runs.domains.digits import DigitsDomain as DigitsDomain
from guidebench.runs.domains.fractal import FractalDomain as FractalDomain

DOMAINS: dict[str, AbstractDomain] = {"fractal": FractalDomain(), "digits": DigitsDomain()}
