"""Output that a closed pipe or a full disk refuses, and what the system refuses elsewhere."""

import argparse
import errno
import os
import signal
import subprocess
import threading
from multiprocessing import Pipe
from pathlib import Path

import pytest

from guidebench.base import UserError
from guidebench.cli import list_command, main
from guidebench.runs import worker
from guidebench.runs.catalog import select
from guidebench.runs.folder import make_job
from guidebench.runs.work import Todo
from tests.cli.conftest import SUITE, Command, entry_point

full_device = pytest.mark.skipif(
    not Path("/dev/full").exists(), reason="this system has no /dev/full"
)


def piped(words: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    """`guidebench` as $0 of a shell's command; its exit code is the last word of stdout."""
    return subprocess.run(
        ["sh", "-c", words, entry_point(), *map(str, arguments)],
        check=False, capture_output=True, text=True, timeout=120,
    )  # fmt: skip


@full_device
@pytest.mark.parametrize("words", ["list", "--help", "list rows --json"])
def test_output_to_a_full_disk_is_told_of(words: str) -> None:
    ran = piped(f"$0 {words} > /dev/full")
    assert ran.returncode == 2
    (line,) = ran.stderr.splitlines()
    assert line.startswith("guidebench: the output is cut: No space left on device; finished work")


@full_device
def test_an_error_that_cannot_be_printed_keeps_its_code() -> None:
    assert piped("$0 list rows --suite nowhere 2> /dev/full").returncode == 2


def test_a_reader_that_had_enough_ends_no_run(results: Path) -> None:
    """The tables go nowhere, the report is written; `true` reads nothing at all."""
    (results / "report.html").unlink()
    words = '{ "$0" run "$1" --out "$2" --processes 1; echo $? >&2; } | true'
    ran = piped(words, SUITE, results)
    assert ran.stderr.splitlines() == ["0"]
    assert (results / "report.html").is_file()


def test_what_the_system_refuses_is_one_sentence(
    inline: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_: argparse.Namespace) -> int:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS), "/some/file")

    monkeypatch.setattr(list_command, "run", refuse)
    ran = inline("list")
    assert ran.returncode == 2
    (line,) = ran.stderr.splitlines()
    assert line.startswith("guidebench list: /some/file cannot be used: Read-only file system; ")
    with pytest.raises(OSError, match="Read-only"):
        main(["--debug", "list"])


def test_an_error_that_may_be_a_bug_keeps_its_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: argparse.Namespace) -> int:
        return len(Path("nowhere/at/all").read_bytes())

    monkeypatch.setattr(list_command, "run", fail)
    with pytest.raises(FileNotFoundError):
        main(["list"])


def test_a_worker_says_what_the_system_refuses(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "/some/file")

    class NoThread:
        def __init__(self, **_: object) -> None: ...
        def start(self) -> None: ...

    monkeypatch.setattr(signal, "signal", lambda *_: None)
    monkeypatch.setattr(threading, "Thread", NoThread)
    monkeypatch.setattr(worker, "set_up", refuse)
    todo = [Todo(make_job(select([str(SUITE)])[0], tmp_path, threads=1))]
    ours, theirs = Pipe(duplex=False)
    worker.run_child(0, 1, todo, dict(os.environ), theirs)  # pyright: ignore[reportArgumentType]  Windows has another class
    told = ours.recv()
    assert theirs.closed
    assert isinstance(told, UserError)
    assert str(told).startswith("/some/file cannot be used: No space left on device; make room")
