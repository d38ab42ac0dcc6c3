"""The engines by name, and which of them a row gets. No torch."""

import importlib.util
import os
import shutil
import sys
import sysconfig
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, final

from guidebench.base import UserError

EngineName = Literal["eager", "static", "compiled", "cuda-graph", "cuda-graph-compiled"]

Asked = EngineName | Literal["auto"]

ENGINES: Final[dict[EngineName, str]] = {
    "eager": "the networks as they are written; what every other engine is compared with",
    "static": "CPU: networks as lists of operations over buffers made once; needs no compiler",
    "compiled": "inductor: on a CPU networks compiled once and kept, on a GPU fused kernels",
    "cuda-graph": "GPU: each guided step recorded once and replayed, whole",
    "cuda-graph-compiled": "GPU: the same over compiled networks",
}
_ONLY_ON: Final = {"static": "cpu", "cuda-graph": "cuda", "cuda-graph-compiled": "cuda"}

_UNCOMPILED: Final[dict[str, EngineName]] = {
    "compiled": "eager", "cuda-graph-compiled": "cuda-graph",
}  # fmt: skip


@final
@dataclass(frozen=True, slots=True)
class EngineChoice:
    """An engine, and why it is this one where it is not simply the one asked for."""

    engine: EngineName
    reason: str | None


def choose_engine(
    asked: Asked, *, device: str, precision: str, random_inside: bool
) -> EngineChoice:
    """The engine of a row.

    Args:
        asked: a name, or "auto" for the fastest one that is known to pay.
        device: cpu or cuda.
        precision: fp32, fp16 or bf16.
        random_inside: whether the networks draw random numbers, as degraded ones do.

    Raises:
        UserError: where the device or precision cannot have what was asked for.
    """
    if random_inside and asked != "eager":
        reason = "the networks of this row draw random numbers inside, which only eager code can"
        return EngineChoice("eager", reason)
    if asked == "auto":
        return _automatic(device)
    needs = _ONLY_ON.get(asked, device)
    if needs != device:
        msg = f"engine {asked} runs on {needs}, and this row on {device}; try --engine auto"
        raise UserError(msg)
    if asked == "static" and precision != "fp32":
        msg = f"engine static computes in fp32, got precision {precision}; try --engine eager"
        raise UserError(msg)
    if asked in _UNCOMPILED and (missing := missing_compiler(device)):
        return EngineChoice(_UNCOMPILED[asked], f"{asked} was asked for, but {missing}")
    return EngineChoice(asked, None)


def _automatic(device: str) -> EngineChoice:
    if device == "cuda":
        return EngineChoice("cuda-graph", "auto: one launch a step instead of thousands")
    return EngineChoice("eager", "auto: on a CPU, at batches of the suites, others gain little")


def missing_compiler(device: str = "cpu") -> str | None:
    """What inductor would miss here to make code for a device, in words, or None.

    C++ for a CPU; for a GPU Triton, which builds its launchers in C.
    """
    if device == "cuda" and importlib.util.find_spec("triton") is None:
        return "the package triton is not installed"
    variable, language, there = ("CC", "C", ("gcc", "clang")) if device == "cuda" else (
        "CXX", "C++", ("clang++" if sys.platform == "darwin" else "g++",)
    )  # fmt: skip
    named = os.environ.get(variable)
    if not any(shutil.which(wanted) for wanted in ([named] if named else there)):
        told = f"which {variable} names" if named else f"the {language} compiler"
        return f"{named or there[0]}, {told}, is not here"
    header = Path(sysconfig.get_path("include")) / "Python.h"
    if not header.is_file():
        return f"Python's header {header} is not here (package python3-dev or the like)"
    return None
