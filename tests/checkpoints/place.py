"""A server's folder with one file in it, and a cache to fetch it into."""

import random
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from guidebench.base import sha256_bytes
from guidebench.checkpoints.catalog import Entry, RemoteFile, licences
from guidebench.checkpoints.download import Downloader, Reporting
from guidebench.checkpoints.transfer import Patience

SIZE = 400_000
CONTENT = random.Random(0).randbytes(SIZE)
DIGEST = sha256_bytes(CONTENT)
NAME = "net.pkl"
QUICK = Patience(tries=3, first_wait_s=0.001, longest_wait_s=5, read_timeout_s=0.3)

FETCHER = """
import sys
from guidebench.checkpoints.catalog import Entry, RemoteFile, licences
from guidebench.checkpoints.download import Downloader
if "unlocked" in sys.argv:
    import fcntl
    fcntl.flock = lambda *_: None  # as on file systems that let everybody through
file = RemoteFile(sys.argv[1], "downloads/net.pkl")
Downloader().fetch(Entry("net", "network", licences()["mit"], (file,)))
"""


@dataclass
class Place:
    """A server's folder with one file, a cache, and what was said."""

    root: Path
    said: list[str] = field(default_factory=list)
    progress: list[tuple[int, int | None]] = field(default_factory=list)

    @property
    def folder(self) -> Path:
        return self.root / "served"

    @property
    def cache(self) -> Path:
        return self.root / "cache"

    @property
    def path(self) -> Path:
        return self.cache / "downloads" / NAME

    @property
    def lock(self) -> Path:
        return self.cache / "guidebench.lock.json"

    def entry(self, url: str, **known: object) -> Entry:
        file = RemoteFile(f"{url}/edm2/{NAME}", f"downloads/{NAME}", **known)  # type: ignore[arg-type]
        return Entry("net", "network", licences()["cc-by-nc-sa-4.0"], (file,))

    def fetch(self, url: str, **known: object) -> Path:
        reporting = Reporting(
            lambda _, done, total: self.progress.append((done, total)), self.said.append
        )
        (path,) = Downloader(QUICK, reporting).fetch(self.entry(url, **known))
        return path

    def partial_bytes(self) -> list[int]:
        """Sizes of what is kept of unfinished downloads."""
        return [p.stat().st_size for p in self.cache.rglob("downloads/.partial/*/data")]

    def check_whole(self) -> None:
        assert self.path.read_bytes() == CONTENT
        assert self.partial_bytes() == []
        assert [p.name for p in self.path.parent.iterdir() if not p.name.startswith(".")] == [NAME]

    def check_absent(self, *, kept: Iterable[int] = ()) -> None:
        assert not self.path.exists()
        assert self.partial_bytes() == list(kept)
