"""A disk that fills, for anybody: no mount is needed, so no root."""

import resource
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def room_for(num_bytes: int) -> Iterator[None]:
    """Inside, the system refuses to let any file of this process grow beyond `num_bytes`.

    Say nothing inside: what pytest captures goes to files, too.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (num_bytes, hard))  # Python ignores SIGXFSZ
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


REFUSED = "File too large; name another folder or make room there"
