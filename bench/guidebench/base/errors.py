"""The one exception that reaches a user as a sentence, and how a refusing disk becomes it."""

import errno
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

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


@contextmanager
def disk_errors(
    path: Path, way_out: str = "name another folder or make room there"
) -> Iterator[None]:
    """Say in one sentence that `path` cannot be written, where the system refuses inside.

    Raises:
        UserError: in place of an error of the system, also one that a library gives another type.
    """
    try:
        yield
    except Exception as error:
        reason = _reason(error)
        if reason is None:
            raise
        msg = f"cannot write {path}: {reason}; {way_out}"
        raise UserError(msg) from error


def machine_error(error: OSError) -> UserError | None:
    """A full, failing or forbidden disk in one sentence; None for an error that may be a bug.

    For errors that no `disk_errors` knew more of.
    """
    if error.errno not in _MACHINE:
        return None
    what = error.filename or "a file"
    return UserError(
        f"{what} cannot be used: {error.strerror}; make room there or name another place, the "
        "same command goes on from here"
    )


def _reason(error: Exception) -> str | None:
    """The system's words in an error; safetensors has the number in its text only."""
    if isinstance(error, OSError):
        return error.strerror or str(error)
    found = _RUST.search(str(error))
    return os.strerror(int(found[1])) if found and not isinstance(error, UserError) else None
