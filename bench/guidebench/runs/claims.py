"""Claims: who works on what, as files that any process on any node of a shared folder can read.

A claim is a file made by exclusive creation that names its owner and is touched while it is held.
It saves double work and nothing else: every result is one atomic file, and whoever makes it makes
the same bytes. No lock is needed, so none can fail on a shared file system or be left behind.
"""

import json
import os
import secrets
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final, final

from guidebench.base import (
    UserError,
    disk_errors,
    host_id,
    is_alive,
    partial_path,
    started_at,
    sweep_partial,
)

HEARTBEAT_SECONDS: Final = 5.0
PATIENCE_SECONDS: Final = 120.0
"""A claim that nobody touched for this long, by the clock of whoever watches it, has no owner.
Network file systems may show a touch up to a minute late."""


@final
@dataclass(frozen=True, slots=True)
class Owner:
    """A process; `token` tells its claims from those of any other."""

    host: str
    pid: int
    started: float
    token: str

    @classmethod
    def here(cls) -> "Owner":
        """This process."""
        return cls(host_id(), os.getpid(), started_at(), secrets.token_hex(8))


@final
class Claims:
    """The claims of one process. Safe to use from one thread; another keeps them fresh."""

    def __init__(
        self,
        owner: Owner | None = None,
        *,
        heartbeat: float = HEARTBEAT_SECONDS,
        patience: float = PATIENCE_SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.owner = owner or Owner.here()
        self._heartbeat, self._patience, self._clock = heartbeat, patience, clock
        self._held: set[Path] = set()
        self._watched: dict[Path, tuple[int, float]] = {}
        self._thread: threading.Thread | None = None

    def take(self, path: Path) -> bool:
        """Claim `path` unless a living process holds it; claims of dead ones are taken over.

        Raises:
            UserError: where the file system refuses.
        """
        return self._create(path) or (self._clear_dead(path) and self._create(path))

    def release(self, path: Path) -> None:
        """Give `path` up; a claim that somebody took over meanwhile is left to them."""
        self._held.discard(path)
        with suppress(OSError):  # a disk that fails: the reason to give up is told, this is not
            if _read(path) == self._content():
                path.unlink(missing_ok=True)

    def clear(self, folder: Path) -> None:
        """Remove what the dead left in a folder of claims, and the folder if it is empty then."""
        if not folder.is_dir():
            return
        sweep_partial(folder)
        with suppress(FileNotFoundError):
            for path in list(folder.iterdir()):
                if not path.name.startswith(".") and self.take(path):
                    self.release(path)
        with suppress(OSError):  # the living remove their own
            folder.rmdir()

    def _content(self) -> bytes:
        return json.dumps(asdict(self.owner)).encode()

    def _create(self, path: Path) -> bool:
        try:
            if not path.parent.is_dir():
                path.parent.mkdir(parents=True)
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
        except FileExistsError:
            if path.parent.is_file():
                msg = f"cannot write {path}: {path.parent} is a file; name another folder"
                raise UserError(msg) from None
            return False  # held by another, or another made the folder just now
        except FileNotFoundError:  # its folder was cleared away just now
            return False
        except OSError:
            with disk_errors(path):
                raise
        try:
            with disk_errors(path), os.fdopen(descriptor, "wb") as file:
                file.write(self._content())
        except UserError:
            with suppress(OSError):
                path.unlink()  # without a name in it, nobody could tell whose it was
            raise
        self._held.add(path)
        self._watched.pop(path, None)
        if self._thread is None:
            self._thread = threading.Thread(target=self._keep_fresh, daemon=True)
            self._thread.start()
        return True

    def _keep_fresh(self) -> None:
        while True:
            time.sleep(self._heartbeat)
            for path in tuple(self._held):
                with suppress(OSError):  # taken over while this process was stopped
                    os.utime(path)

    def _clear_dead(self, path: Path) -> bool:
        """Remove the claim if its owner is dead; whether it is gone."""
        content = _read(path)
        if content is None:
            return True
        if not self._is_dead(path, content):
            return False
        aside = partial_path(path)
        try:
            path.rename(aside)
        except FileNotFoundError:  # somebody else did
            return True
        if _read(aside) != content:  # and claimed it since: theirs, so it goes back
            with suppress(OSError):
                os.link(aside, path)
        aside.unlink(missing_ok=True)
        return True

    def _is_dead(self, path: Path, content: bytes) -> bool:
        owner = _parse(content)
        near = owner is not None and owner.host == self.owner.host
        if owner and near and not is_alive(owner.pid, owner.started):
            return True
        patience = self._patience if owner else 2 * self._heartbeat  # its name follows at once
        return self._unchanged_seconds(path) > patience

    def _unchanged_seconds(self, path: Path) -> float:
        """How long this process has seen the claim unchanged: clocks of two hosts may differ."""
        try:
            touched = path.stat().st_mtime_ns
        except FileNotFoundError:
            return 0.0
        now = self._clock()
        before, since = self._watched.get(path, (None, now))
        if before != touched:
            since = now
        self._watched[path] = (touched, since)
        return now - since


def _read(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None


def _parse(content: bytes) -> Owner | None:
    """The owner in a claim; None while it is being written, or where its writer was killed."""
    try:
        found = json.loads(content)
        return Owner(found["host"], int(found["pid"]), float(found["started"]), found["token"])
    except (ValueError, KeyError, TypeError):
        return None
