"""What a stream refuses is dropped and remembered, and nothing lands in another file."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from guidebench.base import lossy_streams

SCRIPT = """
import os, sys
from guidebench.base import lossy_streams
with lossy_streams() as streams:
    for name in ("stdout", "stderr"):
        print("é" * 100_000, file=getattr(sys, name))
        print("more", file=getattr(sys, name), flush=True)
    opened = os.open(sys.argv[1], os.O_WRONLY | os.O_CREAT)
    lost = [streams.lost(name) for name in ("stdout", "stderr")]
with open(sys.argv[1], "w") as file:
    file.write(f"{opened} {[error and error.strerror for error in lost]}")
"""


def run(tmp_path: Path, streams: str, **environment: str) -> str:
    """What the script found, its streams redirected by a shell."""
    words = f'exec "$0" -c "$1" "$2" {streams}'
    found = tmp_path / "found"
    subprocess.run(
        ["sh", "-c", words, sys.executable, SCRIPT, str(found)],
        check=True, timeout=60, env=os.environ | environment,
    )  # fmt: skip
    return found.read_text()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_full_disk_is_remembered(tmp_path: Path, unbuffered: str) -> None:
    found = run(tmp_path, "2>&1 >/dev/full | cat >&2; true", PYTHONUNBUFFERED=unbuffered)
    assert "['No space left on device', None]" in found


def test_a_pipe_that_nobody_reads_is_remembered(tmp_path: Path) -> None:
    assert "['Broken pipe', 'Broken pipe']" in run(tmp_path, "2>&1 | true")


def test_closed_streams_take_no_number_that_a_file_could_get(tmp_path: Path) -> None:
    found = run(tmp_path, "<&- >&- 2>&-")
    number, _, lost = found.partition(" ")
    assert int(number) > 2
    assert lost == "[None, None]"


def test_streams_that_somebody_replaced_are_left_alone(capsys: pytest.CaptureFixture[str]) -> None:
    given = sys.stdout
    with lossy_streams():
        assert sys.stdout is given
        print("heard")
    assert capsys.readouterr().out == "heard\n"
