"""The folder that commands share: downloads, converted networks, references, compiled packages."""

import os
from pathlib import Path
from typing import Final

CACHE: Final = "GUIDEBENCH_CACHE"


def cache_folder() -> Path:
    """The folder that GUIDEBENCH_CACHE names, else the user's cache folder."""
    if given := os.environ.get(CACHE):
        return Path(given).expanduser()
    from platformdirs import user_cache_path  # noqa: PLC0415  only where nothing was given

    return user_cache_path("guidebench", appauthor=False)
