import errno
import hashlib
import math
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from guidebench.base import (
    UserError,
    atomic_write,
    canonical_json,
    host_id,
    make_folder,
    require_writable,
    sha256_bytes,
    sha256_file,
    sweep_partial,
)
from tests.full_disk import REFUSED, room_for

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)  # fmt: skip

WRITER = """
import sys
from pathlib import Path
from guidebench.base import atomic_write
path, index = Path(sys.argv[1]), 0
while True:
    atomic_write(path, bytes([index % 256]) * 300_000)
    index += 1
"""


def names(folder: Path) -> list[str]:
    return sorted(p.name for p in folder.iterdir())


def test_writes_replaces_and_makes_folders(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b" / "file"
    atomic_write(path, b"old")
    atomic_write(path, b"new")
    assert path.read_bytes() == b"new"
    assert names(path.parent) == ["file"]


def test_a_full_disk_leaves_what_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "file"
    atomic_write(path, b"old")

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), descriptor)

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(UserError, match=r"cannot write .*file: No space left on device; name ano"):
        atomic_write(path, b"new")
    assert path.read_bytes() == b"old"
    assert names(tmp_path) == ["file"]


def test_a_disk_that_fills_midway_leaves_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "file"
    atomic_write(path, b"old")
    with room_for(100_000), pytest.raises(UserError, match=f"cannot write .*file: {REFUSED}"):
        atomic_write(path, bytes(300_000))
    assert path.read_bytes() == b"old"
    assert names(tmp_path) == ["file"]


def test_in_the_cache_the_way_out_is_its_variable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GUIDEBENCH_CACHE", str(tmp_path / "cache"))
    way_out = "name another folder by GUIDEBENCH_CACHE or make room there"
    with room_for(100), pytest.raises(UserError, match=f"cannot write .*file: .*; {way_out}"):
        atomic_write(tmp_path / "cache" / "a" / "file", bytes(300))


def test_an_interrupt_leaves_what_was_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "file"
    atomic_write(path, b"old")

    def interrupt(_: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupt)
    with pytest.raises(KeyboardInterrupt):
        atomic_write(path, b"new")
    assert path.read_bytes() == b"old"
    assert names(tmp_path) == ["file"]


def test_a_file_in_place_of_the_folder_is_told(tmp_path: Path) -> None:
    (tmp_path / "folder").write_bytes(b"")
    with pytest.raises(UserError, match="cannot write"):
        atomic_write(tmp_path / "folder" / "file", b"")


def test_a_folder_in_place_of_the_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=rf"^cannot write {tmp_path}: it is a folder; name a file$"):
        atomic_write(tmp_path, b"new")


def test_a_killed_writer_never_leaves_half_a_file(tmp_path: Path) -> None:
    """Fifteen real kills at random moments."""
    path, rng = tmp_path / "file", random.Random(0)
    for _ in range(15):
        path.unlink(missing_ok=True)
        with subprocess.Popen([sys.executable, "-c", WRITER, str(path)]) as writer:
            give_up = time.monotonic() + 60
            while not path.exists():
                assert writer.poll() is None
                assert time.monotonic() < give_up
                time.sleep(0.002)
            time.sleep(rng.uniform(0, 0.03))
            writer.send_signal(signal.SIGKILL)
        content = path.read_bytes()
        assert len(content) == 300_000
        assert len(set(content)) == 1
    left = [n for n in names(tmp_path) if n != "file"]
    assert sweep_partial(tmp_path) == len(left)
    assert names(tmp_path) == ["file"]


def test_sweep_spares_whole_files_and_living_writers(tmp_path: Path) -> None:
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    here = host_id()
    mine = tmp_path / f".a.json.{here}.{os.getpid()}.0011aabb.partial"
    dead = tmp_path / f".a.json.{here}.{ended.pid}.0011aabb.partial"
    alive = tmp_path / f".a.json.{here}.{os.getppid()}.0011aabb.partial"
    elsewhere = tmp_path / f".a.json.0123456789ab.{ended.pid}.0011aabb.partial"
    abandoned = tmp_path / f".b.json.0123456789ab.{ended.pid}.0011aabb.partial"
    unnamed = tmp_path / ".c.partial"
    whole = tmp_path / "a.json", tmp_path / ".hidden"
    for path in (mine, dead, alive, elsewhere, abandoned, unnamed, *whole):
        path.write_bytes(b"")
    for path in (abandoned, unnamed):
        os.utime(path, (0, time.time() - 90_000))
    assert sweep_partial(tmp_path) == 4
    assert names(tmp_path) == sorted([".hidden", "a.json", alive.name, elsewhere.name])
    assert sweep_partial(tmp_path) == 0


def test_a_folder_that_goes_while_it_is_swept_holds_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As when two ranks finish a run at the same moment."""

    def gone(*_: object, **__: object) -> object:
        raise FileNotFoundError(errno.ENOENT, "No such file or directory", str(tmp_path))

    monkeypatch.setattr(Path, "glob", gone)
    assert sweep_partial(tmp_path) == 0


def test_a_folder_is_made_and_cleared_of_what_the_dead_left(tmp_path: Path) -> None:
    make_folder(tmp_path / "a" / "b")
    assert names(tmp_path / "a" / "b") == []
    (tmp_path / "a" / "b" / ".c.0011.partial").write_bytes(b"")
    os.utime(tmp_path / "a" / "b" / ".c.0011.partial", (0, 0))
    (tmp_path / "a" / "b" / "whole").write_bytes(b"")
    make_folder(tmp_path / "a" / "b")
    assert names(tmp_path / "a" / "b") == ["whole"]
    with pytest.raises(UserError, match=r"cannot write .*whole.*: .*; name another folder"):
        make_folder(tmp_path / "a" / "b" / "whole")


def test_a_full_disk_is_found_out_before_long_work(tmp_path: Path) -> None:
    """Full disks take empty files: only bytes tell."""
    folder = tmp_path / "a" / "b"
    for question in (require_writable, make_folder):
        with room_for(100), pytest.raises(UserError, match=f"cannot write .*b: {REFUSED}"):
            question(folder)
    assert not list(tmp_path.rglob("*probe*"))
    folder.rmdir()
    folder.parent.rmdir()
    require_writable(folder)
    assert names(tmp_path) == []


@settings(deadline=None, max_examples=30)
@given(st.dictionaries(st.text(), JSON, min_size=2))
def test_canonical_json_forgets_the_order_of_keys(value: dict[str, object]) -> None:
    turned = dict(reversed(value.items()))
    assert canonical_json(value) == canonical_json(turned)
    assert canonical_json([value]) == canonical_json([turned])


def test_canonical_json_has_one_spelling() -> None:
    assert canonical_json({"b": [1, 2.5], "a": None}) == b'{"a":null,"b":[1,2.5]}'
    assert canonical_json([1, 2]) != canonical_json([2, 1])


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_canonical_json_refuses_what_json_has_not(bad: float) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        canonical_json({"a": [bad]})


def test_digests_are_sha256(tmp_path: Path) -> None:
    data = random.Random(1).randbytes(1_000_000)
    (tmp_path / "file").write_bytes(data)
    expected = hashlib.sha256(data).hexdigest()
    assert sha256_bytes(data) == sha256_file(tmp_path / "file") == expected
