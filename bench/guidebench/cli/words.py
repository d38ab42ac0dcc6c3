"""Numbers as people read them on a terminal."""

import os
from typing import Final

from guidebench.base import UserError

_MB: Final = 1_000_000
_GB: Final = 1_000_000_000


def size_words(num_bytes: int | None, *, known: bool) -> str:
    """A size in decimal units, with a tilde where it is an estimate.

    >>> size_words(561_000_000, known=False), size_words(None, known=False)
    ('~561 MB', 'unknown')
    """
    if num_bytes is None:
        return "unknown"
    about = "" if known else "~"
    if num_bytes >= _GB:
        return f"{about}{num_bytes / _GB:.1f} GB"
    return f"{about}{num_bytes / _MB:.{0 if num_bytes >= 10 * _MB else 1}f} MB"


def decoding_workers(given: int | None) -> int:
    """Processes that decode images: what was asked for, else all cores but one, at most 8.

    Raises:
        UserError: for fewer than none.
    """
    if given is None:
        return min(8, len(os.sched_getaffinity(0)) - 1)  # each takes about 0.1 GB
    if given < 0:
        msg = f"--workers must be at least 0, got {given}"
        raise UserError(msg)
    return given
