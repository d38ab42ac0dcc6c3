"""A real HTTP server on this machine that serves a folder, and fails as it is told to."""

import socket
import threading
import time
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Self, cast

from typing_extensions import override

PIECE = 1 << 14


@dataclass(frozen=True)
class Fault:
    """What goes wrong with one answer.

    `status`: this code, no body. `drop_after`: the connection is cut after so many bytes of the
    body. `stall_after`: nothing comes any more. `wrong`: another body of the right length.
    `truncate_to`: a shorter file that claims to be whole. `elsewhere`: a part from another byte
    than the one asked for.
    """

    status: int | None = None
    retry_after: str | None = None
    drop_after: int | None = None
    stall_after: int | None = None
    wrong: bool = False
    truncate_to: int | None = None
    elsewhere: bool = False


FINE = Fault()


@dataclass
class Answer:
    """What one request was told; `sent` counts bytes of the body."""

    path: str
    range: str | None
    if_range: str | None
    status: int = 0
    sent: int = 0


@dataclass
class FileServer:
    """Serves the files of `folder` by their last name, whatever folder the URL asks for.

    `faults` go wrong one request each, in order; then `always` does. `pause_s` slows each piece.
    """

    folder: Path
    faults: Iterable[Fault] = ()
    always: Fault = FINE
    ranges: bool = True
    etag: str | None = '"one"'
    length: bool = True
    pause_s: float = 0.0
    answers: list[Answer] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.waiting = deque(self.faults)
        self.stalled = threading.Event()
        self._http = _Server(self)

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stalled.set()
        self._http.shutdown()
        self._http.server_close()
        self._thread.join()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._http.server_address[1]}"

    @property
    def sent(self) -> int:
        """Bytes of bodies, over all answers."""
        return sum(answer.sent for answer in self.answers)


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, files: FileServer) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.files = files

    @override
    def handle_error(self, request: object, client_address: object) -> None:
        """A client that went away is no error of the server's."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        files = cast("_Server", self.server).files
        fault = files.waiting.popleft() if files.waiting else files.always
        answer = Answer(self.path, self.headers.get("Range"), self.headers.get("If-Range"))
        files.answers.append(answer)
        path = files.folder / self.path.rsplit("/", 1)[-1]
        if fault.status is not None or not path.is_file():
            self._refuse(answer, fault.status or 404, fault.retry_after)
        else:
            self._serve(files, fault, answer, path.read_bytes())

    def _refuse(self, answer: Answer, status: int, retry_after: str | None) -> None:
        answer.status = status
        self.send_response(status)
        if retry_after is not None:
            self.send_header("Retry-After", retry_after)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def _serve(self, files: FileServer, fault: Fault, answer: Answer, body: bytes) -> None:
        body = body[: fault.truncate_to]
        if fault.wrong:
            body = bytes(b ^ 255 for b in body)
        start = self._start(files, answer.range)
        if start and fault.elsewhere:
            start -= 1000
        if start >= len(body) > 0:
            self._refuse(answer, 416, None)
            return
        answer.status = 206 if start else 200
        self.send_response(answer.status)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(body) - 1}/{len(body)}")
        if files.etag is not None:
            self.send_header("ETag", files.etag)
        if files.length:
            self.send_header("Content-Length", str(len(body) - start))
        else:
            self.send_header("Connection", "close")
        self.end_headers()
        self._send(files, fault, answer, body[start:])

    def _start(self, files: FileServer, asked: str | None) -> int:
        if asked is None or not files.ranges:
            return 0
        condition = self.headers.get("If-Range")
        if condition is not None and condition != files.etag:
            return 0
        return int(asked.removeprefix("bytes=").removesuffix("-"))

    def _send(self, files: FileServer, fault: Fault, answer: Answer, body: bytes) -> None:
        stops = [s for s in (fault.drop_after, fault.stall_after) if s is not None]
        end = min([len(body), *stops])
        for first in range(0, end, PIECE):
            piece = body[first : min(end, first + PIECE)]
            self.wfile.write(piece)
            answer.sent += len(piece)
            if files.pause_s:
                time.sleep(files.pause_s)
        if fault.stall_after is not None:
            files.stalled.wait(60)
        if fault.drop_after is not None or not files.length:
            self.close_connection = True
            self.connection.shutdown(socket.SHUT_RDWR)

    @override
    def log_message(self, format: str, *args: object) -> None:
        """Nothing on stderr."""
