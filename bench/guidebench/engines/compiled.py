"""Networks through inductor: on a CPU compiled ahead of time, once, into the cache folder.

AOTInductor packages are loaded in milliseconds and called without Python in between, and
several processes share one. On a GPU, `torch.compile` makes the functions that are then recorded.

Shapes: B images, C input and O output channels, H x W pixels.
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
import torch.nn.functional as F
from filelock import FileLock
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from typing_extensions import override

from guidebench.base import UserError, atomic_write, disk_errors, make_folder
from guidebench.engines._base import AbstractEngine, Forward, require_like

_Package = Callable[..., Tensor]
_FORMAT: Final = 2
"""Raised by every change of how networks are compiled."""

_PRODUCT_ROWS: Final = 1024
_PRODUCT_CHANNELS: Final = 64

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

        def forward(x: Tensor, sigma: float, labels_BL: Tensor | None) -> Tensor:
            require_like("x", example, x)
            if labels_BL is not None:
                require_like("labels", example_labels, labels_BL)
            package = self._package(network, x, labels_BL)
            asked = () if labels_BL is None else (labels_BL,)
            return package(x.contiguous(), torch.tensor(sigma), *asked)

        return forward

    def _package(self, network: Forward, x: Tensor, labels_BL: Tensor | None) -> _Package:
        key = (id(network), x.shape, labels_BL is None)
        if key not in self._loaded:
            assert isinstance(network, nn.Module)
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
            with _ProductsForSmallConvolutions():
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
    weights = (t for t in (*network.parameters(), *network.buffers()) if t.ndim == 4)
    wide = any(min(w.shape[:2]) >= _PRODUCT_CHANNELS for w in weights)
    return {"freezing": True, "cpp.weight_prepack": wide}


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


@final
class _ProductsForSmallConvolutions(TorchFunctionMode):
    """Writes small, narrow convolutions as matrix products while a network is traced.

    A call of the convolution library costs about 100 us before it computes anything, a product
    about 5. Measured to pay up to about a thousand pixels in a batch.
    """

    @override
    def __torch_function__(
        self,
        func: Any,
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        if func in {F.conv2d, torch.conv2d} and _is_small(args[0], args[1]):
            return convolution_as_product(args[0], args[1])
        return func(*args, **(kwargs or {}))


def _is_small(x_BCHW: Tensor, weight_OCkk: Tensor) -> bool:
    rows = x_BCHW.shape[0] * x_BCHW.shape[2] * x_BCHW.shape[3]
    return rows <= _PRODUCT_ROWS and max(weight_OCkk.shape[:2]) <= _PRODUCT_CHANNELS


def convolution_as_product(x_BCHW: Tensor, weight_OCkk: Tensor) -> Tensor:
    """A k x k convolution of stride 1 that keeps the size, as one product over k k C values."""
    batch, channels, height, width = x_BCHW.shape
    out_channels, side = weight_OCkk.shape[0], weight_OCkk.shape[-1]
    edge = side // 2
    x_BHWC = F.pad(x_BCHW.permute(0, 2, 3, 1), (0, 0, edge, edge, edge, edge))
    moved = [x_BHWC[:, i : i + height, j : j + width] for i in range(side) for j in range(side)]
    columns = torch.cat(moved, dim=-1).reshape(-1, side * side * channels)
    weight = weight_OCkk.permute(2, 3, 1, 0).reshape(-1, out_channels)
    product = columns @ weight
    return product.reshape(batch, height, width, out_channels).permute(0, 3, 1, 2)


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
