"""Denoisers as static lists of instructions: the fast path on a CPU."""

from guidebench.networks.program.conditioning import Table as Table
from guidebench.networks.program.program import BACKENDS as BACKENDS
from guidebench.networks.program.program import Backend as Backend
from guidebench.networks.program.program import Program as Program
from guidebench.networks.program.program import build_program as build_program
