"""What stands in the cache and in the lock file after a download, and what is refused."""

import json
import subprocess
import sys

import pytest
import requests

from guidebench.base import UserError
from guidebench.checkpoints import lockfile
from guidebench.checkpoints.catalog import RemoteFile
from guidebench.checkpoints.lockfile import agree, read_lock
from guidebench.checkpoints.transfer import NotThereError
from tests.checkpoints.http_server import FileServer
from tests.checkpoints.place import CONTENT, DIGEST, FETCHER, NAME, SIZE, Place


def test_a_download_is_whole_recorded_and_not_repeated(place: Place) -> None:
    with FileServer(place.folder) as server:
        assert place.fetch(server.url) == place.path
        place.fetch(server.url)
        assert len(server.answers) == 1
    place.check_whole()
    seen = read_lock(place.lock)[f"downloads/{NAME}"]
    assert (seen.sha256, seen.bytes, seen.via) == (DIGEST, SIZE, "url")
    assert seen.url == f"{server.url}/edm2/{NAME}"
    assert place.progress[-1] == (SIZE, SIZE)
    assert [done for done, _ in place.progress] == sorted(done for done, _ in place.progress)


def test_trust_is_on_first_use_only(place: Place) -> None:
    with FileServer(place.folder) as server:
        place.fetch(server.url)
        place.path.unlink()
        (place.folder / NAME).write_bytes(b"something else")
        with pytest.raises(UserError, match=f"expected {DIGEST}; where the publisher replaced"):
            place.fetch(server.url)
        place.check_absent()
        assert read_lock(place.lock)[f"downloads/{NAME}"].sha256 == DIGEST


def test_the_users_lock_file_counts(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    own = place.root / "guidebench.lock.json"
    own.write_text("{}")
    with FileServer(place.folder) as server:
        place.fetch(server.url)
    assert list(json.loads(own.read_text())) == [f"downloads/{NAME}"]
    assert not place.lock.exists()
    other = place.root / "other.json"
    monkeypatch.setenv("GUIDEBENCH_LOCK", str(other))
    place.fetch("http://nowhere")  # there already: recorded, nothing is opened
    assert read_lock(other)[f"downloads/{NAME}"].via == "hand"
    other.write_text("{")
    with pytest.raises(UserError, match=r"other.json is not a readable lock file; restore it"):
        place.fetch("http://nowhere")


def test_a_lock_file_that_cannot_be_written_costs_no_second_download(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GUIDEBENCH_LOCK", "/proc/none/lock.json")
    with FileServer(place.folder) as server:
        with pytest.raises(UserError, match=r"cannot write /proc/none.*by GUIDEBENCH_LOCK"):
            place.fetch(server.url)
        place.check_absent(kept=[SIZE])
        monkeypatch.delenv("GUIDEBENCH_LOCK")
        place.fetch(server.url)
        assert server.sent == SIZE
    place.check_whole()


def test_entries_of_others_are_kept(place: Place) -> None:
    first, second = (RemoteFile(f"http://h/{n}", f"downloads/{n}") for n in "ab")
    agree(first, "a" * 64, 1, "url")
    agree(second, "b" * 64, 2, "mirror")
    agree(first, "a" * 64, 1, "url")
    assert sorted(read_lock(place.lock)) == ["downloads/a", "downloads/b"]
    with pytest.raises(lockfile.OtherBytesError):
        agree(first, "c" * 64, 1, "url")
    assert read_lock(place.lock)["downloads/a"].sha256 == "a" * 64


def test_a_file_placed_by_hand_is_verified_and_used(place: Place) -> None:
    place.path.parent.mkdir(parents=True)
    place.path.write_bytes(CONTENT)
    assert place.fetch("http://nowhere", sha256=DIGEST) == place.path
    place.path.write_bytes(b"another")
    with pytest.raises(UserError, match=rf"expected {DIGEST}; delete it and fetch it again"):
        place.fetch("http://nowhere", sha256=DIGEST)
    assert place.path.read_bytes() == b"another"  # the user's own file is left alone


def test_offline_opens_no_connection(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GUIDEBENCH_OFFLINE", "1")

    def opened(*_: object, **__: object) -> None:
        raise AssertionError

    monkeypatch.setattr(requests.Session, "send", opened)
    with pytest.raises(UserError) as caught:
        place.fetch("http://host")
    assert str(caught.value) == (
        f"net.pkl is missing and GUIDEBENCH_OFFLINE is set; place it at {place.path} (from "
        "http://host/edm2/net.pkl), or unset GUIDEBENCH_OFFLINE"
    )
    monkeypatch.setenv("GUIDEBENCH_MIRROR", str(place.folder))
    place.fetch("http://host")
    place.check_whole()


@pytest.mark.parametrize("where", [NAME, f"edm2/{NAME}"])
def test_a_folder_as_mirror(place: Place, monkeypatch: pytest.MonkeyPatch, where: str) -> None:
    mirror = place.root / "mirror"
    (mirror / where).parent.mkdir(parents=True)
    monkeypatch.setenv("GUIDEBENCH_MIRROR", str(mirror))
    with pytest.raises(NotThereError, match=r"has neither edm2/net.pkl nor net.pkl; put the file"):
        place.fetch("http://host")
    (mirror / where).write_bytes(b"wrong")
    with pytest.raises(UserError, match=f"expected {DIGEST}"):
        place.fetch("http://host", sha256=DIGEST)
    (mirror / where).write_bytes(CONTENT)
    place.fetch("http://host", sha256=DIGEST)
    place.check_whole()
    assert read_lock(place.lock)[f"downloads/{NAME}"].via == "folder"


def test_a_server_as_mirror(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    with FileServer(place.folder) as server:
        monkeypatch.setenv("GUIDEBENCH_MIRROR", f"{server.url}/copies/")
        place.fetch("https://no.such.host.invalid")
        assert [a.path for a in server.answers] == [f"/copies/edm2/{NAME}"]
    place.check_whole()
    assert read_lock(place.lock)[f"downloads/{NAME}"].via == "mirror"


def test_the_licence_is_shown_once_before_the_first_download(place: Place) -> None:
    with FileServer(place.folder) as server:
        place.fetch(server.url)
        assert len(place.said) == 1
        assert "CC BY-NC-SA 4.0" in place.said[0]
        assert "not for commercial use" in place.said[0]
        place.path.unlink()
        place.fetch(server.url)
    assert len(place.said) == 1


def test_a_full_disk(place: Place) -> None:
    """A limit on the size of files, in a process of its own: writes fail as on a full disk."""
    limit = (
        "import resource, signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN);"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))\n"
    )
    with FileServer(place.folder) as server:
        words = [sys.executable, "-c", limit + FETCHER, f"{server.url}/{NAME}"]
        ran = subprocess.run(words, capture_output=True, text=True, check=False)
    assert ran.stderr.splitlines()[-1] == (
        f"guidebench.base.errors.DiskError: cannot write {place.path}: File too large; name "
        "another folder by GUIDEBENCH_CACHE or make room there"
    )
    assert not place.path.exists()


def test_a_cache_that_cannot_be_written(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GUIDEBENCH_CACHE", "/proc/guidebench")
    with pytest.raises(
        UserError, match=r"cannot write /proc/.*name another folder by GUIDEBENCH_C"
    ):
        place.fetch("http://host")
