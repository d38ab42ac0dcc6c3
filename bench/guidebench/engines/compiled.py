"""Networks through inductor: on a CPU compiled ahead of time, once, into the cache folder.

AOTInductor packages are loaded in milliseconds and called without Python in between, and
several processes share one. On a GPU, `torch.compile` makes the functions that are then recorded.

Shapes: B images, L labels.
"""

import errno
import hashlib
import inspect
import io
import logging
import os
import sys
import tempfile
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, final

import torch
from filelock import FileLock
from torch import Tensor, nn
from typing_extensions import override

from guidebench.base import UserError, atomic_write, disk_errors, make_folder
from guidebench.engines._base import AbstractEngine, Forward, require_like
from guidebench.engines.products import SmallConvolutions, images_at_once, is_narrow

_Package = Callable[..., Tensor]
_FORMAT: Final = 3
"""Raised by every change of how networks are compiled."""

_AUTOTUNED: Final = MappingProxyType({"mode": "max-autotune-no-cudagraphs"})
_FORMS: Final = 64
"""Compiled forms of one network: batch sizes, with and without labels."""


@final
class Compiled(AbstractEngine):
    """One package a network, batch size and machine.

    Args:
        folder: where packages are kept.
        tell: gets one line before a compilation, which takes from seconds to minutes.
    """

    name = "compiled"

    def __init__(self, folder: Path, tell: Callable[[str], None] = lambda _: None) -> None:
        self._folder, self._tell = folder, tell
        logging.getLogger("torch.utils.cpp_extension").setLevel(logging.ERROR)  # "no CUDA runtime"
        self._loaded: dict[tuple[object, ...], tuple[Forward, _Package]] = {}

    @override
    def prepare(self, network: Forward, x: Tensor, labels_BL: Tensor | None) -> Forward:
        example, example_labels = x, labels_BL
        assert isinstance(network, nn.Module)
        size = images_at_once(network, x)

        def forward(x: Tensor, sigma: float, labels_BL: Tensor | None) -> Tensor:
            require_like("x", example, x)
            if labels_BL is not None:
                require_like("labels", example_labels, labels_BL)
            inputs = [x.contiguous()] if labels_BL is None else [x.contiguous(), labels_BL]
            pieces = list(zip(*(_pieces(t, size) for t in inputs), strict=True))
            package, level = self._package(network, *pieces[0]), torch.tensor(sigma)
            made = [package(x, level, *labels) for x, *labels in pieces]
            return made[0] if len(made) == 1 else torch.cat(made)[: len(x)]

        return forward

    def _package(self, network: nn.Module, x: Tensor, labels_BL: Tensor | None = None) -> _Package:
        key = (id(network), x.shape, labels_BL is None)
        if key not in self._loaded:
            inputs = (x, torch.tensor(1.0), *(() if labels_BL is None else (labels_BL,)))
            path = self._folder / f"{_digest(network, inputs)}.pt2"
            package = _load(path)
            if package is None:
                self._make(path, network, inputs)
                package = _load(path)
            if package is None:
                msg = f"{path} does not load; make room in {_scratch()}, or run with --engine eager"
                raise UserError(msg)
            # The network is held too: its id stays its own.
            self._loaded[key] = (network, package)
        return self._loaded[key][1]

    def _make(self, path: Path, network: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        """Compile, unless another process does it meanwhile."""
        with disk_errors(path), FileLock(path.with_suffix(".lock")):  # makes the folder, too
            if _load(path) is None:
                make_folder(self._folder)  # a full disk is told of before minutes are spent
                name, num = type(network).__name__, len(inputs[0])
                self._tell(f"compiling {name} for batches of {num}, once")
                atomic_write(path, _compile(network, inputs))


class _Call(nn.Module):
    """A network with positional inputs, as an exported program wants them."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    @override
    def forward(self, x: Tensor, sigma: Tensor, labels_BL: Tensor | None = None) -> Tensor:
        found: Tensor = self.network(x, sigma, labels_BL)
        return found


def _load(path: Path) -> _Package | None:
    """None where there is no package, or a damaged one: then it is made anew."""
    try:
        return torch._inductor.aoti_load_package(str(path)) if path.is_file() else None  # noqa: SLF001
    except RuntimeError:
        return None


def _compile(network: nn.Module, inputs: tuple[Tensor, ...]) -> bytes:
    """The package.

    Raises:
        UserError: where the compiler fails.
    """
    plain = tuple(torch.zeros(t.shape, dtype=t.dtype, device=t.device) for t in inputs)
    made = io.BytesIO()  # a writer of torch's whose disk is full ends the process
    try:
        with torch.inference_mode(mode=False), torch.no_grad(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch's own, about its private parts
            with SmallConvolutions(network):
                program = torch.export.export(_Call(network), plain)
            torch._inductor.aoti_compile_and_package(  # noqa: SLF001
                program, package_path=made, inductor_configs=_settings(network)
            )
    except Exception as error:
        text = str(error).strip() or type(error).__name__
        full = os.strerror(errno.ENOSPC)
        reason, way_out = text.splitlines()[0], "run with --engine eager, or set CXX"
        if full in text:  # said by Python, the compiler or the linker
            reason, way_out = full, f"make room in {_scratch()}, or name another by TMPDIR"
        msg = f"compiling a network failed: {reason}; {way_out}"
        raise UserError(msg) from error
    return made.getvalue()


def _scratch() -> str:
    """Where inductor and the C++ compiler leave their files."""
    return os.environ.get("TORCHINDUCTOR_CACHE_DIR") or tempfile.gettempdir()


def _settings(network: nn.Module) -> dict[str, bool]:
    """Weights as constants; packed for oneDNN only where there is a wide convolution.

    In a narrow network each packed product is a oneDNN call that costs more than its arithmetic.
    """
    return {"freezing": True, "cpp.weight_prepack": not is_narrow(network)}


def _pieces(x: Tensor, size: int) -> tuple[Tensor, ...]:
    """Of `size` rows each, the last one filled up with zeros."""
    if missing := -len(x) % size:
        x = torch.cat([x, x.new_zeros(missing, *x.shape[1:])])
    found: tuple[Tensor, ...] = x.split(size)
    return found


def _digest(network: nn.Module, inputs: tuple[Tensor, ...]) -> str:
    """Of everything that a package depends on: weights, code, shapes, torch, this machine."""
    found = hashlib.sha256()
    shapes = [(tuple(t.shape), str(t.dtype), str(t.device)) for t in inputs]
    machine = (torch.backends.cpu.get_cpu_capability(), os.environ.get("CXX"), sys.platform)
    found.update(repr((_FORMAT, shapes, torch.__version__, torch.get_num_threads())).encode())
    found.update(repr(machine).encode())
    for source in sorted(Path(inspect.getfile(type(network))).parent.glob("*.py")):
        found.update(source.read_bytes())
    for name, tensor in (*network.named_parameters(), *network.named_buffers()):
        found.update(f"{name}:{tensor.dtype}:{tuple(tensor.shape)};".encode())
        data = tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy()
        found.update(data.tobytes())
    return found.hexdigest()[:32]


def compile_for_gpu(
    network: Callable[[Tensor, Tensor, Tensor | None], Tensor],
    settings: Mapping[str, Any] = _AUTOTUNED,
) -> Callable[[Tensor, Tensor, Tensor | None], Tensor]:
    """Fused kernels for a network that will be recorded by us: torch records nothing itself.

    Each network has a set of compiled forms of its own. In the set that all networks of a type
    share otherwise, the ninth form is an error, and a suite's rows pass eight.
    """
    known = inspect.signature(torch.compile).parameters  # an older torch does not know them
    own_forms = {"isolate_recompiles": True, "recompile_limit": _FORMS}
    options: dict[str, Any] = {k: v for k, v in own_forms.items() if k in known} | dict(settings)
    compiled: Callable[[Tensor, Tensor, Tensor | None], Tensor] = torch.compile(
        network, fullgraph=True, dynamic=False, **options
    )
    return compiled
