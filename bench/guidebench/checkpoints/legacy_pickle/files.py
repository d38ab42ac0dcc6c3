"""From a path to data: the file is mapped, hashed, walked, and every failure is one sentence."""

import mmap
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, TypeVar

from guidebench.base import UserError, sha256_file
from guidebench.checkpoints.legacy_pickle.networks import network_from, summary
from guidebench.checkpoints.legacy_pickle.opcodes import read_pickle
from guidebench.checkpoints.legacy_pickle.references import (
    PickledReference,
    is_reference,
    reference_from,
)
from guidebench.checkpoints.network_file import NetworkFile, Source

LARGEST: Final = 64 << 30
_FAILURES: Final = (
    ValueError,  # RefusedError and bad texts among them
    TypeError,
    LookupError,
    AttributeError,
    ArithmeticError,
    RuntimeError,  # RecursionError among them
    MemoryError,
    struct.error,
)
T = TypeVar("T")


def read_network(path: Path, expected_sha256: str | None = None) -> NetworkFile:
    """A published network: tensors in their stored dtype, bit for bit, as views of the file.

    Raises:
        UserError: for a file that cannot be read, is another one than expected, or is anything
            else than a published network.
    """
    return _read(path, expected_sha256, network_from)


def read_reference(
    path: Path, expected_sha256: str | None = None
) -> tuple[PickledReference, Source]:
    """Published reference statistics, and which file they came from.

    Raises:
        UserError: as `read_network`.
    """
    return _read(path, expected_sha256, lambda record, source: (reference_from(record), source))


def inspect_pickle(path: Path) -> tuple[dict[str, str], Source, NetworkFile | PickledReference]:
    """What a file holds in words, its digest, and the network or statistics themselves.

    Raises:
        UserError: as `read_network`.
    """

    def look(record: Any, source: Source) -> Any:  # noqa: ANN401
        if is_reference(record):
            return {}, source, reference_from(record)
        return summary(record), source, network_from(record, source)

    found: tuple[dict[str, str], Source, NetworkFile | PickledReference] = _read(path, None, look)
    return found


def _read(path: Path, expected: str | None, make: Callable[[Any, Source], T]) -> T:
    view, source = _mapped(path, expected)
    try:
        return parse(view, source, make)
    except _FAILURES as error:
        lines = str(error).splitlines()
        reason = _printable((lines[0] if lines else type(error).__name__)[:300])
        msg = (
            f"{path} is refused: {reason}; guidebench reads the EDM2 networks and reference "
            "statistics as published, and runs nothing in them"
        )
        raise UserError(msg) from error


def _printable(text: str) -> str:
    """Without what a terminal would obey: some of the words are the file's."""
    return "".join(c if c.isprintable() else "?" for c in text)


def parse(view: memoryview, source: Source, make: Callable[[Any, Source], T]) -> T:
    """Walk the whole file as one pickle and hand its records on."""
    record, end = read_pickle(view)
    if end != len(view):
        msg = f"{len(view) - end} bytes follow the end of the pickle"
        raise ValueError(msg)
    return make(record, source)


def _mapped(path: Path, expected: str | None) -> tuple[memoryview, Source]:
    """The file's bytes without reading them, and its name, digest and size."""
    try:
        size = path.stat().st_size
        if not 0 < size <= LARGEST:
            msg = f"{path} has {size} bytes, too {'few' if not size else 'many'} for a checkpoint"
            raise UserError(msg)
        found = sha256_file(path)
        with path.open("rb") as file:  # a private map: tensors are made over writable memory
            view = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY))
    except OSError as error:
        msg = f"cannot read {path}: {error.strerror}; name an existing file"
        raise UserError(msg) from error
    if expected is not None and found != expected:
        msg = (
            f"{path} has SHA-256 {found[:12]}..., expected {expected[:12]}...: it was cut or "
            "altered; delete it and fetch it again"
        )
        raise UserError(msg)
    name = path.name.encode(errors="replace").decode()  # any bytes may name a file
    return view, Source(file=name, sha256=found, bytes=size)
