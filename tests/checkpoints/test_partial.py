"""Several processes, killed and stopped ones among them."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable

import psutil
import pytest

from guidebench.base import UserError
from guidebench.checkpoints.lockfile import read_lock
from tests.checkpoints.http_server import Fault, FileServer
from tests.checkpoints.place import CONTENT, DIGEST, FETCHER, NAME, SIZE, Place


def start(url: str, *words: str) -> subprocess.Popen[str]:
    code = [sys.executable, "-c", FETCHER, f"{url}/edm2/{NAME}", *words]
    return subprocess.Popen(code, stderr=subprocess.PIPE, text=True)


@pytest.mark.parametrize("locks", ["locked", "unlocked"])
def test_four_processes_at_once(place: Place, locks: str) -> None:
    with FileServer(place.folder, pause_s=0.02) as server:
        processes = [start(server.url, locks) for _ in range(4)]
        errors = [process.communicate(timeout=120)[1] for process in processes]
        assert [process.returncode for process in processes] == [0] * 4, errors
        assert server.sent % SIZE == 0
        if locks == "locked":
            assert server.sent == SIZE
    place.check_whole()
    assert read_lock(place.lock)[f"downloads/{NAME}"].sha256 == DIGEST


RECORDER = """
import fcntl, sys
fcntl.flock = lambda *_: None
from guidebench.checkpoints.catalog import RemoteFile
from guidebench.checkpoints.lockfile import agree
for index in range(6):
    name = f"downloads/{sys.argv[1]}-{index}"
    agree(RemoteFile("http://host/" + name, name), "a" * 64, index, "url")
"""


def test_no_entry_of_the_lock_file_is_lost_between_processes(place: Place) -> None:
    """The lock between them lets everybody through, as flock does on some file systems."""
    words = [[sys.executable, "-c", RECORDER, str(i)] for i in range(4)]
    processes = [subprocess.Popen(w, stderr=subprocess.PIPE, text=True) for w in words]
    errors = [process.communicate(timeout=120)[1] for process in processes]
    assert [process.returncode for process in processes] == [0] * 4, errors
    expected = {f"downloads/{i}-{index}" for i in range(4) for index in range(6)}
    assert set(read_lock(place.lock)) == expected


def wait_for(condition: Callable[[], object]) -> None:
    give_up = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < give_up
        time.sleep(0.01)


def test_what_a_killed_process_left_is_gone_on_with(place: Place) -> None:
    with FileServer(place.folder, pause_s=0.05) as server:
        process = start(server.url)
        wait_for(lambda: sum(place.partial_bytes()) >= 131_072)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        (kept,) = place.partial_bytes()
        assert not place.path.exists()
        server.pause_s = 0
        place.fetch(server.url)
        assert server.answers[-1].range == f"bytes={kept}-"
        assert server.answers[-1].sent == SIZE - kept
    place.check_whole()


def test_what_a_living_process_writes_is_left_alone(place: Place) -> None:
    """The other process is stopped, not dead: its bytes are its own."""
    with FileServer(place.folder, pause_s=0.05) as server:
        process = start(server.url, "unlocked")
        wait_for(lambda: sum(place.partial_bytes()) >= 65_536)
        process.send_signal(signal.SIGSTOP)
        wait_for(lambda: psutil.Process(process.pid).status() == psutil.STATUS_STOPPED)
        server.pause_s = 0
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("fcntl.flock", lambda *_: None)
            place.fetch(server.url)
        assert server.answers[-1].range is None
        assert place.path.read_bytes() == CONTENT
        process.send_signal(signal.SIGCONT)
        assert process.wait(timeout=60) == 0
        assert process.stderr is not None
        process.stderr.close()
    place.check_whole()


def test_a_partial_file_from_before_the_machine_went_down_is_not_trusted(place: Place) -> None:
    with FileServer(place.folder, [Fault(drop_after=131_072)], Fault(status=503)) as server:
        with pytest.raises(UserError, match="HTTP 503"):
            place.fetch(server.url)
        (data,) = place.cache.rglob("downloads/.partial/*/data")
        os.utime(data, (1.0, 1.0))
        server.always = Fault()
        place.fetch(server.url)
        assert server.answers[-1].range is None
    place.check_whole()
