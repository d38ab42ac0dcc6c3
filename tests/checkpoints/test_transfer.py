"""Bytes from a real server that fails in every way that servers do."""

import time
from email.utils import formatdate

import pytest

from guidebench.base import UserError, sha256_bytes
from guidebench.checkpoints.transfer import NotThereError
from tests.checkpoints.http_server import Fault, FileServer
from tests.checkpoints.place import CONTENT, DIGEST, NAME, QUICK, SIZE, Place


def test_dropped_connections_are_resumed_and_no_byte_is_sent_twice(place: Place) -> None:
    drops = [Fault(drop_after=131_072), Fault(drop_after=65_536), Fault(drop_after=0)]
    with FileServer(place.folder, drops) as server:
        place.fetch(server.url)
        ranges = [answer.range for answer in server.answers]
        statuses = [answer.status for answer in server.answers]
        assert server.sent == SIZE
        assert {answer.if_range for answer in server.answers[1:]} == {'"one"'}
    assert ranges == [None, "bytes=131072-", "bytes=196608-", "bytes=196608-"]
    assert statuses == [200, 206, 206, 206]
    place.check_whole()


def test_what_a_failed_call_left_is_used_by_the_next(place: Place) -> None:
    with FileServer(place.folder, [Fault(drop_after=196_608)], Fault(status=503)) as server:
        with pytest.raises(UserError, match=r"HTTP 503, 3 times in a row; what arrived is kept"):
            place.fetch(server.url)
        place.check_absent(kept=[196_608])
        server.always = Fault()
        place.fetch(server.url)
        assert server.sent == SIZE
    place.check_whole()


def test_a_server_that_ignores_ranges_starts_over(place: Place) -> None:
    drops = [Fault(drop_after=200_000)]
    with FileServer(place.folder, drops, ranges=False) as server:
        place.fetch(server.url)
        assert [answer.status for answer in server.answers] == [200, 200]
        assert server.sent == 200_000 + SIZE
    place.check_whole()


def test_a_server_that_always_drops_and_ignores_ranges_is_given_up(place: Place) -> None:
    cut = Fault(drop_after=131_072)
    with FileServer(place.folder, always=cut, ranges=False) as server:
        with pytest.raises(UserError, match=r"ended after 131072 of 400000 bytes, 3 times"):
            place.fetch(server.url)
        assert len(server.answers) == 4  # the first brought new bytes
    place.check_absent(kept=[131_072])


def test_a_file_that_changed_in_between_is_not_joined_to_the_old_one(place: Place) -> None:
    with FileServer(place.folder, [Fault(drop_after=131_072)], Fault(status=503)) as server:
        with pytest.raises(UserError, match="HTTP 503"):
            place.fetch(server.url)
        new = bytes(SIZE)
        (place.folder / NAME).write_bytes(new)
        server.etag, server.always = '"two"', Fault()
        place.fetch(server.url)
        assert [a.status for a in server.answers[-2:]] == [503, 200]  # If-Range needs no third
    assert place.path.read_bytes() == new


def test_a_part_of_another_file_is_not_joined(place: Place) -> None:
    """Same ETag, other length: only the length tells."""
    longer = CONTENT[::-1] + b"more"
    with FileServer(place.folder, [Fault(drop_after=131_072)], Fault(status=503)) as server:
        with pytest.raises(UserError, match="HTTP 503"):
            place.fetch(server.url)
        (place.folder / NAME).write_bytes(longer)
        server.always = Fault()
        place.fetch(server.url)
    assert place.path.read_bytes() == longer


def test_a_part_from_elsewhere_is_not_joined(place: Place) -> None:
    faults = [Fault(drop_after=131_072), Fault(elsewhere=True)]
    with FileServer(place.folder, faults) as server:
        place.fetch(server.url)
        assert [a.status for a in server.answers] == [200, 206, 200]
    place.check_whole()


def test_bytes_of_another_address_are_not_joined(place: Place) -> None:
    first = FileServer(place.folder, [Fault(drop_after=131_072)], Fault(status=503))
    with first, pytest.raises(UserError, match="HTTP 503"):
        place.fetch(first.url)
    (place.folder / NAME).write_bytes(CONTENT[::-1])
    with FileServer(place.folder) as second:
        place.fetch(second.url)
        assert second.answers[0].range is None
    assert place.path.read_bytes() == CONTENT[::-1]


@pytest.mark.parametrize("known", [True, False])
def test_without_a_validator_only_a_known_digest_allows_joining(place: Place, known: bool) -> None:
    with FileServer(place.folder, [Fault(drop_after=131_072)], etag=None) as server:
        place.fetch(server.url, **({"sha256": DIGEST} if known else {}))
        assert server.sent == SIZE + (0 if known else 131_072)
    place.check_whole()


@pytest.mark.parametrize("status", [500, 502, 503, 504, 429])
def test_a_server_in_trouble_is_asked_again(place: Place, status: int) -> None:
    with FileServer(place.folder, [Fault(status=status)] * 2) as server:
        place.fetch(server.url)
        assert [a.status for a in server.answers] == [status, status, 200]
    place.check_whole()


def test_retry_after_is_obeyed(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    waits: list[float] = []
    monkeypatch.setattr("guidebench.checkpoints.transfer.time.sleep", waits.append)
    faults = [Fault(status=503, retry_after="4"), Fault(status=503)]
    with FileServer(place.folder, faults) as server:
        place.fetch(server.url)
        assert [a.status for a in server.answers] == [503, 503, 200]
    assert waits == [4, 2 * QUICK.first_wait_s]
    place.check_whole()


@pytest.mark.parametrize("form", ["seconds", "date"])
def test_a_long_retry_after_is_told_and_not_waited_for(place: Place, form: str) -> None:
    after = "3600" if form == "seconds" else formatdate(time.time() + 3600, usegmt=True)
    with FileServer(place.folder, [Fault(status=503, retry_after=after)]) as server:
        with pytest.raises(UserError, match=r"HTTP 503 and asks to wait 3[56]\d\d s; try again"):
            place.fetch(server.url)
        assert len(server.answers) == 1
    place.check_absent()


@pytest.mark.parametrize(
    ("status", "kind", "said"),
    [
        (404, NotThereError, r"net.pkl is not there \(HTTP 404\); check the name or the mirror"),
        (410, NotThereError, r"is not there \(HTTP 410\)"),
        (403, UserError, r"is refused \(HTTP 403\); use another mirror, or place it by hand"),
    ],
)
def test_a_no_is_not_asked_twice(
    place: Place, status: int, kind: type[UserError], said: str
) -> None:
    with FileServer(place.folder, always=Fault(status=status)) as server:
        with pytest.raises(kind, match=said) as caught:
            place.fetch(server.url)
        assert len(server.answers) == 1
    assert type(caught.value) is kind
    place.check_absent()
    assert not place.lock.exists()


def test_a_stalled_server_is_left_and_resumed(place: Place) -> None:
    with FileServer(place.folder, [Fault(stall_after=131_072)]) as server:
        place.fetch(server.url)
        assert [a.range for a in server.answers] == [None, "bytes=131072-"]
        assert server.sent == SIZE
    place.check_whole()


def test_wrong_bytes_of_the_right_length_are_refused_with_both_digests(place: Place) -> None:
    with FileServer(place.folder, [Fault(wrong=True)]) as server:
        with pytest.raises(UserError) as caught:
            place.fetch(server.url, sha256=DIGEST, bytes=SIZE)
        wrong = sha256_bytes(bytes(b ^ 255 for b in CONTENT))
        assert str(caught.value) == (
            f"net.pkl has SHA-256 {wrong}, expected {DIGEST}; try again, or another mirror"
        )
        place.check_absent()
        assert not place.lock.exists()
        place.fetch(server.url, sha256=DIGEST, bytes=SIZE)  # and nothing wrong was kept
    place.check_whole()


def test_a_truncated_file_that_claims_to_be_whole(place: Place) -> None:
    with FileServer(place.folder, always=Fault(truncate_to=300_000)) as server:
        with pytest.raises(UserError, match="has 300000 bytes, expected 400000; use another"):
            place.fetch(server.url, bytes=SIZE)
        with pytest.raises(UserError, match=r"net.pkl has SHA-256 .*, expected"):
            place.fetch(server.url, sha256=DIGEST)
    place.check_absent()


def test_without_a_length_the_digest_must_be_known(place: Place) -> None:
    with FileServer(place.folder, [Fault(), Fault(drop_after=100)], length=False) as server:
        with pytest.raises(UserError, match="comes without a length and no digest is known"):
            place.fetch(server.url)
        with pytest.raises(UserError, match=r"has SHA-256 .*, expected"):
            place.fetch(server.url, sha256=DIGEST)  # cut, and nobody could tell
        place.fetch(server.url, sha256=DIGEST)
    place.check_whole()


def test_without_a_length_a_known_size_tells_what_was_cut(place: Place) -> None:
    with FileServer(place.folder, [Fault(drop_after=131_072)], length=False) as server:
        place.fetch(server.url, sha256=DIGEST, bytes=SIZE)
        assert server.sent == SIZE
    place.check_whole()


def test_nobody_at_home(place: Place) -> None:
    with FileServer(place.folder) as server:
        pass
    with pytest.raises(UserError, match=r"the connection failed, 3 times in a row"):
        place.fetch(server.url)
    with pytest.raises(UserError, match=r"cannot be opened: .*check the address"):
        place.fetch("ftp://host")
    place.check_absent()
