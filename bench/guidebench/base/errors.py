"""The one exception that reaches a user as a sentence, and how a refusing disk becomes it."""

import errno
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from guidebench.base.places import CACHE, cache_folder

_MACHINE: Final = frozenset({
    errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EIO, errno.EACCES, errno.EPERM,
    errno.EMFILE, errno.ENFILE, errno.ENOTDIR, errno.EISDIR, errno.ENAMETOOLONG, errno.ESTALE,
})  # fmt: skip
_RUST: Final = re.compile(r"\(os error (\d+)\)")


class UserError(Exception):
    """Something the user can put right: the message says both sides and the way out.

    The command line prints it without a traceback and exits with code 2. Anything else that
    reaches the command line is a bug and keeps its traceback.
    """


class DiskError(UserError):
    """A disk that is full, failing or forbidden: nothing is wrong with what was to be written."""


@contextmanager
def disk_errors(path: Path) -> Iterator[None]:
    """Say in one sentence that `path` cannot be written, where the system refuses inside.

    Raises:
        DiskError: in place of an error of the system, also one that a library gives another type.
    """
    try:
        yield
    except Exception as error:
        reason = _reason(error)
        if reason is None:
            raise
        by = f" by {CACHE}" if path.absolute().is_relative_to(cache_folder().absolute()) else ""
        way_out = f"name another folder{by} or make room there"
        if path.is_dir() and isinstance(error, IsADirectoryError):
            reason, way_out = "it is a folder", "name a file"
        msg = f"cannot write {path}: {reason}; {way_out}"
        raise DiskError(msg) from error


def machine_error(error: OSError) -> DiskError | None:
    """A full, failing or forbidden disk in one sentence; None for an error that may be a bug.

    For errors that no `disk_errors` knew more of.
    """
    if error.errno not in _MACHINE:
        return None
    what = error.filename or "a file"
    return DiskError(
        f"{what} cannot be used: {error.strerror}; make room there or name another place, the "
        "same command goes on from here"
    )


def _reason(error: Exception) -> str | None:
    """The system's words in an error; safetensors has the number in its text only."""
    if isinstance(error, OSError):
        return error.strerror or str(error)
    found = _RUST.search(str(error))
    return os.strerror(int(found[1])) if found and not isinstance(error, UserError) else None
