"""Who may work on what: exclusive, taken over from the dead, given back to the living."""

import errno
import os
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from guidebench.base import UserError, started_at
from guidebench.runs.claims import Claims, Owner
from tests.full_disk import REFUSED, room_for


class Clock:
    """Seconds that pass when told to."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "claims" / "000003"


def dead_owner() -> Owner:
    child = subprocess.Popen([sys.executable, "-c", ""])
    started = started_at(child.pid)
    child.wait()
    return replace(Owner.here(), pid=child.pid, started=started)


def test_a_full_disk_is_told_of_and_holds_no_claim(path: Path) -> None:
    """An empty claim, whose owner nobody can tell, would keep the next run waiting."""
    claims = Claims()
    with room_for(10), pytest.raises(UserError, match=f"cannot write .*000003: {REFUSED}"):
        claims.take(path)
    assert not path.exists()
    assert claims.take(path)


def test_a_disk_that_became_read_only_does_not_hide_why_a_claim_is_given_up(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    claims = Claims()
    assert claims.take(path)

    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr(Path, "unlink", refuse)
    claims.release(path)


def test_one_holds_it_until_it_is_released(path: Path) -> None:
    first, second = Claims(), Claims()
    assert first.take(path)
    assert not second.take(path)
    assert not first.take(path), "a claim is for one piece of work"
    second.release(path)
    assert path.exists(), "only the holder releases"
    first.release(path)
    assert not path.exists()
    assert second.take(path)


def test_of_many_that_want_it_one_gets_it(path: Path) -> None:
    for _ in range(20):
        barrier, got = threading.Barrier(8), list[Claims]()

        def grab(barrier: threading.Barrier = barrier, got: list[Claims] = got) -> None:
            mine = Claims()
            barrier.wait()
            if mine.take(path):
                got.append(mine)

        threads = [threading.Thread(target=grab) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(got) == 1
        got[0].release(path)


def test_a_dead_owners_claim_is_taken_over_at_once(path: Path) -> None:
    assert Claims(dead_owner()).take(path)
    heir = Claims()
    assert heir.take(path)
    assert not Claims().take(path)
    assert [p.name for p in path.parent.iterdir()] == [path.name], "nothing is left aside"


def test_a_number_given_to_another_process_is_not_the_owner(path: Path) -> None:
    earlier = replace(Owner.here(), started=Owner.here().started - 60)
    assert Claims(earlier).take(path)
    assert Claims().take(path)


def test_an_owner_elsewhere_is_trusted_while_it_touches_its_claim(path: Path) -> None:
    clock = Clock()
    assert Claims(replace(dead_owner(), host="elsewhere")).take(path)
    watcher = Claims(clock=clock, patience=60)
    for beat in range(1, 5):
        assert not watcher.take(path)
        clock.now += 50
        os.utime(path, (beat, beat))
    assert not watcher.take(path)
    clock.now += 61
    assert watcher.take(path)


def test_a_stopped_owner_loses_its_claim_and_cannot_take_it_back(path: Path) -> None:
    """As after SIGSTOP: alive, yet it touches nothing."""
    clock = Clock()
    stopped = Claims(heartbeat=1e6)
    assert stopped.take(path)
    watcher = Claims(clock=clock, patience=60)
    assert not watcher.take(path)
    clock.now += 61
    assert watcher.take(path)
    stopped.release(path)
    assert path.exists()
    watcher.release(path)
    assert not path.exists()


def test_a_claim_without_a_name_is_waited_for_shortly(path: Path) -> None:
    """Its writer was killed between making the file and writing to it."""
    path.parent.mkdir()
    path.write_bytes(b'{"host": ')
    clock = Clock()
    claims = Claims(clock=clock, heartbeat=5, patience=60)
    assert not claims.take(path)
    clock.now += 11
    assert claims.take(path)


def test_held_claims_are_touched(path: Path) -> None:
    claims = Claims(heartbeat=0.01)
    assert claims.take(path)
    os.utime(path, (0, 0))
    for _ in range(1000):
        if path.stat().st_mtime > 1:
            return
        threading.Event().wait(0.01)
    pytest.fail("nobody touched it")


def test_a_claim_made_meanwhile_is_given_back(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between seeing a dead owner and moving its claim aside, another heir was quicker."""
    assert Claims(dead_owner()).take(path)
    quicker, slower = Claims(), Claims()
    judge = Claims._is_dead

    def judged(self: Claims, claim: Path, content: bytes) -> bool:
        found = judge(self, claim, content)
        if self is slower:
            assert quicker.take(path)
        return found

    monkeypatch.setattr(Claims, "_is_dead", judged)
    assert not slower.take(path)
    assert path.read_bytes() == quicker._content()


def test_a_full_disk_is_said(path: Path) -> None:
    path.parent.write_bytes(b"a file where the folder should be")
    with pytest.raises(UserError, match=r"cannot write .*name another folder"):
        Claims().take(path)
