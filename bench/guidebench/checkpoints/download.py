"""Published files into the cache: verified, whole or absent, from the server, a mirror or by hand.

`transfer` brings the bytes, `lockfile` knows the digests, pooch verifies and puts in place. The
lock between processes saves a second download; nothing relies on it.
"""

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Final, cast, final
from urllib.parse import unquote, urlsplit

import pooch
from filelock import FileLock, Timeout

from guidebench.base import UserError, atomic_write, cache_folder, disk_errors, sha256_file
from guidebench.checkpoints.cache import download_path
from guidebench.checkpoints.catalog import Entry, Licence, RemoteFile
from guidebench.checkpoints.lockfile import OtherBytesError, Via, agree, expected_sha256
from guidebench.checkpoints.partial import DATA, partial_folder
from guidebench.checkpoints.transfer import NotThereError, Patience, Received, Transfer

MIRROR: Final = "GUIDEBENCH_MIRROR"
OFFLINE: Final = "GUIDEBENCH_OFFLINE"
_SHOWN: Final = "licences-shown"


def _silent(file: RemoteFile, done: int, total: int | None) -> None:
    del file, done, total


def _unsaid(text: str) -> None:
    del text


@final
@dataclass(frozen=True, slots=True)
class Reporting:
    """Where progress (file, bytes done, bytes in all) and sentences go."""

    progress: Callable[[RemoteFile, int, int | None], None] = _silent
    say: Callable[[str], None] = _unsaid


@final
@dataclass(frozen=True, slots=True)
class Downloader:
    """Brings files into the cache, patiently, and says what it does."""

    patience: Patience = field(default_factory=Patience)
    reporting: Reporting = field(default_factory=Reporting)

    def fetch(self, entry: Entry) -> tuple[Path, ...]:
        """All files of an entry, downloaded where they are not there, each verified.

        Raises:
            NotThereError: where the server has no such file.
            UserError: for everything else that keeps a file from being whole and right.
        """
        return tuple(self.fetch_file(file, entry.licence) for file in entry.files)

    def fetch_file(self, file: RemoteFile, licence: Licence) -> Path:
        """One file; see `fetch`."""
        path = download_path(file)
        with disk_errors(path):
            if _verified(file, path):
                return path
            via, source = _source(file)
            with one_at_a_time(path.name, self.reporting.say):
                if not _verified(file, path):
                    _show_licence(licence, self.reporting.say)
                    self._bring(file, path, via, source)
        return path

    def _bring(self, file: RemoteFile, path: Path, via: Via, source: str) -> None:
        with partial_folder(cache_folder() / "downloads" / ".partial", file.file) as folder:
            received = self._receive(file, folder, via, source)
            try:
                agree(file, received.sha256, received.bytes, via)
            except OtherBytesError:
                shutil.rmtree(folder)  # wrong bytes are not gone on with
                raise
            _put_in_place(folder / DATA, path, received.sha256)

    def _receive(self, file: RemoteFile, folder: Path, via: Via, source: str) -> Received:
        report = partial(self.reporting.progress, file)
        if via == "folder":
            copied = Path(shutil.copyfile(source, folder / DATA))
            report(copied.stat().st_size, copied.stat().st_size)
            return Received(sha256_file(copied), copied.stat().st_size)
        known = expected_sha256(file) is not None
        return Transfer(source, folder, file.bytes, known, self.patience, report).run()


@contextmanager
def one_at_a_time(work: str, say: Callable[[str], None]) -> Iterator[None]:
    """Let one process do `work` (a plain name), the others wait and say so.

    It saves doing work twice, where the file system has locks; correctness is not its task.
    """
    folder = cache_folder() / "downloads" / ".locks"
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / f"{work}.lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        say(f"another process works on {work}; waiting for it")
        lock.acquire()
    except NotImplementedError:  # a file system without locks
        yield
        return
    try:
        yield
    finally:
        lock.release()


def _put_in_place(data: Path, path: Path, sha256: str) -> None:
    """Rename `data` to `path` if the disk holds what arrived."""

    def hand_over(_url: str, output: str, _pooch: None) -> None:
        data.replace(output)

    pooch.get_logger().setLevel("WARNING")
    try:
        pooch.retrieve(
            str(data),
            known_hash=f"sha256:{sha256}",
            fname=path.name,
            path=path.parent,
            downloader=cast("Any", hand_over),  # its protocol names arguments that it never passes
        )
    except ValueError as error:
        msg = f"the disk did not keep the bytes of {path} that arrived; check it and try again"
        raise UserError(msg) from error
    data.unlink(missing_ok=True)  # still there where another process was faster


def _verified(file: RemoteFile, path: Path) -> bool:
    """Whether the file is there, with the digest that is known; an unknown one is recorded."""
    if not path.is_file():
        return False
    found, expected = sha256_file(path), expected_sha256(file)
    if expected not in {None, found}:
        msg = (
            f"{path} has SHA-256 {found}, expected {expected}; delete it and fetch it again, or "
            "place the right file there"
        )
        raise UserError(msg)
    agree(file, found, path.stat().st_size, "hand")
    return True


def _source(file: RemoteFile) -> tuple[Via, str]:
    """Where a file comes from: its own URL, or the mirror.

    Raises:
        UserError: offline, or where a mirror's folder does not have the file.
    """
    mirror = os.environ.get(MIRROR, "")
    address = unquote(urlsplit(file.url).path).lstrip("/")
    if mirror and "://" not in mirror:
        folder = Path(mirror).expanduser()
        for path in (folder / address, folder / Path(file.file).name):
            if path.is_file():
                return "folder", str(path)
        msg = (
            f"{MIRROR}={mirror} has neither {address} nor {Path(file.file).name}; put the file "
            "there, or name another mirror"
        )
        raise NotThereError(msg)
    if os.environ.get(OFFLINE, "0") not in {"", "0"}:
        msg = (
            f"{Path(file.file).name} is missing and {OFFLINE} is set; place it at "
            f"{download_path(file)} (from {file.url}), or unset {OFFLINE}"
        )
        raise UserError(msg)
    if mirror:
        return "mirror", f"{mirror.rstrip('/')}/{urlsplit(file.url).path.lstrip('/')}"
    return "url", file.url


def _show_licence(licence: Licence, say: Callable[[str], None]) -> None:
    """Say what may be done with the files, once a cache; downloading accepts it."""
    shown = cache_folder() / _SHOWN / licence.key
    if shown.is_file():
        return
    text = f"licence {licence.name}, {licence.url}: {licence.terms}. Downloading accepts it."
    say(text)
    atomic_write(shown, f"{text}\n".encode())
