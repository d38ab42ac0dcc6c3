"""Telling living processes from dead ones."""

import os
import subprocess
import sys
import time

import psutil

from guidebench.base import host_id, is_alive, started_at


def test_the_host_is_the_same_in_every_process_of_it() -> None:
    code = "from guidebench.base import host_id; print(host_id())"
    found = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert found.stdout.strip() == host_id()
    assert len(host_id()) == 12


def test_living_dead_and_another_of_the_same_number() -> None:
    assert is_alive(os.getpid(), started_at())
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    started = started_at(child.pid)
    assert is_alive(child.pid)
    assert is_alive(child.pid, started)
    assert not is_alive(child.pid, started - 60)
    child.kill()
    child.communicate()
    assert not is_alive(child.pid, started)


def test_a_zombie_is_not_alive() -> None:
    child = subprocess.Popen([sys.executable, "-c", ""])
    process = psutil.Process(child.pid)
    give_up = time.monotonic() + 60
    while process.status() != psutil.STATUS_ZOMBIE:
        assert time.monotonic() < give_up
        time.sleep(0.005)
    assert not is_alive(child.pid)
    child.wait()
