"""Bytes of one URL into a folder: resumed where the server can, tried again where it helps."""

import hashlib
import json
import os
import re
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, final

import requests
from urllib3.exceptions import HTTPError
from urllib3.util import Retry

from guidebench.base import UserError
from guidebench.checkpoints.partial import DATA

if TYPE_CHECKING:
    from requests.structures import CaseInsensitiveDict

Report = Callable[[int, int | None], None]

_FACTS: Final = "facts.json"
_CHUNK: Final = 1 << 16
_RANGE: Final = re.compile(r"bytes (\d+)-\d+/(\d+)")
_LATER: Final = frozenset({408, 425, 429, 500, 502, 503, 504})


class NotThereError(UserError):
    """The server has no such file."""


@final
@dataclass(frozen=True, slots=True)
class Patience:
    """How long to try. Waits double from the first to the longest, unless the server says.

    `tries` counts attempts in a row that brought no new byte.
    """

    tries: int = 6
    first_wait_s: float = 1.0
    longest_wait_s: float = 60.0
    connect_timeout_s: float = 20.0
    read_timeout_s: float = 60.0


@final
@dataclass(frozen=True, slots=True)
class Received:
    """Digest and number of the bytes that arrived."""

    sha256: str
    bytes: int


@final
@dataclass(frozen=True, slots=True)
class _Facts:
    """What the server said of the bytes in the folder."""

    url: str
    validator: str | None
    total: int | None


class _TryAgain(Exception):  # noqa: N818  a word to the loop
    """An attempt failed in a way that another may not."""

    def __init__(self, why: str, wait_s: float | None = None) -> None:
        super().__init__(why)
        self.wait_s = wait_s


@final
@dataclass(frozen=True, slots=True)
class Transfer:
    """One URL on its way into a folder.

    `num_bytes` is the size that it must have, where known. `digest_is_known` says that the
    caller checks the digest against a known one; without it, bytes are joined only where the
    server vouches that they belong together, and a file without a stated length is refused.
    """

    url: str
    folder: Path
    num_bytes: int | None
    digest_is_known: bool
    patience: Patience
    report: Report

    @property
    def data(self) -> Path:
        """Where the bytes are."""
        return self.folder / DATA

    def run(self) -> Received:
        """Bring all bytes into `data`.

        Raises:
            NotThereError: where the server has no such file.
            UserError: where the server refuses, lies about the size, or stops sending; what
                arrived stays in the folder.
            OSError: where the disk refuses.
        """
        best, fruitless = self._size(), 0
        with requests.Session() as session:
            while True:
                try:
                    return self._attempt(session)
                except _TryAgain as problem:
                    fruitless = 0 if self._size() > best else fruitless + 1
                    best = max(best, self._size())
                    self._wait_or_give_up(problem, fruitless)

    def _wait_or_give_up(self, problem: _TryAgain, fruitless: int) -> None:
        patience = self.patience
        if fruitless >= patience.tries:
            msg = (
                f"{self.url}: {problem}, {fruitless} times in a row; what arrived is kept, "
                "the same command goes on from there"
            )
            raise UserError(msg) from problem
        wait_s = patience.first_wait_s * 2 ** max(0, fruitless - 1)
        if problem.wait_s is not None:
            wait_s = problem.wait_s
            if wait_s > patience.longest_wait_s:
                msg = f"{self.url}: {problem} and asks to wait {wait_s:.0f} s; try again then"
                raise UserError(msg) from problem
        time.sleep(min(wait_s, patience.longest_wait_s))

    def _size(self) -> int:
        return self.data.stat().st_size if self.data.exists() else 0

    def _attempt(self, session: requests.Session) -> Received:
        facts, have = self._kept()
        if facts is not None and have == facts.total:
            return self._digest_of_kept(have)
        headers = {"Accept-Encoding": "identity"}
        if facts is not None:
            headers["Range"] = f"bytes={have}-"
            if facts.validator:
                headers["If-Range"] = facts.validator
        timeout = (self.patience.connect_timeout_s, self.patience.read_timeout_s)
        try:
            response = session.get(self.url, headers=headers, stream=True, timeout=timeout)
        except requests.RequestException as error:
            again = isinstance(error, requests.ConnectionError | requests.Timeout)
            if not again or isinstance(error, requests.exceptions.SSLError):
                msg = f"{self.url} cannot be opened: {_in_short(error)}; check the address"
                raise UserError(msg) from error
            late = isinstance(error, requests.Timeout)
            why = "no answer in time" if late else "the connection failed"
            raise _TryAgain(why) from error
        with response:
            start, total = self._begin(response, facts, have)
            return self._receive(response, start, total)

    def _begin(
        self, response: requests.Response, facts: _Facts | None, have: int
    ) -> tuple[int, int | None]:
        """From which byte the answer's body starts, and how many the file has."""
        self._refuse_status(response)
        headers = response.headers
        total: int | None
        if response.status_code == 206:
            found = _RANGE.fullmatch(headers.get("Content-Range", ""))
            start, total = (int(found[1]), int(found[2])) if found else (-1, -1)
            if start != have or facts is None or not _same_file(facts, headers, total):
                self._forget()
                why = "the answer does not go on where the file stops"
                raise _TryAgain(why, 0)
        else:
            start, total = 0, _length(headers)
        if headers.get("Content-Encoding", "identity") != "identity":
            msg = f"{self.url} comes {headers['Content-Encoding']}-encoded; use another mirror"
            raise UserError(msg)
        if total is None and not self.digest_is_known:
            msg = f"{self.url} comes without a length and no digest is known; use another mirror"
            raise UserError(msg)
        if self.num_bytes is not None and total not in {None, self.num_bytes}:
            msg = f"{self.url} has {total} bytes, expected {self.num_bytes}; use another mirror"
            raise UserError(msg)
        if start == 0:
            self._forget()
            validator = next(iter(_validators(headers)), None)
            text = json.dumps(asdict(_Facts(self.url, validator, total)))
            (self.folder / _FACTS).write_text(text, encoding="utf-8")
        return start, total

    def _refuse_status(self, response: requests.Response) -> None:
        code = response.status_code
        if code in {404, 410}:
            msg = f"{self.url} is not there (HTTP {code}); check the name or the mirror"
            raise NotThereError(msg)
        if code == 416:
            self._forget()
            why = "the server has fewer bytes than arrived before"
            raise _TryAgain(why, 0)
        if code in _LATER:
            after = response.headers.get("Retry-After")
            why = f"the server answers HTTP {code}"
            raise _TryAgain(why, _seconds(after))
        if code not in {200, 206}:
            msg = f"{self.url} is refused (HTTP {code}); use another mirror, or place it by hand"
            raise UserError(msg)

    def _receive(self, response: requests.Response, start: int, total: int | None) -> Received:
        digest, size = hashlib.sha256(), start
        with self.data.open("r+b" if start else "wb") as file:
            while piece := file.read(min(_CHUNK, start - file.tell())) if start else b"":
                digest.update(piece)
            try:
                for piece in response.raw.stream(_CHUNK, decode_content=False):
                    file.write(piece)
                    digest.update(piece)
                    size += len(piece)
                    self.report(size, total)
            except HTTPError as error:
                raise _TryAgain(_how_it_ended(size, total)) from error
            file.flush()
            os.fsync(file.fileno())
        expected = self.num_bytes if total is None else total
        if expected not in {None, size}:
            raise _TryAgain(_how_it_ended(size, total))
        return Received(digest.hexdigest(), size)

    def _kept(self) -> tuple[_Facts | None, int]:
        """What the folder holds that can be gone on with."""
        have = self._size()
        if not have:
            return None, 0
        try:
            facts = _Facts(**json.loads((self.folder / _FACTS).read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError):
            facts = None
        vouched = facts is not None and (facts.validator is not None or self.digest_is_known)
        if facts is None or facts.url != self.url or not vouched:
            self._forget()
            return None, 0
        return facts, have

    def _digest_of_kept(self, have: int) -> Received:
        with self.data.open("rb") as file:
            return Received(hashlib.file_digest(file, "sha256").hexdigest(), have)

    def _forget(self) -> None:
        self.data.unlink(missing_ok=True)
        (self.folder / _FACTS).unlink(missing_ok=True)


def _same_file(facts: _Facts, headers: "CaseInsensitiveDict[str]", total: int | None) -> bool:
    """Whether a part belongs to what arrived before, as far as its headers say."""
    said = _validators(headers)
    same = facts.validator is None or not said or facts.validator in said
    return same and facts.total in {None, total}


def _validators(headers: "CaseInsensitiveDict[str]") -> list[str]:
    """What If-Range may be given, best first: a strong ETag, the time of the last change."""
    etag, changed = headers.get("ETag", "W/"), headers.get("Last-Modified")
    return [v for v in (None if etag.startswith("W/") else etag, changed) if v]


def _length(headers: "CaseInsensitiveDict[str]") -> int | None:
    text = headers.get("Content-Length", "")
    return int(text) if text.isdecimal() else None


def _seconds(retry_after: str | None) -> float | None:
    """Retry-After in either of its two forms."""
    if retry_after is None:
        return None
    try:
        return Retry().parse_retry_after(retry_after)
    except HTTPError:
        return None


def _how_it_ended(size: int, total: int | None) -> str:
    return f"the connection ended after {size} of {total or 'an unknown number of'} bytes"


def _in_short(error: Exception) -> str:
    return str(error).splitlines()[0] if str(error) else type(error).__name__
