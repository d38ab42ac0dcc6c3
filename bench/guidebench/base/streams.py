"""Standard output and error that end no work: what a pipe or a disk refuses is dropped."""

import io
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING, Final, cast, final

from typing_extensions import override

if TYPE_CHECKING:
    from typing_extensions import Buffer

_STREAMS: Final = {"stdout": 1, "stderr": 2}


@final
class _Lossy(io.FileIO):
    """A raw stream that takes everything; after the first failure, kept in `lost`, it drops it."""

    lost: OSError | None = None

    @override
    def write(self, data: "Buffer", /) -> int:
        if self.lost is None:
            try:
                return super().write(data)
            except OSError as error:
                self.lost = error
        return memoryview(data).nbytes


@final
class Streams:
    """Both streams of this process while `lossy_streams` has them."""

    def __init__(self) -> None:
        self._raw = {name: _Lossy(fd, "wb", closefd=False) for name, fd in _STREAMS.items()}

    def lost(self, name: str) -> OSError | None:
        """Why what was written to `stdout` or `stderr` did not arrive; None where it did."""
        return self._raw[name].lost

    def like(self, name: str, given: IO[str] | None) -> io.TextIOWrapper:
        """The stream of that name, with the settings of the one it stands for."""
        return io.TextIOWrapper(
            cast("io.BufferedWriter", io.BufferedWriter(self._raw[name])),
            encoding=getattr(given, "encoding", "utf-8"),
            errors=getattr(given, "errors", "backslashreplace"),
            line_buffering=any(
                getattr(given, a, False) for a in ("line_buffering", "write_through")
            ),
        )


@contextmanager
def lossy_streams() -> Iterator[Streams]:
    """Hours of sampling are not to end because `| head` has read enough or a log's disk is full.

    Streams that somebody else replaced are left alone. Closed ones are opened on nothing, lest
    the next file opened gets their number and what is printed lands in it.
    """
    for fd in range(3):
        try:
            os.fstat(fd)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest free number, this one
    found = Streams()
    before = {name: cast("IO[str] | None", getattr(sys, name)) for name in _STREAMS}
    for name, given in before.items():
        if given is getattr(sys, f"__{name}__"):
            setattr(sys, name, found.like(name, given))
    try:
        yield found
    finally:
        for name, given in before.items():
            getattr(sys, name).flush()
            setattr(sys, name, given)
